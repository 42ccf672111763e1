"""What two sizes that differ say about their cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.causes.sizes import compared
from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts

MUST_MATCH = "The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton dimension 2"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (MUST_MATCH.format(16640, 33280), "One is 2 times the other"),
        (MUST_MATCH.format(53, 2), "num_labels=1"),
        (MUST_MATCH.format(2048, 2049), "differ by 1"),
        (MUST_MATCH.format(151936, 152064), "vocabulary"),
        ("mat1 and mat2 shapes cannot be multiplied (4x5120 and 1280x10240)", "One is 4 times"),
        ("Sizes of tensors must match except in dimension 0. Expected size 512 but got size 4096", "8 times"),
        (MUST_MATCH.format(0, 4096), "ZeRO-3"),
        ("shape '[1, 2048, 64, 128]' is invalid for input of size 2097152", "1/8 of what"),
        ("shape '[4, 16, 8]' is invalid for input of size 1024", "2 times as much"),
        ("Expected input batch_size (34) to match target batch_size (1).", "num_labels"),
    ],
)
def test_sizes_that_tell(message: str, words: str) -> None:
    told = compared(message)
    assert told is not None and words in told


@pytest.mark.parametrize(
    "message",
    [
        MUST_MATCH.format(1024, 1150),
        MUST_MATCH.format(1, 5000),
        MUST_MATCH.format(20, 20 * 65),
        "Expected input batch_size (34) to match target batch_size (33).",
        "Expected input batch_size (34) to match target batch_size (0).",
        "no sizes at all",
        "shape '[3, 5, 7]' is invalid for input of size 100",
        "shape '[2, 0]' is invalid for input of size 100",
    ],
)
def test_sizes_that_tell_nothing(message: str) -> None:
    assert compared(message) is None


def test_it_stands_in_the_first_cure(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(
        'Traceback (most recent call last):\n  File "/opt/lathe/turn.py", line 9, in turn\n'
        f"    wheel = wheel * axle\nRuntimeError: {MUST_MATCH.format(128, 512)}\n"
    )
    finding = diagnose([str(path)], None, ToldFacts()).findings[0]
    assert finding.rule == "unrecognised"
    assert "One is 4 times the other" in finding.remedies[0].title
