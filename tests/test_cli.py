"""The command line as a user sees it: output, exit codes, files changed, bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "ray", "numpy", "transformers", "pydantic", "rich")

RULE = """\
severity: error
title: "{train.ep} is too few"
explanation: With one expert parallel rank all experts are on it.
references: [a test]
family: storage
verdict: config
on:
- config: {severity: warning}
- log: {find: "save timed out", title: saving timed out}
when: train.ep == 1
explains: [collective_timeout]
remedies:
- {title: Four ranks, safety: safe, set: {train.ep: 4}}
- {title: Two ranks, safety: unsafe, set: {train.ep: 2}}
tests:
- {name: one, config: "x", expect: certain}
- {name: none, config: "x", expect: none}
"""
UNSAFE_RULE = RULE.replace("safety: safe", "safety: unsafe")
SCRIPT = """\
#!/bin/bash
python3 -m verl.trainer.main_ppo --config-name=ppo_megatron_trainer \\
    actor_rollout_ref.actor.strategy=megatron \\
    actor_rollout_ref.actor.megatron.expert_model_parallel_size=1 \\
    trainer.n_gpus_per_node=8 trainer.nnodes=2
"""


ALONE = """\
import pathlib, sys
from rldoctor.rules import places
places.own_folder = lambda: pathlib.Path("no-rules")
from rldoctor.cli import main
main()
"""


def rldoctor(
    *words: str, folder: Path, rule: str = RULE, stdin: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the program in a folder with one rule alone, whatever rules it comes with."""
    (folder / "no-rules").mkdir(exist_ok=True)
    mine = folder / "my-rules" / "checkpoint"
    mine.mkdir(parents=True, exist_ok=True)
    (mine / "few-expert-ranks.yaml").write_text(rule)
    told = {**os.environ, "PYTHONPATH": str(ROOT), "RLDOCTOR_RULES": str(mine.parent), **env}
    return subprocess.run(
        [sys.executable, "-c", ALONE, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        input=stdin,
        env=told,
    )


def write(folder: Path, text: str = SCRIPT, name: str = "train.sh") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def rules_of(output: str) -> list[str]:
    return [finding["rule"] for finding in json.loads(output)["findings"]]


def test_check_points_at_the_fault_and_says_why(tmp_path: Path) -> None:
    write(tmp_path)
    done = rldoctor("check", "train.sh", folder=tmp_path)
    assert done.returncode == 1
    assert (
        "train.sh:4:5: warning: actor…expert_model_parallel_size=1 is too few [few-expert-ranks]\n"
        "     4 |     actor_rollout_ref.actor.megatron.expert_model_parallel_size=1 \\\n"
        "       |     ^~~~"
    ) in done.stdout
    assert "why: With one expert parallel rank" in done.stdout
    assert "+ actor_rollout_ref.actor.megatron.expert_model_parallel_size=4" in done.stdout


def test_check_as_json_is_one_object_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path)
    done = rldoctor("check", "--format", "json", "train.sh", folder=tmp_path)
    (finding,) = [f for f in json.loads(done.stdout)["findings"] if f["rule"] == "few-expert-ranks"]
    assert finding["remedies"][0]["edits"][0] == {
        "file": "train.sh", "line": 4, "kind": "replace",
        "start": SCRIPT.index("actor_rollout_ref.actor.megatron"), "end": SCRIPT.index(" \\\n    trainer"),
        "old": "actor_rollout_ref.actor.megatron.expert_model_parallel_size=1",
        "new": "actor_rollout_ref.actor.megatron.expert_model_parallel_size=4",
    }  # fmt: skip


def test_diff_shows_and_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    done = rldoctor("check", "--diff", "train.sh", folder=tmp_path)
    assert "+    actor_rollout_ref.actor.megatron.expert_model_parallel_size=4 \\\n" in done.stdout
    assert done.stdout.startswith("--- a/train.sh")
    assert path.read_text() == SCRIPT


def test_fix_applies_what_is_safe_keeps_a_backup_and_is_stable(tmp_path: Path) -> None:
    path = write(tmp_path)
    done = rldoctor("check", "--fix", "train.sh", folder=tmp_path)
    assert path.read_text() == SCRIPT.replace("size=1", "size=4")
    assert (tmp_path / "train.sh.rldoctor-backup").read_text() == SCRIPT
    assert "changed train.sh" in done.stderr
    again = rldoctor("check", "--fix", "train.sh", folder=tmp_path)
    assert "changed" not in again.stderr
    assert path.read_text() == SCRIPT.replace("size=1", "size=4")


def test_fix_leaves_unsafe_edits_alone_unless_they_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path)
    done = rldoctor("check", "--fix", "train.sh", folder=tmp_path, rule=UNSAFE_RULE)
    assert (done.returncode, path.read_text()) == (1, SCRIPT)
    assert (
        "left: few-expert-ranks: its edit may change results or costs; --unsafe-fixes applies it"
        in done.stderr
    )
    done = rldoctor("check", "--fix", "--unsafe-fixes", "train.sh", folder=tmp_path, rule=UNSAFE_RULE)
    assert path.read_text() == SCRIPT.replace("size=1", "size=4")


def test_told_facts_count(tmp_path: Path) -> None:
    write(tmp_path, SCRIPT.replace("size=1", "size=$EP"))
    assert "few-expert-ranks" not in rldoctor("check", "train.sh", folder=tmp_path).stdout
    silent = rldoctor("check", "--explain-unknown", "train.sh", folder=tmp_path)
    assert "silent: few-expert-ranks: unknown: train.ep" in silent.stderr
    told = rldoctor("check", "--set", "train.ep=1", "train.sh", folder=tmp_path)
    assert "few-expert-ranks" in told.stdout


def test_a_clean_script_is_code_0(tmp_path: Path) -> None:
    write(tmp_path, SCRIPT.replace("size=1", "size=4"))
    done = rldoctor("check", "train.sh", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "Nothing wrong found in 1 file.\n")


def test_diagnose_names_the_root_with_the_config_that_the_log_prints(tmp_path: Path) -> None:
    launch = "+ " + " ".join(SCRIPT.splitlines()[1:]).replace("\\ ", "")
    write(tmp_path, f"{launch}\n[rank0]: save timed out\nRuntimeError: gave up\n", "run.log")
    done = rldoctor("diagnose", "--format", "json", "run.log", folder=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    root = report["findings"][0]
    assert (root["rule"], root["part"], root["confidence"]) == ("few-expert-ranks", "root", "certain")
    assert root["evidence"][0]["text"].endswith("save timed out")
    assert root["remedies"][0]["command"] == "actor_rollout_ref.actor.megatron.expert_model_parallel_size=4"
    assert root["remedies"][0]["edits"] == []
    assert "run.log:1" in report["notes"][0]


def test_diagnose_takes_the_config_that_is_given_and_edits_it(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "[rank0]: save timed out\n", "run.log")
    done = rldoctor("diagnose", "--config", "train.sh", "--format", "json", "run.log", folder=tmp_path)
    (edit,) = json.loads(done.stdout)["findings"][0]["remedies"][0]["edits"]
    assert (edit["file"], edit["line"]) == ("train.sh", 4)


def test_diagnose_reads_standard_input(tmp_path: Path) -> None:
    done = rldoctor("diagnose", "-", folder=tmp_path, stdin="[rank0]: save timed out\n")
    assert (done.returncode, "[few-expert-ranks]" in done.stdout) == (1, True)


def test_an_unrecognised_failure_is_reported(tmp_path: Path) -> None:
    trace = 'Traceback (most recent call last):\n  File "/home/me/score.py", line 3, in score\n    x()\n'
    trace += "ZapError: no more zap\n"
    write(tmp_path, trace, "run.log")
    done = rldoctor("diagnose", "run.log", folder=tmp_path)
    assert done.returncode == 1
    assert (
        "ZapError" in done.stdout and "/home/me/score.py" in done.stdout and "[unrecognised]" in done.stdout
    )


def test_a_healthy_log_is_code_0(tmp_path: Path) -> None:
    write(
        tmp_path,
        "".join(f"step:{n} - actor/loss:0.1 - actor/grad_norm:0.5\n" for n in range(1, 30)),
        "run.log",
    )
    done = rldoctor("diagnose", "run.log", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "Nothing wrong found in 29 lines.\n")


def test_rules_can_be_listed_and_explained(tmp_path: Path) -> None:
    listed = rldoctor("rules", folder=tmp_path)
    assert listed.returncode == 0 and "few-expert-ranks" in listed.stdout
    explained = rldoctor("explain", "few-expert-ranks", folder=tmp_path)
    assert "<expert parallel size> is too few" in explained.stdout
    assert "1. Four ranks (safe)" in explained.stdout
    wrong = rldoctor("explain", "few-expert-rank", folder=tmp_path)
    assert (wrong.returncode, "few-expert-ranks" in wrong.stderr) == (2, True)


def bad(folder: Path) -> dict[str, tuple[str, ...]]:
    (folder / "folder").mkdir()
    (folder / "empty.sh").write_text("")
    (folder / "binary.sh").write_bytes(bytes(range(256)) * 40)
    (folder / "broken.yaml").write_text("a: 1\nb: [1, 2\nc: 3\n")
    (folder / "other.sh").write_text("echo hello\n")
    (folder / "train.sh").write_text(SCRIPT)
    return {
        "missing": ("check", "missing.sh"),
        "directory": ("check", "folder"),
        "empty": ("check", "empty.sh"),
        "binary": ("check", "binary.sh"),
        "broken yaml": ("check", "broken.yaml"),
        "unknown system": ("check", "other.sh"),
        "system name": ("check", "--system", "verll", "train.sh"),
        "concept": ("check", "--set", "train.epp=1", "train.sh"),
        "no value": ("check", "--set", "train.ep", "train.sh"),
        "bad value": ("check", "--set", "train.ep=many", "train.sh"),
        "option": ("check", "--fixx", "train.sh"),
        "no file": ("check",),
        "missing log": ("diagnose", "missing.log"),
        "empty log": ("diagnose", "empty.sh"),
        "missing config": ("diagnose", "--config", "missing.sh", "train.sh"),
    }


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("missing", "missing.sh"), ("directory", "folder"), ("empty", "empty"), ("binary", "binary.sh"),
        ("broken yaml", "broken.yaml:"), ("unknown system", "--system"), ("system name", "verl"),
        ("concept", "train.ep"), ("no value", "CONCEPT=VALUE"), ("bad value", "whole number"),
        ("option", "--fix"),
        ("no file", "FILE"), ("missing log", "missing.log"), ("empty log", "log is empty"),
        ("missing config", "missing.sh"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_message_and_code_2(tmp_path: Path, case: str, says: str) -> None:
    done = rldoctor(*bad(tmp_path)[case], folder=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr + done.stdout and "internal error" not in done.stderr


def test_of_several_files_the_others_are_still_done(tmp_path: Path) -> None:
    write(tmp_path)
    done = rldoctor("check", "missing.sh", "train.sh", folder=tmp_path)
    assert done.returncode == 2
    assert "[few-expert-ranks]" in done.stdout and "missing.sh" in done.stderr


def test_among_several_files_one_of_another_system_is_skipped_with_a_note(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "echo hello\n", "other.sh")
    done = rldoctor("check", "other.sh", "train.sh", folder=tmp_path)
    assert done.returncode == 1
    assert "note: " in done.stdout and "other.sh" in done.stdout


def test_fix_in_a_read_only_folder_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    path = write(folder)
    folder.chmod(0o555)
    path.chmod(0o444)
    if os.access(path, os.W_OK):
        pytest.skip("this user may write everywhere")
    done = rldoctor("check", "--fix", "locked/train.sh", folder=tmp_path)
    folder.chmod(0o755)
    assert (done.returncode, path.read_text()) == (2, SCRIPT)
    assert "read-only" in done.stderr


def test_an_internal_error_is_one_line_unless_debugging(tmp_path: Path) -> None:
    code = "import rldoctor.cli as c; c.cli.main = lambda **k: 1 / 0; c.main([])"
    quiet = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (quiet.returncode, len(quiet.stderr.splitlines())) == (2, 1)
    assert "ZeroDivisionError" in quiet.stderr and "Please report it" in quiet.stderr
    env = {**os.environ, "RLDOCTOR_DEBUG": "1"}
    loud = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=env)
    assert "Traceback" in loud.stderr


def modules(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


LIGHT = {"rldoctor.exits", "rldoctor.cli", "rldoctor.options", "rldoctor.types"}


def test_the_command_line_loads_nothing_heavy() -> None:
    loaded = modules("import rldoctor.cli")
    assert not loaded & set(HEAVY)
    assert not {name for name in loaded if name.startswith("rldoctor.")} - LIGHT


def test_a_check_loads_no_logs_and_nothing_heavy(tmp_path: Path) -> None:
    path = write(tmp_path)
    code = "from rldoctor.check import check\nfrom rldoctor.facts import ToldFacts\n"
    code += f"check([{str(path)!r}], ToldFacts())"
    loaded: Any = modules(code)
    assert not loaded & {*HEAVY, "hyperscan", "rldoctor.logs"}


def test_the_release_in_use_is_told(tmp_path: Path) -> None:
    name = write(tmp_path).name
    rule = RULE.replace("when: train.ep == 1", "when: train.ep == 1 and version.verl == '0.6.1'")
    words = ("check", name, "--format", "json")
    assert not rules_of(rldoctor(*words, folder=tmp_path, rule=rule).stdout)
    for told in ("0.6.1", "verl=0.6.1"):
        done = rldoctor(*words, "--framework-version", told, folder=tmp_path, rule=rule)
        assert rules_of(done.stdout) == ["few-expert-ranks"]


def test_what_a_script_is_started_with_is_told(tmp_path: Path) -> None:
    text = "EP=$1; shift\npython3 -m verl.trainer.main_ppo --config-name=ppo_megatron_trainer \\\n"
    text += "  actor_rollout_ref.actor.strategy=megatron trainer.nnodes=$NNODES \\\n"
    text += "  actor_rollout_ref.actor.megatron.expert_model_parallel_size=$EP $@\n"
    name = write(tmp_path, text).name
    words = ("check", name, "--env", "NNODES=3", "--gpus", "4", "--format", "json")
    told = json.loads(rldoctor(*words, "--", "1", "trainer.save_freq=7", folder=tmp_path).stdout)
    facts = {fact["concept"]: fact["value"] for fact in told["facts"] if fact["role"] == "policy"}
    assert (facts["train.ep"], facts["train.nodes"], facts["ckpt.save_interval"]) == (1, 3, 7)
    assert facts["cluster.gpus_per_node"] == 4
    assert [finding["rule"] for finding in told["findings"]] == ["few-expert-ranks"]
    (tmp_path / "run.yaml").write_text("actor_rollout_ref: {actor: {strategy: fsdp}}\n")
    noted = rldoctor("check", "run.yaml", "--", "a=1", folder=tmp_path)
    assert "takes no arguments: a=1" in noted.stdout
    assert rldoctor("check", name, "--env", "NNODES", folder=tmp_path).returncode == 2
