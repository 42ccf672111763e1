"""What an unknown exception's kind alone lets one advise."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts


def _cures(tmp_path: Path, log: str) -> list[str]:
    path = tmp_path / "train.log"
    path.write_text(log)
    finding = diagnose([str(path)], None, ToldFacts()).findings[0]
    assert finding.rule == "unrecognised"
    return [remedy.title for remedy in finding.remedies]


def _raised(error: str, file: str = "/opt/venv/lib/python3.11/site-packages/lathe/turn.py") -> str:
    return f'Traceback (most recent call last):\n  File "{file}", line 9, in turn\n    spin(rows)\n{error}\n'


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("TypeError: GRPOTrainer._cut() takes 1 positional argument but 2 were given", "lathe and trl"),
        ("AttributeError: 'Qwen9Config' object has no attribute 'widths'", "lathe and transformers"),
        ("AttributeError: 'NoneType' object has no attribute 'mean'", "is None in turn"),
        ("ValueError: zero-size array to reduction operation maximum", "nothing is left in turn"),
        (
            "RuntimeError: The size of tensor a (5) must match the size of tensor b (6)",
            "Compare the two lengths",
        ),
        ("KeyError: 'bolts'", "'bolts' should come from"),
        ("AssertionError: spindle must be odd", "demands: spindle must be odd"),
        (
            "requests.exceptions.HTTPError: 400 Client Error: Bad Request for url: http://x/turn",
            "its own error",
        ),
    ],
)
def test_kind(tmp_path: Path, error: str, words: str) -> None:
    cures = _cures(tmp_path, _raised(error))
    assert words in cures[0]
    assert cures[-1].startswith("Search the issues")


def test_file_on_top_tells_the_kind(tmp_path: Path) -> None:
    zero = "/opt/venv/lib/python3.11/site-packages/deepspeed/runtime/zero/partitioned_param_coordinator.py"
    assert "ZeRO-2" in _cures(tmp_path, _raised("IndexError: list index out of range", zero))[0]


def test_assertion_without_words_is_quoted(tmp_path: Path) -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/app/lathe/turn.py", line 12, in turn\n'
        "    assert len(rows) == chuck_size\n"
        "AssertionError\n"
    )
    assert "demands: assert len(rows) == chuck_size" in _cures(tmp_path, log)[0]


def test_kind_that_says_nothing_points_to_the_library(tmp_path: Path) -> None:
    assert _cures(tmp_path, _raised("lathe.Stopped: 17"))[0].startswith("Upgrade lathe")


def test_kind_that_says_nothing_points_to_the_code(tmp_path: Path) -> None:
    cures = _cures(tmp_path, _raised("lathe.Stopped: 17", "/app/mine/turn.py"))
    assert cures[0] == "Look at turn (/app/mine/turn.py:9): spin(rows)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            "RuntimeError: The wheel is worn. Set LATHE_WHEEL=2 to take another one.",
            "Set LATHE_WHEEL=2 to take",
        ),
        (
            "ValueError: too many bolts, please increase `max_bolts` or cut them",
            "please increase `max_bolts`",
        ),
        (
            "httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'http://10.0.0.4:30/x'",
            "curl its",
        ),
        ("OSError: [Errno 28] No space left on device", "Make room where turn"),
    ],
)
def test_a_cure_that_the_message_tells_comes_first(tmp_path: Path, error: str, words: str) -> None:
    assert words in _cures(tmp_path, _raised(error))[0]


def test_how_to_see_more_is_no_cure(tmp_path: Path) -> None:
    cures = _cures(tmp_path, _raised("RuntimeError: spun off. Set LATHE_DEBUG=1 for more details."))
    assert not any("message says" in cure for cure in cures)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("assert len(bolts) != 0", "why nothing is left"),
        ("assert bolts % wheels == 0", "numbers that divide"),
        ("assert bolt.dtype == nut.dtype", "one data type"),
        ("assert args.bolt_length is not None", "Set the option"),
        ("assert bolt_num == nut_num", "Compare the two counts"),
    ],
)
def test_asserted_condition_says_what_to_look_for(tmp_path: Path, condition: str, words: str) -> None:
    place = '  File "/app/mine/turn.py", line 9, in turn\n'
    cures = _cures(tmp_path, f"Traceback (most recent call last):\n{place}    {condition}\nAssertionError\n")
    assert condition in cures[0]
    assert words in cures[0]
