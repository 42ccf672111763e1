"""Two ranks as torchrun starts them: the same numbers in all layouts, one event says what went wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from trainer_running import TOO_MANY_TOKENS, Trainer


def test_layouts_agree_and_a_checkpoint_fits_another_number_of_ranks(
    trainer: Trainer, tmp_path: Path
) -> None:
    assert trainer.run("run.steps=2", ranks=2)[0] == 0
    shared = tmp_path / "shared"
    code, _, _ = trainer.run("run.steps=2", f"run.folder={shared}", "train.ulysses=2", ranks=2)
    assert code == 0
    for name in ("reward_mean", "loss", "grad_norm", "entropy"):
        assert trainer.metrics(name, shared) == pytest.approx(trainer.metrics(name), rel=1e-3, abs=1e-5)
    assert trainer.events("run_started")[0]["world_size"] == 2
    assert trainer.run("run.steps=4")[0] == 0
    assert trainer.events("run_started")[1]["world_size"] == 1
    assert [e["step"] for e in trainer.events("step_finished")] == [1, 2, 3, 4]


def test_a_killed_rank_of_a_real_torchrun_ends_the_run_with_the_reason(trainer: Trainer) -> None:
    process = trainer.start_torchrun(2, "run.steps=1000000")
    trainer.wait(lambda: len(trainer.events("checkpoint_saved")) > 1)
    ranks = {p.environ().get("RANK"): p for p in psutil.Process(process.pid).children()}
    assert_dumps(trainer, ranks["0"].pid)
    ranks["1"].kill()
    trainer.wait(lambda: trainer.events()[-1]["kind"] == "worker_died", 120)
    process.communicate(timeout=180)
    assert process.returncode != 0


def test_a_stopped_rank_ends_the_run_by_the_timeout(trainer: Trainer) -> None:
    driver, other = trainer.start_ranks(2, "run.steps=1000000", "cluster.process_group_timeout_seconds=4")
    trainer.wait(lambda: trainer.events("step_finished"))
    os.kill(other.pid, signal.SIGSTOP)
    driver.communicate(timeout=180)
    assert driver.returncode == 1
    assert trainer.events()[-1]["kind"] == "collective_timeout"


def assert_dumps(trainer: Trainer, driver: int) -> None:
    """Have the driver dump, and wait for what must be in it."""
    os.kill(driver, signal.SIGUSR1)
    stacks = trainer.folder / "dumps" / "stacks_rank_1.txt"
    trainer.wait(lambda: stacks.exists() and "in serve" in stacks.read_text())
    for rank in (0, 1):
        recorded = trainer.folder / "dumps" / f"flight_recorder_rank_{rank}.json"
        trainer.wait(lambda path=recorded: path.exists() and "gloo:all_reduce" in path.read_text())


def test_out_of_memory_on_another_rank_is_told_by_the_driver(trainer: Trainer) -> None:
    code, _, _ = trainer.run(*TOO_MANY_TOKENS, "cluster.worker_memory_limit_gib=0.03", ranks=2)
    last = trainer.events()[-1]
    assert (last["kind"], last["device"]) == ("out_of_memory", "cpu_limit")
    assert code == 1
