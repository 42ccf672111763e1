"""Findings that are answered, answers that do nothing, and what was asked for, through the program."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rldoctor.rules import index
from rldoctor.suppress.choice import choice
from rldoctor.types import RLDoctorError

SCRIPT = """\
#!/bin/bash
export CUDA_DEVICE_MAX_CONNECTIONS=1
ray start --head --num-gpus 8
{above}python3 train.py \\
   --actor-num-nodes 1 --actor-num-gpus-per-node 8 --rollout-num-gpus 8 --colocate \\
   --hf-checkpoint /models/Qwen3-4B \\
   --rollout-batch-size 32 --n-samples-per-prompt 8 --num-rollout 100 --save-interval 20 --save /ckpt \\
   --max-tokens-per-gpu 9216 \\
   --num-steps-per-rollout 4 --global-batch-size 256
"""
RULES = ("global-batch-contradicts-steps", "token-budget-inactive")


def checked(folder: Path, *words: str, above: str = "", project: str = "") -> dict[str, Any]:
    (folder / "launch").mkdir(exist_ok=True)
    (folder / "launch/train.sh").write_text(SCRIPT.replace("{above}", above))
    if project:
        (folder / ".rldoctor.yaml").write_text(project)
    command = [sys.executable, "-m", "rldoctor", "check", "launch/train.sh", "--format", "json", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return {"code": done.returncode, "stderr": done.stderr, **json.loads(done.stdout or "{}")}


def rules_of(report: dict[str, Any], *severities: str) -> list[str]:
    return [each["rule"] for each in report["findings"] if not severities or each["severity"] in severities]


def test_a_comment_answers_and_says_why_in_the_report(tmp_path: Path) -> None:
    before = checked(tmp_path)
    assert set(RULES) <= set(rules_of(before)) and before["suppressed"] == []
    after = checked(tmp_path, above=f"# rldoctor: ignore[{RULES[0]}, {RULES[1]}] as in the paper\n")
    assert [each for each in rules_of(before) if each not in RULES] == rules_of(after)
    assert {each["finding"]["rule"] for each in after["suppressed"]} == set(RULES)
    assert {(each["reason"], each["file"], each["line"]) for each in after["suppressed"]} == {
        ("as in the paper", "launch/train.sh", 4)
    }
    assert "; 2 suppressed" in after["summary"]


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        (f"# rldoctor: ignore[{RULES[0]}]\n", "needs a reason"),
        ("# rldoctor: ignore it all\n", "names its rule"),
        ("# rldoctor: ignore[token-budget-inactiv] why\n", "did you mean token-budget-inactive"),
        ("# rldoctor: ignore[moe-dist-checkpoint-hang] why\n", ""),
        ("# rldoctor: ignore[too-few-kv-heads-for-tp] why\n", ""),
    ],
)
def test_a_comment_that_does_nothing_is_a_hint_where_it_stands(
    tmp_path: Path, comment: str, said: str
) -> None:
    report = checked(tmp_path, above=comment)
    assert set(RULES) <= set(rules_of(report))
    (hint,) = [each for each in report["findings"] if each["rule"] == "suppression"]
    assert (hint["severity"], hint["evidence"][0]["line"]) == ("hint", 4)
    assert said.lower() in hint["title"].lower()


def test_a_project_answers_until_its_day_and_then_no_more(tmp_path: Path) -> None:
    entry = f"suppress: [{{rule: {RULES[0]}, reason: known, until: DAY, paths: [launch]}}]\n"
    holds = checked(tmp_path, project=entry.replace("DAY", "2999-01-31"))
    assert RULES[0] not in rules_of(holds)
    (answered,) = holds["suppressed"]
    assert (answered["reason"], answered["until"], answered["file"]) == (
        "known",
        "2999-01-31",
        ".rldoctor.yaml",
    )
    over = checked(tmp_path, project=entry.replace("DAY", "2020-01-31"))
    assert RULES[0] in rules_of(over) and over["suppressed"] == []
    assert any("ended on 2020-01-31" in note for note in over["notes"])


def test_a_project_tells_facts_and_releases(tmp_path: Path) -> None:
    report = checked(tmp_path, project="set: {cluster.nodes: 3}\nversions: {slime: 0.2.0}\n")
    told = {fact["concept"]: fact["value"] for fact in report["facts"]}
    assert told["cluster.nodes"] == 3
    assert any("slime 0.2.0" in note and "cluster.nodes=3" in note for note in report["notes"])
    above = checked(tmp_path, "--nodes", "2")
    assert {fact["concept"]: fact["value"] for fact in above["facts"]}["cluster.nodes"] == 2


def test_a_broken_project_is_bad_input_said_once(tmp_path: Path) -> None:
    report = checked(tmp_path, "launch/train.sh", project="supress: []\n")
    assert report["code"] == 2
    assert report["stderr"].count("did you mean suppress?") == 1


def test_a_project_beyond_the_repository_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch/.git").mkdir()
    assert checked(tmp_path, project="nonsense: 1\n")["code"] == 1


def test_fix_leaves_alone_what_is_answered(tmp_path: Path) -> None:
    comment = f"# rldoctor: ignore[{RULES[1]}] later\n"
    checked(tmp_path, "--fix", above=comment)
    assert "--use-dynamic-batch-size" not in (tmp_path / "launch/train.sh").read_text()
    checked(tmp_path, "--fix")
    assert "--use-dynamic-batch-size" in (tmp_path / "launch/train.sh").read_text()


def test_select_and_ignore_take_rules_phases_and_severities(tmp_path: Path) -> None:
    every = rules_of(checked(tmp_path))
    assert rules_of(checked(tmp_path, "--select", RULES[0])) == [RULES[0]]
    errors = checked(tmp_path, "--select", "error")
    assert set(rules_of(errors)) == set(rules_of(errors, "error")) != set()
    less = rules_of(checked(tmp_path, "--ignore", f"{RULES[0]},hint"))
    assert RULES[0] not in less and RULES[1] in less and set(less) < set(every)
    assert checked(tmp_path, "--select", "sync")["code"] == 0


def test_a_word_that_names_nothing_is_an_error_with_the_nearest() -> None:
    with pytest.raises(RLDoctorError, match="did you mean rollout"):
        choice(["rolout"], [], index().ids)
    assert not choice([], [], ())
