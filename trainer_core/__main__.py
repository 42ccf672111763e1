"""``python -m trainer_core CONFIG [--set key=value]…``: knows all parts, config → parts → loop."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO

from trainer_core import cluster, data, reward
from trainer_core.config.reading import read
from trainer_core.config.revision import LiveConfig, settle
from trainer_core.events import EventLog
from trainer_core.failures import describe
from trainer_core.loop import learn
from trainer_core.run import Control, Run
from trainer_core.signals import Signals
from trainer_core.types import Failure, RunFailed, UserError

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a configuration to its end; return the exit code."""
    options = _options(argv)
    try:
        config, _ = read(options.config, options.set)
        rank, _ = cluster.world()
        if rank > 0:
            with Signals(None, Path(config.run.folder, "dumps"), f"follower_{rank}") as signals:
                return cluster.follow(config, signals.forward)
        lock = _lock(Path(config.run.folder))
        config, path = settle(options.config, options.set)
        return _run(LiveConfig(path, config), lock)
    except UserError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m trainer_core", description="A small RL trainer.")
    parser.add_argument(
        "config", type=Path, help="a YAML file; a run folder's config.yaml goes on with that run"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    return parser.parse_args(argv)


def _lock(folder: Path) -> IO[str]:
    """Take the run folder for this process alone, or raise UserError; the lock ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        raise UserError(
            f"{folder} is in use by process {file.read().strip() or '?'}; choose another run.folder"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _run(live: LiveConfig, lock: IO[str]) -> int:
    folder, control = live.path.parent, Control()
    events = EventLog(folder / "events.jsonl")
    with lock, Signals(control, folder / "dumps") as signals:
        run = None
        try:
            events.write("phase_started", phase="start", step=0)
            run = _parts(live, events, control, signals)
            run.begin(asdict(live.config))
            learn(run)
            stopped = run.ended if run.ended and run.ended.startswith("SIG") else None
            status = "stopped" if stopped else "done"
            seconds = round(time.monotonic() - run.started, 3)
            events.write("run_finished", status=status, step=run.step, reason=run.ended, seconds=seconds)
            return INTERRUPTED if stopped == "SIGINT" else 0
        except RunFailed as failed:
            return _tell(failed.failure, events, run)
        except Exception as error:  # noqa: BLE001 - the last event must say why, whatever it was
            return _tell(describe(error), events, run)
        finally:
            if run:
                run.close()


def _parts(live: LiveConfig, events: EventLog, control: Control, signals: Signals) -> Run:
    """Start everything that a run consists of."""
    config, started = live.config, time.monotonic()
    words = data.tokenizer(config)
    prompts = data.PromptStream(config.data, data.questions(config.data), words)
    scorer = reward.RewardProcesses(config.reward.function, config.reward.workers)
    try:
        workers = cluster.start(config)
    except BaseException:
        scorer.close()
        raise
    signals.forward(workers.dump)
    return Run(live, events, workers, prompts, scorer, words.decode, control, started=started)


def _tell(failure: Failure, events: EventLog, run: Run | None) -> int:
    """Say why the run ends, in the last event and on stderr; return the exit code."""
    print(failure.traceback, failure.message, sep="", file=sys.stderr, flush=True)
    if failure.kind == "user_error":
        return BAD_INPUT
    phase, step = (run.phase_now, run.step) if run else ("start", 0)
    try:
        events.write(
            failure.kind, **{"phase": phase, "step": step, "rank": failure.rank} | dict(failure.fields)
        )
    except OSError as error:
        print(f"the last event could not be written: {error}", file=sys.stderr, flush=True)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
