"""Which lines an ignore comment answers, in scripts and YAML."""

import pytest

from rldoctor.suppress.inline import comments
from rldoctor.types import Evidence, Finding

SCRIPT = """\
#!/bin/bash
# rldoctor: ignore[few-ranks] measured, fine

# the launch
python3 -m verl.trainer.main_ppo \\
    trainer.nnodes=4 \\
    trainer.save_freq=20
ARGS=(
  --ep 1  # rldoctor: ignore[few-ranks, other-rule] two nodes only
  --tp 2
)
"""


def finding(rule: str, file: str = "a.sh", *lines: int) -> Finding:
    return Finding(
        rule, rule, "a.sh", rule, "error", "certain", "", tuple(Evidence("x", file, n) for n in lines)
    )


def lines_covered(text: str, rule: str) -> list[int]:
    found = list(comments("a.sh", text.encode()))
    every = range(1, text.count("\n") + 1)
    return [n for n in every if any(each.covers(finding(rule, "a.sh", n)) for each in found)]


def test_a_comment_alone_is_for_the_whole_command_below_it() -> None:
    assert lines_covered(SCRIPT, "few-ranks") == [5, 6, 7, 9]
    assert lines_covered(SCRIPT, "other-rule") == [9]
    assert lines_covered(SCRIPT, "third-rule") == []


def test_rules_and_reason_are_read() -> None:
    first, second = comments("a.sh", SCRIPT.encode())
    assert (first.line, first.rules, first.reason) == (2, ("few-ranks",), "measured, fine")
    assert (second.rules, second.reason) == (("few-ranks", "other-rule"), "two nodes only")


def test_a_comment_answers_its_own_file_and_a_finding_without_a_line() -> None:
    (comment, _) = comments("a.sh", SCRIPT.encode())
    assert not comment.covers(finding("few-ranks", "model.sh", 5))
    assert comment.covers(finding("few-ranks"))


@pytest.mark.parametrize("text", ["actor:\r\n  # rldoctor: ignore[r] why\r\n  ep: 1\r\n  tp: 2\r\n"])
def test_yaml_with_windows_line_ends(text: str) -> None:
    assert lines_covered(text, "r") == [3]


def test_a_comment_at_the_end_of_the_file_covers_nothing_else() -> None:
    assert lines_covered("ep: 1\n# rldoctor: ignore[r] why\n", "r") == [2]
