"""Failures of a real process tree, healed or told."""

from __future__ import annotations

import pytest
from driving import CONFIG, Driven


def test_c6_run_a_budget_far_too_large_is_lowered_and_climbs_again(driven: Driven) -> None:
    driven.text = CONFIG.replace("1000", "65536").replace("steps: 12", "steps: 60")
    code, out = driven.run("--autotune")
    assert code == 0, out
    assert len(driven.events("out_of_memory")) == 1  # the climb itself never fails
    first = driven.journal("cure")[0]
    assert first["finding"] == "out-of-memory-in-training"
    assert driven.journal("verified")[0]["helped"] is True
    budgets = [entry["after"] for entry in driven.journal("experiment")]
    assert budgets == sorted(budgets) and budgets
    measured = driven.journal("measured")
    assert all(entry["bytes_peak"] <= 0.9 * entry["bytes_total"] for entry in measured)
    best = driven.settings()["train"]["max_token_in_packing"]
    assert 5334 <= best <= 7000  # three micro-batches: fewer would be above the margin
    before, after = driven.journal("batch")[0], driven.journal("batch")[-1]
    for name in ("global_batch", "learning_rate", "prompts_per_step"):
        assert before[name] == after[name]
    tuned = (driven.folder / "tuned.yaml").read_text()
    assert f"max_token_in_packing: {best}  # rldoctor: was 65536" in tuned
    assert "65536" in driven.config.read_text()  # the user's own file stays


def test_c6_run_the_whole_ladder_down_to_recompute(driven: Driven) -> None:
    driven.fake = {"per_token": 12_000_000}
    driven.text = CONFIG.replace("workers: 1", "workers: 2").replace("1000", "64")
    code, out = driven.run("--autotune")
    assert code == 0, out
    changed = [key for entry in driven.journal("edited") for key in entry["changes"]]
    ladder = list(dict.fromkeys(changed))
    assert ladder[:3] == ["train.max_token_in_packing", "train.ulysses", "train.recompute"]
    assert [entry["helped"] for entry in driven.journal("verified")][-1] is True
    assert not any(entry["helped"] for entry in driven.journal("verified")[:-1])


def test_c5_run_host_memory_at_load_builds_on_meta(driven: Driven) -> None:
    driven.fake = {"host": True}
    code, out = driven.run("--autotune")
    assert code == 0, out
    assert driven.settings()["model"]["meta_init"] is True


def test_s8_run_a_taken_port_is_given_up(driven: Driven) -> None:
    driven.fake = {"port": True}
    driven.text = CONFIG.replace("  workers: 1", "  workers: 1\n  port: 29511   # fixed")
    code, out = driven.run("--autotune")
    assert code == 0, out
    assert "port" not in driven.settings()["cluster"]


def test_s13_run_a_loss_that_is_no_number_stops_and_tells(driven: Driven) -> None:
    driven.fake = {"nan_at": 6, "phase": "train"}
    code, out = driven.run("--autotune")
    assert code == 1
    assert "NaN in training" in out and "nan-gradient" in out
    assert "--allow-unsafe" in out
    assert not driven.cures()
    assert len(driven.journal("launched")) == 1
    assert (driven.folder / "checkpoints/step_4/complete").exists()


def test_s13_run_skips_such_steps_only_when_allowed(driven: Driven) -> None:
    driven.fake = {"nan_at": 6, "phase": "train", "always": True}
    code, out = driven.run("--autotune", "--allow-unsafe")
    assert code == 0, out
    assert driven.settings()["train"]["on_nan"] == "skip"
    assert driven.journal("cure")[0]["safety"] == "unsafe"


@pytest.mark.parametrize("fault", ["kill", "died"])
def test_run_a_killed_process_is_started_again(driven: Driven, fault: str) -> None:
    driven.fake = {f"{fault}_at": 7, "phase": "train"}
    code, out = driven.run("--autotune")
    assert code == 0, out
    failed = driven.journal("diagnosed")[0]
    assert (failed["finding"], failed["step"], failed["lost_steps"]) == ("process-killed", 7, 2)
    assert driven.journal("launched")[1]["step"] == 4
    assert not driven.cures()


def test_run_a_raylet_that_is_gone_comes_back_with_a_new_start(driven: Driven) -> None:
    driven.fake = {"raylet_at": 7, "phase": "train"}
    code, out = driven.run("--autotune")
    assert code == 0, out
    assert driven.journal("diagnosed")[0]["finding"] == "ray-node-lost"
    assert driven.journal("verified")[0]["helped"] is True


def test_run_a_process_that_is_always_killed_is_not_started_for_ever(driven: Driven) -> None:
    driven.fake = {"kill_at": 7, "phase": "train", "always": True}
    code, out = driven.run("--autotune")
    assert code == 1
    assert len(driven.journal("launched")) == 4
    assert "a new start does not help" in out


def test_run_a_hang_is_dumped_and_started_again(driven: Driven) -> None:
    driven.fake = {"hang_at": 5, "phase": "train", "children": 1}
    code, out = driven.run("--autotune", "--hang-after", "1.5")
    assert code == 0, out
    assert (driven.folder / "dumps/stacks_driver.txt").read_text() == "stacks"
    assert driven.journal("diagnosed")[0]["finding"] == "run-hangs"
    assert driven.left() == []


def test_run_a_collective_that_timed_out_is_started_again(driven: Driven) -> None:
    driven.fake = {"timeout_at": 5, "phase": "train"}
    code, out = driven.run("--autotune")
    assert code == 0, out
    assert driven.journal("diagnosed")[0]["finding"] == "run-hangs"


def test_run_an_illness_it_lived_with_is_not_what_ended_it(driven: Driven) -> None:
    driven.fake = {"kill_at": 9, "phase": "train", "metrics": {"response_clip_ratio": 1.0}}
    code, out = driven.run("--autotune")
    assert code == 0, out
    assert driven.journal("diagnosed")[0]["finding"] == "process-killed"


def test_run_broken_code_is_reported_and_not_repeated(driven: Driven) -> None:
    driven.fake = {"broken_at": 5, "phase": "reward"}
    code, out = driven.run("--autotune")
    assert code == 1
    assert "ZeroDivisionError" in out
    assert len(driven.journal("launched")) == 1


def test_run_without_autotune_suggests_and_changes_nothing(driven: Driven) -> None:
    driven.text = CONFIG.replace("1000", "65536")
    code, out = driven.run()
    assert code == 1
    assert "--autotune would do this: A smaller token budget" in out
    assert driven.settings()["train"]["max_token_in_packing"] == 65536
    assert not driven.journal("edited", "experiment")


def test_run_a_cure_that_the_trainer_refuses_is_taken_back(driven: Driven) -> None:
    driven.fake = {"host": True, "refuse": "meta_init"}
    code, out = driven.run("--autotune")
    assert code == 1, out
    assert "meta_init" not in driven.settings().get("model", {})
    assert "the trainer refuses this cure" in out


def test_run_a_budget_that_does_not_pay_is_measured_against_twice_and_reverted(driven: Driven) -> None:
    driven.fake = {"slower": True}
    driven.text = CONFIG.replace("steps: 12", "steps: 40")
    code, out = driven.run("--autotune")
    assert code == 0, out
    verdicts = [entry["verdict"] for entry in driven.journal("measured")]
    assert verdicts == ["baseline", "reverted", "baseline"]
    assert driven.settings()["train"]["max_token_in_packing"] == 1000


def test_run_write_carries_the_changes_into_the_users_file(driven: Driven) -> None:
    driven.text = CONFIG.replace("1000", "65536").replace("steps: 12", "steps: 60")
    code, out = driven.run("--autotune", "--write")
    assert code == 0, out
    best = driven.settings()["train"]["max_token_in_packing"]
    assert driven.config.read_text() == driven.text.replace("65536", str(best))
    assert "65536" in driven.config.with_name("mine.yaml.rldoctor-backup").read_text()
