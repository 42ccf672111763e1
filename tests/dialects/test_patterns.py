"""Patterns of layers as Megatron's users write them."""

from __future__ import annotations

from typing import Any

import pytest

from rldoctor.dialects.patterns import entries


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("([0]*3+[1]*58)", 61),
        ("[0]*2+[1]", 3),
        ("'[0,1]*24'", 48),
        ("3*[1]", 3),
        ("[0,0,1]", 3),
        ([0, 1, 1, 1], 4),
        ("2", 0),
        (1, 0),
        (None, 0),
    ],
)
def test_a_pattern_has_as_many_entries_as_it_makes(text: Any, length: int) -> None:
    assert len(entries(text) or []) == length


@pytest.mark.parametrize(
    "text",
    [
        "[1]*(10**9)",
        "__import__('os').getcwd()",
        "[0]*3+",
        "[n]*4",
        "[0]*5000*5000",
        "[" * 3000,
        "1+" * 9000 + "1",
    ],
)
def test_what_is_no_pattern_is_nobodys_guess(text: str) -> None:
    assert entries(text) is None
