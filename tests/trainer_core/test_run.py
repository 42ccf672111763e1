"""The program in one process: what it tells, how it resumes, and how each way to fail ends it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from trainer_running import ROOT, TOO_MANY_TOKENS, Trainer

PHASES = ["data", "rollout", "reward", "advantage", "train", "sync"]


def weights(folder: Path, step: int, tmp_path: Path) -> dict[str, Any]:
    target = tmp_path / f"{folder.name}_{step}.pt"
    dcp_to_torch_save(folder / "checkpoints" / f"step_{step}", target)
    return torch.load(target)["app"]  # type: ignore[no-any-return]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def test_a_run_tells_its_story_and_resumes_to_the_same_bits(trainer: Trainer, tmp_path: Path) -> None:
    code, out, err = trainer.run("run.steps=5")
    assert code == 0 and "Traceback" not in err
    assert "step 5/5" in out and "tokens/s" in out
    events = trainer.events()
    vocabulary = yaml.safe_load((ROOT / "rldoctor" / "vocabulary.yaml").read_text())
    assert {event["kind"] for event in events} <= vocabulary["events"].keys()
    metrics = (
        events[-5]["metrics"] if "metrics" in events[-5] else trainer.events("step_finished")[-1]["metrics"]
    )
    assert metrics.keys() - vocabulary["metrics"].keys() <= {
        "micro_batch_tokens_max",
        "train_cpu_seconds",
        "data_time",
        "advantage_time",
    }
    shares = [
        sum(v for k, v in e["metrics"].items() if k.endswith("_time") and k != "step_time") / e["seconds"]
        for e in trainer.events("step_finished")
    ]
    assert all(0.5 < share <= 1.0001 for share in shares)
    third = [e["phase"] for e in events if e["kind"] == "phase_finished" and e["step"] == 3]
    assert third == PHASES
    assert [e["step"] for e in trainer.events("checkpoint_saved")] == [2, 4, 5]
    assert events[-1]["kind"] == "run_finished" and events[-1]["status"] == "done"
    assert max(trainer.metrics("logprob_diff_max")) < 1e-4
    assert max(trainer.metrics("micro_batch_tokens_max")) <= 64

    parts = tmp_path / "parts"
    for steps in (3, 5):
        assert trainer.run(f"run.steps={steps}", f"run.folder={parts}")[0] == 0
    assert [e["step"] for e in trainer.events("checkpoint_loaded", parts)] == [3]
    for name in ("reward_mean", "loss", "grad_norm", "entropy"):
        assert trainer.metrics(name, parts) == trainer.metrics(name)
    assert same(weights(parts, 5, tmp_path), weights(trainer.folder, 5, tmp_path))
    code, _, err = trainer.run("model.hidden_size=32", "run.steps=6")
    assert code == 2 and "holds another model" in err
    assert not same(weights(parts, 5, tmp_path), weights(parts, 4, tmp_path))


def test_it_learns(trainer: Trainer) -> None:
    code, _, _ = trainer.run(
        "data.alphabet=abc", "data.prompt_length=2", "rollout.max_new_tokens=2", "checkpoint.every=1000",
        "rollout.prompts_per_step=16", "rollout.samples_per_prompt=16", "train.max_token_in_packing=4096",
        "train.learning_rate=5e-3", "run.steps=200", "run.stop_at_reward=0.9",
    )  # fmt: skip
    rewards = trainer.metrics("reward_mean")
    assert code == 0
    assert rewards[0] < 0.1
    assert sum(rewards[-5:]) / 5 >= 0.9
    assert trainer.events("run_finished")[0]["reason"] == "reward"


def _put(path: Path, text: str) -> None:
    """Write a file at once: the trainer must not meet one that is half written."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_a_long_run_under_signals_and_revisions(trainer: Trainer) -> None:
    process = trainer.start("run.steps=1000000", "checkpoint.every=1000000")
    trainer.wait(lambda: trainer.events("step_finished"))
    code, _, err = trainer.run()
    assert code == 2 and "in use by process" in err

    live = trainer.folder / "config.yaml"
    text = live.read_text()
    _put(live, text.replace("max_token_in_packing: 64", "max_token_in_packing: 32"))
    trainer.wait(lambda: trainer.events("config_applied"))
    applied = trainer.events("config_applied")[0]
    assert applied["fields"] == {"train.max_token_in_packing": 32}
    _put(live, text.replace("train: {", "train: {ulysses: 2, "))
    trainer.wait(lambda: trainer.events("config_refused"))
    assert "needs a restart: train.ulysses" in trainer.events("config_refused")[0]["reason"]
    _put(live, "train: [")
    trainer.wait(lambda: len(trainer.events("config_refused")) > 1)
    trainer.wait(lambda: trainer.events("step_finished")[-1]["step"] > applied["step"] + 1)
    for event in trainer.events("step_finished"):
        assert event["metrics"]["micro_batch_tokens_max"] <= (32 if event["step"] > applied["step"] else 64)

    process.send_signal(signal.SIGUSR1)
    trainer.wait(lambda: "loop.py" in _text(trainer.folder / "dumps" / "stacks_driver.txt"))
    trainer.wait(lambda: "loop.py" in _text(trainer.folder / "dumps" / "stacks_rank_0.txt"))
    assert process.poll() is None

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0 and "SIGTERM" in out
    last = trainer.events()[-1]
    assert (last["kind"], last["status"], last["reason"]) == ("run_finished", "stopped", "SIGTERM")
    assert (
        trainer.events("checkpoint_saved")[-1]["step"]
        == last["step"]
        == trainer.events("step_finished")[-1]["step"]
    )


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_ctrl_c_saves_and_a_killed_run_goes_on(trainer: Trainer) -> None:
    process = trainer.start("run.steps=1000000", "checkpoint.every=1000000")
    trainer.wait(lambda: trainer.events("step_finished"))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=180)
    assert process.returncode == 130
    saved = trainer.events("checkpoint_saved")[-1]["step"]

    process = trainer.start("run.steps=1000000", "checkpoint.every=3")
    trainer.wait(lambda: len(trainer.events("checkpoint_saved")) > 3)
    process.kill()
    process.communicate(timeout=180)
    half = trainer.folder / "checkpoints" / "step_900000"
    half.mkdir()
    whole = [e["step"] for e in trainer.events("checkpoint_saved")][-1]
    assert trainer.events("checkpoint_loaded")[0]["step"] == saved

    code, out, _ = trainer.run(f"run.steps={whole + 4}")
    assert code == 0 and "half a checkpoint" in out
    assert trainer.events("checkpoint_loaded")[-1]["step"] in (whole, whole + 3)
    assert trainer.events("run_finished")[-1]["step"] == whole + 4


def test_a_token_budget_too_large_for_the_limit_really_fails_and_a_smaller_one_goes_on(
    trainer: Trainer,
) -> None:
    limit = "cluster.worker_memory_limit_gib=0.06"
    code, _, err = trainer.run(*TOO_MANY_TOKENS, limit, "run.steps=2")
    last = trainer.events()[-1]
    assert code == 1
    assert (last["kind"], last["phase"], last["device"], last["rank"]) == (
        "out_of_memory",
        "train",
        "cpu_limit",
        0,
    )
    assert 0 < last["bytes_asked"] < last["bytes_total"] == int(0.06 * 2**30)
    assert last["bytes_allocated"] > 0.5 * last["bytes_total"]
    assert "DefaultCPUAllocator: can't allocate memory" in err
    smaller = "train.max_token_in_packing=800"
    assert trainer.run(*TOO_MANY_TOKENS, limit, smaller, "run.steps=2")[0] == 0
    steps = trainer.events("step_finished")
    assert len(steps) == 2
    for event in steps:
        assert 0 < event["bytes_allocated"] <= event["bytes_peak"] <= event["bytes_total"]


def test_nan_stops_or_is_skipped(trainer: Trainer) -> None:
    code, _, err = trainer.run("train.learning_rate=1e30")
    last = trainer.events()[-1]
    assert (code, last["kind"], last["phase"]) == (1, "nan", "train")
    assert "not a number" in err
    code, _, _ = trainer.run("train.learning_rate=1e30", "train.on_nan=skip", "run.folder=skipping")
    skipping = trainer.folder.parent / "skipping"
    assert code == 0
    assert [e["skipped"] for e in trainer.events("nan", skipping)] == [True] * len(
        trainer.events("nan", skipping)
    )
    assert len(trainer.events("step_finished", skipping)) == 4


def test_a_stuck_reward_loses_the_sample_not_the_run(trainer: Trainer) -> None:
    code, _, _ = trainer.run(
        "reward.function=bad_rewards:stuck", "reward.seconds=0.3", "run.steps=2", "data.alphabet=abcd"
    )
    lost = trainer.events("sample_lost")
    assert code == 0
    assert all(e["prompt"].startswith("a") and "0.3 seconds" in e["reason"] for e in lost)
    scored = sum(e["samples"] for e in trainer.events("step_finished"))
    assert scored + len(lost) == 32 and lost

    code, _, err = trainer.run(
        "reward.function=bad_rewards:always_stuck", "reward.seconds=0.05", "run.folder=stuck"
    )
    assert code == 1 and "no reward for any of 16 samples" in err
    assert trainer.events(folder=trainer.folder.parent / "stuck")[-1]["kind"] == "exception"


def test_a_full_disk_at_save_leaves_the_earlier_checkpoint_whole(trainer: Trainer, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    enter = ["unshare", "-rm", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=4m none {disk}"
    if not shutil.which("unshare") or subprocess.run([*enter, mount], capture_output=True).returncode:
        pytest.skip("no right to mount a small file system here")
    run = (
        f"{sys.executable} -m trainer_core {trainer.config} --set checkpoint.folder={disk} --set run.steps=6"
    )
    ended = subprocess.run(
        [*enter, f"{mount} && {run}; echo code $?; ls {disk}/*/complete"],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=120,
    )  # fmt: skip
    assert "code 1" in ended.stdout
    last = trainer.events()[-1]
    assert (last["kind"], last["phase"], last["step"]) == ("disk_full", "checkpoint", 6)
    assert "step_4/complete" in ended.stdout and "step_6" not in ended.stdout.partition("code 1")[2]


def test_a_port_that_is_taken(trainer: Trainer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, _ = trainer.run(f"cluster.port={port}")
    last = trainer.events()[-1]
    assert (code, last["kind"], last["port"], last["phase"]) == (1, "port_in_use", port, "start")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["model.path=/no/such/model"], "/no/such/model: no config.json there"),
        (["data.path=empty.jsonl"], "empty.jsonl: no prompts"),
        (["trian.ulysses=1"], "unknown setting trian.ulysses; did you mean train.ulysses?"),
        (["reward.function=mach"], "known are match, exact"),
        (["cluster.kind=ray", "cluster.workers=1", "cluster.address=127.0.0.1:9"], "no Ray answers there"),
        (["cluster.workers=2"], "torchrun --nproc-per-node 2"),
    ],
)
def test_bad_input_is_told_in_one_message(trainer: Trainer, settings: list[str], words: str) -> None:
    (trainer.config.parent / "empty.jsonl").write_text("\n")
    if "data.path=empty.jsonl" in settings:
        trainer.config.write_text("{}")
    code, _, err = trainer.run(*settings)
    assert code == 2
    assert words in err and "Traceback" not in err
