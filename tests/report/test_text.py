from pathlib import Path

import pytest
from msgspec.structs import replace

from rldoctor.report import as_text
from rldoctor.types import Edit, Evidence, Finding, Remedy, Report

SCRIPT = "set -x\npython train.py \\\n    rollout.tp=4 rollout.eager=False \\\n    trainer.nnodes=2\n"


def finding(path: str = "train.sh") -> Finding:
    return Finding(
        id="a", rule="graphs-time-out", subject=path, title="rollout.tp=4 without eager can time out",
        severity="warning", confidence="certain", explanation="Graph capture is slow.",
        evidence=(Evidence("rollout.eager=False", path, 3, "rollout.eager"),
                  Evidence("rollout.tp=4", path, 3, "rollout.tp")),
        remedies=(Remedy("No graphs", "safe", {"rollout.eager": True},
                         (Edit(path, 3, 0, 0, "replace", "rollout.eager=False", "rollout.eager=True"),)),),
    )  # fmt: skip


def test_check_points_at_the_setting_as_compilers_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.sh").write_text(SCRIPT)
    text = as_text(Report("check", ("train.sh",), "config", "1 warning", (finding(),)))
    assert text.splitlines()[:3] == [
        "train.sh:3:18: warning: rollout.tp=4 without eager can time out [graphs-time-out]",
        "     3 |     rollout.tp=4 rollout.eager=False \\",
        "       |                  ^~~~~~~~~~~~~~~~~~~",
    ]
    assert "     - rollout.eager=False\n     + rollout.eager=True\n" in text
    assert text.endswith("1 warning\n")


def test_a_default_has_no_line_and_the_subject_stands_in() -> None:
    told = replace(finding(), evidence=(Evidence("rollout.eager=False (default)", key="rollout.eager"),))
    text = as_text(Report("check", ("train.sh",), "config", "1 warning", (told,)))
    assert text.startswith("train.sh: warning: rollout.tp=4")
    assert "    rollout.eager=False (default)\n" in text


def test_diagnose_folds_consequences_under_their_root_and_ends_with_hints() -> None:
    root = replace(
        finding("run.log"),
        severity="error",
        part="root",
        remedies=(Remedy("No graphs", "safe", command="rollout.eager=True"),),
    )
    after = replace(finding("run.log"), id="b", rule="nccl", title="NCCL timed out", part="consequence",
                    explained_by="a", explanation="14 lines on 14 ranks")  # fmt: skip
    hint = replace(
        finding("run.log"), id="c", rule="slow-save", title="saving is slow", severity="hint", part="hint"
    )
    text = as_text(Report("diagnose", ("run.log",), "config", "one root", (root, after, hint)))
    lines = text.splitlines()
    assert lines[0] == "one root"
    assert lines[2].startswith("error: rollout.tp=4")
    assert "  explains 14 lines on 14 ranks: NCCL timed out [nccl]" in lines
    assert "     rollout.eager=True" in lines
    assert lines.index("hints:") > lines.index("  explains 14 lines on 14 ranks: NCCL timed out [nccl]")


def test_secrets_of_the_source_line_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.sh").write_text(SCRIPT.replace("rollout.tp=4", "WANDB_API_KEY=abcdefabcdef1234"))
    text = as_text(Report("check", ("train.sh",), "config", "1 warning", (finding(),)))
    assert "abcdefabcdef1234" not in text


def diagnosed(*findings: Finding) -> str:
    return as_text(Report("diagnose", ("run.log",), "config", "summary", findings))


def test_the_same_words_on_many_lines_are_shown_once_with_their_places() -> None:
    error = "ValueError: 30 is not divisible by 4"
    pieces = tuple(Evidence(error, "run.log", number) for number in (79, 89, 99))
    root = replace(finding("run.log"), severity="error", part="root", evidence=(*pieces, Evidence("other")))
    shown = diagnosed(root)
    assert f"    run.log:79: {error} (also 89, 99)\n" in shown
    assert shown.count(error) == 1
    assert "    other\n" in shown


def test_an_illness_beside_a_death_takes_one_line() -> None:
    root = replace(finding("run.log"), severity="error", part="root")
    ill = replace(finding("run.log"), id="b", rule="answers-grow", part="root", explanation="They grow.")
    shown = diagnosed(root, ill)
    assert "[answers-grow]" in shown
    assert "They grow." not in shown


def test_what_the_run_survived_is_said_so_and_without_a_cure() -> None:
    went_on = "The run went on after it. Graph capture is slow."
    hint = replace(finding("run.log"), severity="hint", part="hint", explanation=went_on)
    shown = diagnosed(hint)
    assert "  - survived: run.log:3: rollout.tp=4 without eager" in shown
    assert "No graphs" not in shown
