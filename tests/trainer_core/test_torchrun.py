"""Two ranks under torchrun: the same numbers in all layouts, one decisive event when a rank goes wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from conftest import Trainer


def rank_one(trainer: Trainer) -> psutil.Process:
    """Return the process of rank 1."""
    for child in psutil.Process(trainer.started[-1].pid).children(recursive=True):
        if child.environ().get("RANK") == "1":
            return child
    raise AssertionError("no rank 1")


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


@pytest.mark.parametrize(
    ("number", "kinds"),
    [(signal.SIGKILL, {"worker_died"}), (signal.SIGSTOP, {"collective_timeout"})],
    ids=["killed", "stopped"],
)
def test_a_rank_that_goes_wrong_ends_the_run_with_the_reason(
    trainer: Trainer, number: signal.Signals, kinds: set[str]
) -> None:
    process = trainer.start("run.steps=1000000", "cluster.process_group_timeout_seconds=4", ranks=2)
    trainer.wait(lambda: len(trainer.events("checkpoint_saved")) > 1)
    other = rank_one(trainer)
    driver = next(p for p in psutil.Process(process.pid).children() if p.environ().get("RANK") == "0")
    driver.send_signal(signal.SIGUSR1)
    stacks = trainer.folder / "dumps" / "stacks_rank_1.txt"
    trainer.wait(lambda: stacks.exists() and "in serve" in stacks.read_text())
    for rank in (0, 1):
        recorded = trainer.folder / "dumps" / f"flight_recorder_rank_{rank}.json"
        trainer.wait(lambda path=recorded: path.exists() and "gloo:all_reduce" in path.read_text())
    os.kill(other.pid, number)
    trainer.wait(lambda: trainer.events()[-1]["kind"] in kinds, 40)
    if number == signal.SIGSTOP:
        other.kill()
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert trainer.events()[-1]["kind"] in kinds


def test_out_of_memory_on_another_rank_is_told_by_the_driver(trainer: Trainer) -> None:
    process = trainer.start(
        "rollout.prompts_per_step=40", "rollout.samples_per_prompt=16", "rollout.max_new_tokens=8",
        "train.max_token_in_packing=100000", "cluster.worker_memory_limit_gib=0.03", ranks=2,
    )  # fmt: skip
    _, err = process.communicate(timeout=120)
    last = trainer.events()[-1]
    assert (last["kind"], last["device"]) == ("out_of_memory", "cpu_limit")
    assert process.returncode != 0 and "can't allocate memory" in err
