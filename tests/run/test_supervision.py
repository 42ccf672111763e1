"""The supervisor itself: its process tree, its journal, its end by signal, by kill -9, by hand."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from driving import CONFIG, Driven, wait_for

STEPS = 150
LONG = CONFIG.replace("steps: 12", f"steps: {STEPS}")


def finished(driven: Driven) -> int:
    return max((event["step"] for event in driven.events("step_finished")), default=0)


def trainer(driven: Driven) -> int:
    return int(driven.journal("launched")[-1]["pid"])


@pytest.mark.parametrize("phase", ["start", "rollout", "train", "checkpoint"])
def test_run_ctrl_c_saves_ends_everything_and_can_go_on(driven: Driven, phase: str) -> None:
    driven.text = LONG
    driven.fake = {"slow": {phase: 0.5}, "children": 2}
    process = driven.begin("--autotune")
    if phase == "start":
        wait_for(lambda: driven.journal("launched"))
        time.sleep(0.3)
    else:
        wait_for(lambda: [e for e in driven.events("phase_started") if e["phase"] == phase])
    process.send_signal(signal.SIGINT)
    code, out = driven.result(process)
    assert code == 130, out
    assert "rldoctor run --resume" in out
    assert driven.left() == []
    assert driven.journal()[-1]["status"] == "interrupted"
    stopped = finished(driven)
    driven.fake = {}
    code, out = driven.resume()
    assert code == 0, out
    steps = [event["step"] for event in driven.events("step_finished")]
    assert sorted(set(steps)) == list(range(1, STEPS + 1))
    assert steps.count(stopped) <= 1 or phase == "start"  # its checkpoint counts


def test_run_a_trainer_that_somebody_else_stopped_is_not_a_failure(driven: Driven) -> None:
    driven.text = LONG
    process = driven.begin("--autotune")
    wait_for(lambda: finished(driven) > 3)
    os.kill(trainer(driven), signal.SIGTERM)
    code, out = driven.result(process)
    assert code == 130, out
    assert "stopped by SIGTERM to the trainer" in out
    assert not driven.journal("diagnosed")


def test_run_twice_ctrl_c_does_not_wait(driven: Driven) -> None:
    driven.text = LONG
    driven.fake = {"hang_at": 3, "phase": "train"}
    process = driven.begin()
    wait_for(lambda: finished(driven) == 2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.8)
    process.send_signal(signal.SIGINT)
    code, _ = driven.result(process, 20)
    assert code == 130
    assert driven.left() == []


def test_run_one_wish_that_arrives_twice_still_saves(driven: Driven) -> None:
    """`timeout` and schedulers signal a process and then its group, which are the same process."""
    driven.text = LONG
    driven.fake = {"slow": {"train": 0.3}}
    process = driven.begin()
    wait_for(lambda: finished(driven) >= 1)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, out = driven.result(process, 30)
    assert code == 130, out
    assert driven.events("run_finished")[-1]["status"] == "stopped"


def test_run_no_orphan_after_the_end(driven: Driven) -> None:
    driven.fake = {"children": 3}
    code, out = driven.run()
    assert code == 0, out
    assert driven.left() == []


def test_run_kill_9_of_the_supervisor_ends_the_trainer_too(driven: Driven) -> None:
    driven.text = LONG
    process = driven.begin("--autotune")
    wait_for(lambda: finished(driven) > 5)
    pid = trainer(driven)
    process.kill()
    process.wait()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    code, out = driven.resume()
    assert code == 0, out


def test_run_resume_ends_what_survived_its_supervisor(driven: Driven) -> None:
    driven.text = LONG
    driven.fake = {"children": 1}
    process = driven.begin("--autotune")
    wait_for(lambda: finished(driven) > 5)
    process.kill()
    process.wait()
    wait_for(lambda: driven.left() == ["sleep 3600"])  # in a session of its own it hears of nothing
    code, out = driven.resume()
    assert code == 0, out
    assert driven.journal("survivors_ended")[0]["processes"] == 1
    assert driven.left() == []


def test_run_kill_9_at_random_moments_leaves_a_whole_journal(driven: Driven) -> None:
    driven.text = LONG.replace("1000", "65536")
    moments = random.Random(7)
    process = driven.begin("--autotune")
    wait_for(driven.journal)
    for _ in range(5):
        time.sleep(moments.uniform(0.4, 1.6))
        process.kill()
        process.wait()
        process = driven.start("--resume", str(driven.folder))
    code, out = driven.result(process)
    assert code == 0, out
    entries = driven.journal()  # every line is whole JSON
    assert entries[-1]["kind"] == "finished"
    assert sorted({event["step"] for event in driven.events("step_finished")}) == list(range(1, STEPS + 1))
    revisions = [entry["revision"] for entry in entries if entry["kind"] == "edited"]
    assert revisions == sorted(set(revisions))
    assert driven.left() == []


def test_run_half_a_line_in_the_journal_is_ended_and_skipped(driven: Driven) -> None:
    driven.fake = {"nan_at": 6, "phase": "train"}
    driven.run()
    with (driven.folder / "journal.jsonl").open("a") as file:
        file.write('{"v": 1, "t": 17')
    code, out = driven.resume("--autotune")
    assert code == 0, out
    text = (driven.folder / "journal.jsonl").read_text()
    assert '{"v": 1, "t": 17\n{"v": 1,' in text


def test_run_a_finished_run_is_not_run_again(driven: Driven) -> None:
    driven.run()
    code, out = driven.resume()
    assert code == 0
    assert "this run is finished" in out
    assert len(driven.journal("launched")) == 1


def test_run_one_supervisor_a_folder(driven: Driven) -> None:
    driven.text = LONG
    driven.fake = {"slow": {"train": 0.3}}  # it must not be over before the second one looks
    process = driven.begin()
    wait_for(lambda: finished(driven) > 2)
    code, out = driven.resume()
    assert code == 2
    assert f"process {process.pid} supervises this run" in out
    process.send_signal(signal.SIGTERM)
    assert driven.result(process)[0] == 130


def test_run_a_used_folder_is_not_mixed_with_another_run(driven: Driven) -> None:
    driven.run()
    code, out = driven.run()
    assert code == 2
    assert "holds a run already" in out and "--resume" in out


def test_run_an_edit_by_hand_is_kept_and_journaled(driven: Driven) -> None:
    driven.text = LONG
    driven.fake = {"slow": {"train": 0.02}}
    process = driven.begin("--autotune")
    wait_for(lambda: finished(driven) > 3)
    path = driven.folder / "config.yaml"
    text = path.read_text()
    path.write_text(text.replace("every: 4", "every: 5   # by hand"))
    wait_for(lambda: [entry for entry in driven.journal("hand_edit") if entry["changes"]])
    code, out = driven.result(process)
    assert code == 0, out
    assert driven.journal("hand_edit")[-1]["changes"] == {"checkpoint.every": [4, 5]}
    assert "every: 5   # by hand" in path.read_text()
    assert "edited by hand, kept: checkpoint.every 4 → 5" in out


def test_run_an_edit_by_hand_in_the_last_moment_is_journaled(driven: Driven) -> None:
    driven.fake = {"slow": {"checkpoint": 0.3}}
    process = driven.begin()
    wait_for(
        lambda: [e for e in driven.events("phase_started") if (e["step"], e["phase"]) == (12, "checkpoint")]
    )
    path = driven.folder / "config.yaml"
    path.write_text(path.read_text().replace("every: 4", "every: 5"))
    code, out = driven.result(process)
    assert code == 0, out
    assert driven.journal("hand_edit")[-1]["changes"] == {"checkpoint.every": [4, 5]}


def test_run_a_budget_set_by_hand_is_not_tuned_any_more(driven: Driven) -> None:
    driven.text = LONG
    driven.fake = {"slow": {"train": 0.05}}
    process = driven.begin("--autotune")
    wait_for(lambda: driven.journal("settled"))
    path = driven.folder / "config.yaml"
    edited = path.read_text().replace("max_token_in_packing: ", "max_token_in_packing: 2222  # was ")
    path.with_suffix(".mine").write_text(edited)
    path.with_suffix(".mine").replace(path)
    wait_for(lambda: driven.journal("hand_edit"))
    process.send_signal(signal.SIGINT)
    driven.result(process)
    assert driven.settings()["train"]["max_token_in_packing"] == 2222


def test_run_half_an_edit_by_hand_does_not_end_the_supervision(driven: Driven) -> None:
    driven.text = LONG
    driven.fake = {"slow": {"train": 0.02}}
    process = driven.begin("--autotune")
    wait_for(lambda: driven.journal("settled"))
    path = driven.folder / "config.yaml"
    whole = path.read_text()
    beside = path.with_suffix(".half")
    beside.write_text(whole + "\n: [\n")
    os.kill(trainer(driven), signal.SIGSTOP)  # the fake would not survive it
    beside.replace(path)
    wait_for(lambda: driven.journal("hand_edit"))
    path.write_text(whole)
    os.kill(trainer(driven), signal.SIGCONT)
    assert driven.result(process)[0] == 0
    assert "problem" in driven.journal("hand_edit")[0]


def test_run_quiet_tells_the_end_alone(driven: Driven) -> None:
    code, out = driven.run("--quiet")
    assert code == 0
    assert out.splitlines()[0].startswith("finished at step 12")


def test_run_the_example_is_said_where_no_configuration_is(driven: Driven) -> None:
    process = driven.start("--set", "run.steps=3")
    code, out = driven.result(process)
    assert code == 0, out
    assert "no config.yaml here" in out.splitlines()[0]
    assert (driven.home / "runs/laptop/journal.jsonl").exists()


def test_run_takes_the_configuration_that_is_here(driven: Driven) -> None:
    (driven.home / "config.yaml").write_text(CONFIG)
    code, out = driven.result(driven.start())
    assert code == 0, out
    assert out.startswith("configuration: config.yaml; run folder: runs/quick")
    code, out = driven.result(driven.start())
    assert out.startswith("configuration: config.yaml; run folder: runs/quick-2")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "rldoctor-test", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_run_a_full_disk_stops_and_loses_nothing_saved(small_disk: Path) -> None:
    driven = Driven(small_disk, {"checkpoint_bytes": 700_000})
    code, out = driven.run("--autotune")
    assert code == 1, out
    assert "disk-full" in out and "No room is left" in out
    assert sorted(path.parent.name for path in driven.folder.glob("checkpoints/*/complete")) == [
        "step_4",
        "step_8",
    ]
    assert not (driven.folder / "checkpoints/step_12").exists()  # the half makes room
    assert driven.journal()[-1]["status"] == "stopped"  # its last word found room
