from rldoctor.report.text import as_text
from rldoctor.types import Evidence, Finding, Remedy, Report

LONG = "/scratch/project_465/kim/experiments/longcontext/megatron/core/models/gpt/gpt_model.py"


def finding(rule: str, part: str = "root", explained_by: str | None = None) -> Finding:
    frames = (Evidence(f"loss ({LONG}:597)"), Evidence(f"forward ({LONG}:548)"))
    return Finding(
        rule, rule, "a.log", "The run failed", "error", "certain", f"It was raised in forward ({LONG}:548).",
        (Evidence("ValueError: bad", "a.log", 3), *frames),
        (Remedy(f"Look at loss ({LONG}:597)", "manual"),),
        part=part,  # type: ignore[arg-type]
        explained_by=explained_by,
    )  # fmt: skip


def test_a_long_path_is_written_out_once() -> None:
    text = as_text(Report("diagnose", ("a.log",), "code", "The run failed", (finding("one"),)))
    assert text.count(LONG) == 1
    assert f"loss ({LONG}:597)" in text
    assert text.count("(…/gpt/gpt_model.py:548)") == 2
    assert "Look at loss (…/gpt/gpt_model.py:597)" in text


def test_what_only_points_elsewhere_is_not_shown_beside_a_root() -> None:
    pointer = "worker-failed-without-its-error"
    both = (finding("one"), finding(pointer, "consequence", "one"), finding(pointer, "hint"))
    text = as_text(Report("diagnose", ("a.log",), "code", "The run failed", both))
    assert pointer not in text
    alone = as_text(Report("diagnose", ("a.log",), "nothing", "Nothing", (finding(pointer, "hint"),)))
    assert pointer in alone


def test_ranks_that_say_the_same_in_their_own_files_are_shown_once() -> None:
    words = "train.py: error: unrecognized arguments: --keep 5"
    said = [Evidence(words, f"/runs/7/{n}/stderr.log", 60 + n) for n in range(9)]
    one = Finding("x", "x", "/runs/7", "The run failed", "error", "certain", "Why.", tuple(said))
    text = as_text(Report("diagnose", ("/runs/7",), "code", "The run failed", (one,)))
    assert text.count("unrecognized arguments") == 1
    assert "(also 1/stderr.log:61, 2/stderr.log:62," in text
    assert "2 more)" in text
