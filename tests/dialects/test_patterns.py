"""Patterns of layers as Megatron's users write them."""

from __future__ import annotations

from typing import Any

import pytest

from rldoctor.dialects.patterns import decoders, entries, stages


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


@pytest.mark.parametrize(
    ("layout", "many", "layers"),
    [("Et*3|(tt|)*6mL", 8, 15), ("Ettt|(tt|)*29,m|L", 32, 61), ("Et*7|t*7mL", 2, 14), (None, 0, 0)],
)
def test_a_layout_is_unrolled_as_megatron_does(layout: Any, many: int, layers: int) -> None:
    assert len(stages(layout) or []) == many
    assert len(decoders(layout) or []) == layers


@pytest.mark.parametrize(
    "layout", ["$LAYOUT", "t*9999999", "(t" * 500 + "|)*9999" * 3, "((t*999)*999)*999|L"]
)
def test_a_layout_that_nobody_can_read_is_not_guessed(layout: str) -> None:
    assert stages(layout) is None
    assert decoders(layout) is None
