"""Starting one attempt: the command, its logs, and what the supervisor watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from rldoctor.run import checkpoints, processes, sightings
from rldoctor.run.session import Session
from rldoctor.run.tail import LiveEvent, Tail
from rldoctor.run.watch import End, Heart, Watch

EVENTS: Final = "events.jsonl"
LOGS: Final = "logs"

Attempt = tuple[End, list[str], str | None]


def command(session: Session) -> list[str]:
    """Return the words that start the run: a foreign launch as given, else the trainer."""
    if session.config is None:
        return _foreign(session)
    config, settings = str(session.config.path), session.config.known.settings
    workers = settings.get("cluster.workers")
    if settings.get("cluster.kind", "local") == "local" and isinstance(workers, int) and workers > 1:
        ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
        return [sys.executable, *ranks, "-m", "trainer_core", config]
    return [sys.executable, "-m", "trainer_core", config]


def _foreign(session: Session) -> list[str]:
    """Return the foreign command, its script replaced by the copy that the doctor may edit."""
    copy = session.folder / "script" / session.script.name if session.script else None
    if session.script is None or copy is None or not copy.exists():
        return list(session.command)
    return [str(copy) if word == str(session.script) else word for word in session.command]


def log_of(session: Session, number: int) -> Path:
    """Return where an attempt's output goes."""
    return session.folder / LOGS / f"trainer_{number}.log"


def attempt(session: Session, hear: Sequence[Any], pulse: Any) -> Attempt:
    """Run once, until the end; return how it ended, the logs of it, and the kind of event that ended it."""
    number = session.history.attempt + 1
    logs = session.folder / LOGS
    _put_away(logs, number - 1)
    log = log_of(session, number)
    events = session.folder / EVENTS
    tail = Tail(events, events.stat().st_size if events.exists() else 0)
    words = command(session)
    sightings.keep_reserve(session.folder)
    began, kills = time.time(), sightings.kernel_kills()
    child = processes.start(words, session.folder, log)
    try:
        _note_launch(session, number, child, words, began)
        watch = _watch(session, child, tail, hear, pulse, None if session.config is not None else log)
        end = watch.until_the_end()
    finally:
        processes.end_all(session.folder, child)
    session.note(
        "ended",
        attempt=number,
        exit_code=end.code if end.code >= 0 else None,
        signal=end.signal,
        hung=end.hung,
        asked=end.asked or None,
        step=end.step,
        seconds=round(time.time() - began, 3),
    )
    seen = list(sightings.of_end(end, session.folder, sightings.kernel_kills() > kills))
    sightings.free_reserve(session.folder)
    if any(event.get("kind") == "disk_full" for event in (*seen, end.last)) and session.config is not None:
        checkpoints.drop_halves(checkpoints.folder(session.folder, session.config.known.settings))
    told = [*seen, *([end.last] if end.spoke else [])]
    ended_by = str(told[0]["kind"]) if told else None
    return end, [*sightings.write(session.folder, seen), *_written(logs, log, events)], ended_by


def _note_launch(
    session: Session, number: int, child: processes.Child, words: list[str], began: float
) -> None:
    created = psutil.Process(child.pid).create_time() if psutil.pid_exists(child.pid) else 0.0
    step = None
    if session.config is not None:
        step = checkpoints.newest(checkpoints.folder(session.folder, session.config.known.settings))
    revision = session.config.known.revision if session.config else None
    session.note(
        "launched",
        attempt=number,
        began=began,
        pid=child.pid,
        created=created,
        command=words,
        step=step,
        revision=revision,
    )


def _watch(
    session: Session,
    child: processes.Child,
    tail: Tail,
    hear: Sequence[Any],
    pulse: Any,
    output: Path | None,
) -> Watch:
    def hear_all(event: LiveEvent) -> None:
        for ear in hear:
            ear(event)

    heart = Heart(session.options.hang_after, _floors(session))
    return Watch(
        session.folder,
        child,
        heart,
        session.interrupt,
        hear_all,
        pulse,
        tail,
        output=output,
    )


def _floors(session: Session) -> dict[str, float]:
    """Return how long phases may be silent by the run's own configuration: every sample may time out."""
    found = session.facts()
    if found is None:
        return {}
    names = ("reward.timeout", "batch.samples_per_rollout", "reward.workers")
    seconds, samples, workers = (found.value(name) for name in names)
    numbers = (int, float)
    if not (isinstance(seconds, numbers) and isinstance(samples, int) and isinstance(workers, int)):
        return {}
    return {"reward": 60.0 + float(seconds) * samples / max(1, workers)}


def _put_away(logs: Path, number: int) -> None:
    """Move the ranks' logs of an earlier attempt into a folder of its own."""
    old = sorted(logs.glob("rank_*.log"))
    if old and number > 0:
        target = logs / f"attempt_{number}"
        target.mkdir(exist_ok=True)
        for path in old:
            path.replace(target / path.name)


def _written(logs: Path, log: Path, events: Path) -> list[str]:
    own = [log, *sorted(logs.glob("rank_*.log"))]
    return [str(path) for path in (events, *own) if path.exists() and path.stat().st_size]
