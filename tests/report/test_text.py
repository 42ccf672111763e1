from pathlib import Path

import pytest
from msgspec.structs import replace

from rldoctor.report.text import as_text, lines
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
    assert "     3 | rollout.tp=4\n" in text
    assert "     3 - rollout.eager=False\n     3 + rollout.eager=True\n" in text
    assert text.endswith("1 warning\n--fix mends 1; --diff only shows.\n")


def test_a_default_has_no_line_and_the_subject_stands_in() -> None:
    told = replace(finding(), evidence=(Evidence("rollout.eager=False (default)", key="rollout.eager"),))
    text = as_text(Report("check", ("train.sh",), "config", "1 warning", (told,)))
    assert text.startswith("train.sh: warning: rollout.tp=4")
    assert "       = rollout.eager=False (default)\n" in text


def test_diagnose_folds_consequences_under_their_root_and_ends_with_hints() -> None:
    root = replace(
        finding("run.log"),
        severity="error",
        part="root",
        remedies=(Remedy("No graphs", "safe", command="rollout.eager=True"),),
    )
    after = replace(finding("run.log"), id="b", rule="nccl", title="NCCL timed out", part="consequence",
                    explained_by="a", explanation="14 lines on 14 ranks")  # fmt: skip
    again = replace(
        finding("run.log"), id="c", rule="slow-save", title="saving is slow", severity="hint", part="hint"
    )
    text = as_text(Report("diagnose", ("run.log",), "config", "one root", (root, after, again)))
    assert "hints:" not in text  # it only reads the root's own line once more
    hint = replace(again, evidence=(Evidence("saves slowly", "run.log", 9),))
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


def checked(*findings: Finding) -> str:
    return as_text(Report("check", ("train.sh",), "config", "2 warnings", findings))


def test_what_several_findings_say_alike_is_said_once() -> None:
    one = replace(finding(), assumes=("verl 0.9", "NNODES is unset"))
    other = replace(one, id="b", title="another key", assumes=("verl 0.9",))
    shown = checked(one, other)
    assert shown.count("Graph capture is slow.") == 1
    assert "  why: as above\n" in shown
    assert "certain, assuming NNODES is unset\n" in shown
    assert shown.count("verl 0.9") == 1
    assert "assumed: verl 0.9\n" in shown


def test_check_says_which_option_makes_which_edits() -> None:
    (edit,) = finding().remedies[0].edits
    bold = replace(finding(), remedies=(Remedy("Less", "unsafe", edits=(edit,)),))
    manual = replace(finding(), remedies=(Remedy("Think", "manual"),))
    guess = replace(finding(), confidence="possible")
    both = "--fix mends 1; --unsafe-fixes 1 more, which may change results or costs; --diff only shows.\n"
    assert checked(finding(), bold, manual, guess).endswith(both)
    assert checked(bold).endswith(
        "--unsafe-fixes mends 1, which may change results or costs; with --diff it only shows.\n"
    )
    assert checked(manual).endswith("2 warnings\n")


def test_an_edit_in_another_file_names_it() -> None:
    far = Edit("base.sh", 7, 0, 0, "replace", "a=1", "a=2")
    told = replace(finding(), remedies=(Remedy("No graphs", "safe", edits=(far,)),))
    assert "     base.sh:\n     7 - a=1\n     7 + a=2\n" in checked(told)


def test_the_root_is_named_once_behind_the_words_that_lead_to_it() -> None:
    root = replace(finding("run.log"), severity="error", part="root")
    summary = f"Most likely root cause: {root.title}; 2 other findings follow from it."
    lines = as_text(Report("diagnose", ("run.log",), "config", summary, (root,))).splitlines()
    assert lines[0] == f"Most likely root cause: {root.title} [graphs-time-out]"
    assert lines[1].startswith("    run.log:3: ")
    assert sum(root.title in line for line in lines) == 1


def test_a_lesser_cure_is_cut_at_a_word_and_its_command_never() -> None:
    command = "actor_rollout_ref.actor.megatron.expert_model_parallel_size=" + "4" * 90
    wordy = Remedy("Fewer " + "tokens " * 40, "unsafe", command=command)
    root = replace(finding("run.log"), part="root", remedies=(Remedy("First", "safe"), wordy))
    shown = diagnosed(root)
    assert f"     {command}\n" in shown
    assert "tokens… (unsafe)" in " ".join(shown.split())


def test_a_line_that_only_announces_others_is_no_proof() -> None:
    pieces = (
        Evidence("Stack trace of the failed collective:", "run.log", 1),
        Evidence("frame #0", "run.log", 2),
    )
    root = replace(finding("run.log"), part="root", evidence=pieces)
    assert "Stack trace" not in diagnosed(root)
    assert "Stack trace" in diagnosed(replace(root, evidence=pieces[:1]))


@pytest.mark.parametrize("width", [40, 60, 100])
def test_texts_are_broken_at_words_to_the_width_of_the_terminal(width: int) -> None:
    wordy = replace(finding(), part="root", explanation="Graph capture is slow. " * 20, evidence=())
    report = Report("diagnose", ("run.log",), "config", "summary", (wordy,))
    shown = [line.text for line in lines(report, width=width)]
    assert max(map(len, shown[3:])) <= width
    assert any(len(text) > width - 10 for text in shown[3:])
    assert all(text.startswith("       ") for text in shown[3 : shown.index("  1. No graphs (safe)")][1:])


def test_an_event_of_a_run_is_told_in_words() -> None:
    event = '{"v": 1, "t": 1795297329.133608, "kind": "process_death", "signal": "SIGKILL", "step": 3}'
    root = replace(finding("run.log"), part="root", evidence=(Evidence(event, "events.jsonl", 7),))
    assert "    events.jsonl:7: process_death: signal: SIGKILL, step: 3\n" in diagnosed(root)


def test_lines_that_differ_in_numbers_alone_are_shown_once() -> None:
    texts = ("[Rank 0] timed out after 600010 ms at 0x7f3a", "[Rank 11] timed out after 600012 ms at 0xbeef1")
    pieces = tuple(Evidence(text, "run.log", number) for number, text in enumerate(texts, start=5))
    shown = diagnosed(replace(finding("run.log"), part="root", evidence=(*pieces, Evidence("peer lost"))))
    assert f"    run.log:5: {texts[0]} (also 6)\n" in shown
    assert texts[1] not in shown
    assert "peer lost" in shown


def test_another_reading_of_the_roots_own_line_is_left_to_verbose() -> None:
    root = replace(finding("run.log"), part="root")
    same = replace(finding("run.log"), id="b", rule="another-reading", part="hint")
    elsewhere = (Evidence("x", "run.log", 90),)
    far = replace(same, id="c", rule="somewhere-else", evidence=elsewhere)
    shown = diagnosed(root, same, far)
    assert "[another-reading]" not in shown
    assert "[somewhere-else]" in shown
    assert "  … 1 more; --verbose shows all\n" in shown


def test_what_follows_from_the_settings_shown_is_left_to_verbose() -> None:
    pieces = (Evidence("timed out", "run.log", 3), Evidence("experts of a rank: 128 (computed)"))
    root = replace(finding("run.log"), part="root", evidence=pieces)
    assert "experts of a rank" not in diagnosed(root)
    report = Report("diagnose", ("run.log",), "config", "summary", (root,))
    assert "experts of a rank: 128 (computed)" in as_text(report, verbose=True)


def test_what_a_terminal_would_obey_is_not_passed_on() -> None:
    loud = (Evidence("bad\x07 \x1b]0;title\x07thing\x9b31m\tcolumn", "run.log", 3),)
    shown = diagnosed(replace(finding("run.log"), part="root", evidence=loud))
    assert "    run.log:3: bad ]0;titlething31m\tcolumn\n" in shown
