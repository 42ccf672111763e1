"""The real trainer under supervision: a real allocator fails and is healed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import yaml
from driving import ROOT, Driven, wait_for

EXAMPLE = (ROOT / "examples/too_large.yaml").read_text()


def real(home: Path, text: str = EXAMPLE) -> Driven:
    return Driven(home, None, text)


def test_c6_run_a_real_out_of_memory_is_healed_and_climbs(tmp_path: Path) -> None:
    driven = real(tmp_path, EXAMPLE.replace("steps: 400", "steps: 30"))
    code, out = driven.run("--autotune", seconds=240)
    assert code == 0, out
    failed = driven.events("out_of_memory")
    assert [event["device"] for event in failed] == ["cpu_limit"]
    assert driven.journal("verified")[0]["helped"] is True
    measured = driven.journal("measured")
    assert measured[0]["verdict"] == "baseline"
    assert all(entry["bytes_peak"] < entry["bytes_total"] for entry in measured)
    before, after = driven.journal("batch")[0], driven.journal("batch")[-1]
    assert before["global_batch"] == after["global_batch"] == 256
    assert [event["step"] for event in driven.events("step_finished")] == list(range(1, 31))
    assert not driven.events("config_refused")
    live = [event["revision"] for event in driven.events("config_applied")]
    assert live == [entry["revision"] for entry in driven.journal("edited") if entry["by"] == "tuning"]
    assert yaml.safe_load((driven.folder / "tuned.yaml").read_text()) == driven.settings()
    assert driven.left() == []


def test_run_a_real_trainer_killed_with_9_goes_on(tmp_path: Path) -> None:
    text = (
        EXAMPLE.replace("65536", "2048").replace("every: 20", "every: 5").replace("steps: 400", "steps: 20")
    )
    driven = real(tmp_path, text)
    process = driven.begin("--autotune")
    wait_for(lambda: driven.events("checkpoint_saved"), 120)
    pid = driven.journal("launched")[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    code, out = driven.result(process, 240)
    assert code == 0, out
    failed = driven.journal("diagnosed")[0]
    assert failed["finding"] == "process-killed"
    assert failed.get("lost_steps", 0) <= 5
    steps = [event["step"] for event in driven.events("step_finished")]
    assert sorted(set(steps)) == list(range(1, 21))


def test_run_a_bad_configuration_is_told_with_all_its_mistakes(tmp_path: Path) -> None:
    driven = real(tmp_path, EXAMPLE.replace("entropy", "entropie").replace("task: copy", "task: copie"))
    code, out = driven.run(seconds=120)
    assert code == 2, out
    assert "did you mean algorithm.entropy?" in out
    assert "must be one of copy, sort, not copie" in out
