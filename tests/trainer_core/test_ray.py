"""Ranks as Ray actors: a killed one is told, the run goes on from its checkpoint, none is left behind."""

from __future__ import annotations

import os
import signal

import psutil
from conftest import Trainer

RAY = ("cluster.kind=ray", "cluster.workers=2")


def actors(trainer: Trainer) -> list[psutil.Process]:
    children = psutil.Process(trainer.started[-1].pid).children(recursive=True)
    return [child for child in children if "ray::_Actor" in " ".join(child.cmdline() or [child.name()])]


def test_a_killed_actor_ends_the_run_and_the_next_start_goes_on(trainer: Trainer) -> None:
    process = trainer.start(*RAY, "run.steps=1000000", "checkpoint.every=2")
    trainer.wait(lambda: len(trainer.events("checkpoint_saved")) > 1, 120)
    found = actors(trainer)
    everyone = psutil.Process(process.pid).children(recursive=True)
    assert len(found) == 2
    process.send_signal(signal.SIGUSR1)
    trainer.wait(
        lambda: all((trainer.folder / "dumps" / f"stacks_rank_{rank}.txt").exists() for rank in (0, 1))
    )
    found[0].kill()
    _, err = process.communicate(timeout=60)
    last = trainer.events()[-1]
    assert (process.returncode, last["kind"]) == (1, "worker_died")
    assert last["rank"] in (0, 1) and f"rank {last['rank']} died" in err
    assert not [p for p in psutil.wait_procs(everyone, timeout=10)[1] if p.status() != psutil.STATUS_ZOMBIE]

    saved = trainer.events("checkpoint_saved")[-1]["step"]
    code, _, _ = trainer.run(*RAY, f"run.steps={saved + 1}", "checkpoint.every=2")
    assert code == 0
    assert trainer.events("checkpoint_loaded")[0]["step"] == saved
    assert trainer.events()[-1]["status"] == "done"
    assert {path.name for path in (trainer.folder / "logs").iterdir()} == {"rank_0.log", "rank_1.log"}


def test_out_of_memory_in_an_actor_and_no_orphan_of_a_killed_driver(trainer: Trainer) -> None:
    batch = ("rollout.prompts_per_step=40", "rollout.samples_per_prompt=16", "rollout.max_new_tokens=8")
    code, _, err = trainer.run(
        *RAY, *batch, "train.max_token_in_packing=100000", "cluster.worker_memory_limit_gib=0.03"
    )
    last = trainer.events()[-1]
    assert (code, last["kind"], last["device"]) == (1, "out_of_memory", "cpu_limit")
    assert "DefaultCPUAllocator: can't allocate memory" in err

    process = trainer.start(*RAY, "run.folder=other", "run.steps=1000000")
    other = trainer.folder.parent / "other"
    trainer.wait(lambda: trainer.events("step_finished", other), 120)
    everyone = psutil.Process(process.pid).children(recursive=True)
    assert len(everyone) > 4
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not [p for p in psutil.wait_procs(everyone, timeout=30)[1] if p.status() != psutil.STATUS_ZOMBIE]
