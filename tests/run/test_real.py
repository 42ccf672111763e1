"""The real trainer under supervision: a real allocator fails and is healed, a real death is survived."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from driving import ROOT, Driven, wait_for

EXAMPLE = (ROOT / "examples/too_large.yaml").read_text()
STEPS = 28
SMALLER = {
    "steps: 400": f"steps: {STEPS}",
    "stop_at_reward: 0.9 ": "#",
    "layers: 4": "layers: 2",
    "prompts_per_step: 128": "prompts_per_step: 64",
    "limit_gib: 0.5 ": "limit_gib: 0.1 ",
    "every: 10": "every: 5",
}
PHASES = ("start", "data", "rollout", "reward", "advantage", "train", "sync", "checkpoint")
ENDLESS = """\
run: {steps: 100000}
rollout: {prompts_per_step: 16, samples_per_prompt: 8}
cluster: {kind: local, device: cpu, threads: 1}
checkpoint: {every: 1}
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Driven, int, str]:
    """Run the example in small; once its first experiment is measured, kill the trainer with -9."""
    text = EXAMPLE
    for old, new in SMALLER.items():
        assert old in text
        text = text.replace(old, new)
    driven = Driven(tmp_path_factory.mktemp("real"), None, text)
    process = driven.begin("--autotune")
    wait_for(lambda: len(driven.journal("measured")) > 1 or process.poll() is not None, 200)
    os.kill(driven.journal("launched")[-1]["pid"], signal.SIGKILL)
    return driven, *driven.result(process, 200)


def failures(driven: Driven) -> list[dict[str, Any]]:
    return driven.journal("diagnosed")


def test_c6_run_a_real_out_of_memory_is_healed_and_climbs(story: tuple[Driven, int, str]) -> None:
    driven, code, out = story
    assert code == 0, out
    assert [event["device"] for event in driven.events("out_of_memory")] == ["cpu_limit"]
    assert failures(driven)[0]["finding"] == "out-of-memory-in-training"
    assert driven.journal("verified")[0]["helped"] is True
    measured = driven.journal("measured")
    assert measured[0]["verdict"] == "baseline"
    assert all(entry["bytes_peak"] < entry["bytes_total"] for entry in measured if "bytes_peak" in entry)
    experiment = driven.journal("experiment")[0]
    assert experiment["after"] > 2 * experiment["before"] > 256
    assert measured[1]["bytes_peak"] <= experiment["prediction"]["bytes_peak"]
    before, after = driven.journal("batch")[0], driven.journal("batch")[-1]
    assert before["global_batch"] == after["global_batch"] == 1024
    assert yaml.safe_load((driven.folder / "tuned.yaml").read_text()) == driven.settings()
    assert driven.left() == []


def test_run_a_real_trainer_killed_with_9_goes_on(story: tuple[Driven, int, str]) -> None:
    driven, code, out = story
    assert code == 0, out
    killed = failures(driven)[1]
    assert killed["finding"] == "process-killed"
    assert killed.get("lost_steps", 0) <= 5
    steps = [event["step"] for event in driven.events("step_finished")]
    assert sorted(set(steps)) == list(range(1, STEPS + 1))
    assert not driven.events("config_refused")


def test_run_a_bad_configuration_is_told_with_all_its_mistakes(tmp_path: Path) -> None:
    text = EXAMPLE.replace("entropy", "entropie").replace("task: copy", "task: copie")
    code, out = Driven(tmp_path, None, text).run(seconds=120)
    assert code == 2, out
    assert "did you mean algorithm.entropy?" in out
    assert "must be one of copy, sort, not copie" in out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: {path: /no/such/model}", "/no/such/model: no config.json there"),
        ("data: {path: questions.jsonl}", "questions.jsonl: no prompts in it"),
    ],
)
def test_run_what_the_trainer_cannot_use_is_told_in_its_words_alone(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "questions.jsonl").touch()
    driven = Driven(tmp_path, None, f"{text}\ncluster: {{kind: local, device: cpu}}\n")
    code, out = driven.run(seconds=120)
    assert code == 2, out
    assert told in out
    assert "failed" not in out
    assert "Traceback" not in out
    assert driven.journal()[-1]["status"] == "refused"


def test_run_ctrl_c_in_each_phase_of_the_real_trainer(tmp_path: Path) -> None:
    """Each phase is hit in its turn; the run goes on each time and loses no step that was finished."""
    driven = Driven(tmp_path, None, ENDLESS)
    for phase in PHASES:
        seen = len(driven.events())
        process = driven.start("--resume", str(driven.folder)) if seen else driven.begin()
        wait_for(lambda seen=seen, phase=phase: _reached(driven.events()[seen:], phase), 100)
        process.send_signal(signal.SIGINT)
        code, out = driven.result(process)
        assert code == 130, (phase, out)
        assert driven.left() == [], phase
        assert [path.name for path in (driven.folder / "checkpoints").glob("*.tmp")] == []
    steps = [event["step"] for event in driven.events("step_finished")]
    assert steps == list(range(1, len(steps) + 1))


def _reached(events: list[dict[str, Any]], phase: str) -> bool:
    return any(event["kind"] == "phase_started" and event["phase"] == phase for event in events)
