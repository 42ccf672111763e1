"""Ranks as Ray actors: a killed one is told, the run goes on from its checkpoint, none is left behind."""

from __future__ import annotations

import os
import signal

import psutil
from trainer_running import TOO_MANY_TOKENS, Process, Trainer

RAY = ("cluster.kind=ray", "checkpoint.every=2")
ENDLESS = "run.steps=1000000"


def tree(process: Process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def actors(process: Process) -> list[psutil.Process]:
    return [child for child in tree(process) if "ray::_Actor" in " ".join(child.cmdline() or [child.name()])]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that do not end within a while."""
    return [p for p in psutil.wait_procs(processes, timeout=30)[1] if p.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_actor_ends_the_run_and_the_next_start_goes_on(trainer: Trainer) -> None:
    process = trainer.start(*RAY, "cluster.workers=2", ENDLESS)
    trainer.wait(lambda: len(trainer.events("checkpoint_saved")) > 1, 300)
    found, everyone = actors(process), tree(process)
    assert len(found) == 2
    process.send_signal(signal.SIGUSR1)
    stacks = [trainer.folder / "dumps" / f"stacks_rank_{rank}.txt" for rank in (0, 1)]
    trainer.wait(lambda: all(path.exists() for path in stacks))
    found[0].kill()
    _, err = process.communicate(timeout=180)
    last = trainer.events()[-1]
    assert (process.returncode, last["kind"]) == (1, "worker_died")
    assert last["rank"] in (0, 1) and f"rank {last['rank']} died" in err
    assert not alive(everyone)
    assert {path.name for path in (trainer.folder / "logs").iterdir()} == {"rank_0.log", "rank_1.log"}

    saved = trainer.events("checkpoint_saved")[-1]["step"]
    process = trainer.start(*RAY, "cluster.workers=1", ENDLESS)
    trainer.wait(lambda: trainer.events("step_finished")[-1]["step"] > saved + 2, 300)
    assert trainer.events("checkpoint_loaded")[0]["step"] == saved
    everyone = tree(process)
    assert len(everyone) > 3
    os.kill(process.pid, signal.SIGKILL)  # the driver itself, without a word to Ray
    process.communicate(timeout=30)
    assert not alive(everyone)


def test_out_of_memory_in_an_actor(trainer: Trainer) -> None:
    limit = "cluster.worker_memory_limit_gib=0.04"
    code, _, err = trainer.run(*RAY, *TOO_MANY_TOKENS, "cluster.workers=1", limit)
    last = trainer.events()[-1]
    assert (code, last["kind"], last["device"]) == (1, "out_of_memory", "cpu_limit")
    assert "DefaultCPUAllocator: can't allocate memory" in err
