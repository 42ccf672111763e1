from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rldoctor.logs import reader, shapes
from rldoctor.logs.matchers import HyperscanMatcher
from rldoctor.logs.opening import find
from rldoctor.logs.patterns import parse
from rldoctor.logs.pieces import Piece, choose
from rldoctor.logs.required import required
from rldoctor.logs.scanning import scan
from rldoctor.rules import index, load_all

ATOMS = [
    "err",
    "no ",
    "CUDA",
    r"\d",
    "[ab]",
    "[^x]",
    ".",
    r"\s",
    "(?:lost|gone)",
    "(?i:Dead)",
    "(?:x|)",
    r"\b",
]
TIMES = ["", "?", "*", "+", "{2}", "{0,3}", "{1,2}", "+?"]
PIECES = ["err", "no ", "CUDA", "7", "a", "b", "x", " ", "lost", "gone", "dead", "DEAD", "q"]


def holds(text: bytes, wanted: frozenset[Piece]) -> bool:
    return any(
        piece.text.lower() in text.lower() if piece.caseless else piece.text in text for piece in wanted
    )


def texts(expression: str) -> set[str] | None:
    found = required(expression.encode())
    return None if found is None else {piece.text.decode() for piece in found}


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(TIMES)), min_size=1, max_size=5),
    st.lists(st.sampled_from(PIECES), max_size=12),
    st.sampled_from(["{}", "(?:{}|fail)", "(?i){}", "a(?P<n>{})+"]),
)
def test_every_match_holds_one_of_the_texts(
    atoms: list[tuple[str, str]], words: list[str], shape: str
) -> None:
    expression = shape.format("".join(atom + times for atom, times in atoms if atom != r"\b" or not times))
    wanted, line = required(expression.encode()), "".join(words).encode()
    if wanted is not None and re.search(expression.encode(), line):
        assert holds(line, wanted)
        assert holds(line, choose(wanted))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("CUDA error: out of memory", {"CUDA error: out of memory"}),
        (r"[Ff]ailed to lock (?:memory|pages) now", None),
        (r"exit(?:ed)? code", {"exit code", "exited code"}),
        (r"rank \d+ of .{0,40}is unreachable", {"is unreachable"}),
        (r"(?:\w+Error|Killed by)", {"Error", "Killed by"}),
        (r"(?:a|b)*", None),
        (r"(?:gone|)", None),
        (r"[[:alpha:]]+ gone for good", None),
        (r"\pN gone for good", None),
        (r"gone{x} for good", None),
    ],
)
def test_the_texts_of_an_expression(expression: str, expected: set[str] | None) -> None:
    found = texts(expression)
    if expected is not None or "lock" not in expression:
        assert found == expected
    else:
        assert found == {f"{first}ailed to lock {what} now" for first in "Ff" for what in ("memory", "pages")}


def test_case_is_kept_apart() -> None:
    assert required(b"(?i)NVLink down") == {Piece(b"NVLink down", True)}
    assert required(b"(?i:gpu) 12345678 lost") == {Piece(b"gpu 12345678 lost", True)}
    assert required(b"(?:(?i)never|no) NVLink is up") == {
        Piece(b"never NVLink is up", True),
        Piece(b"no NVLink is up", True),
    }


def test_a_common_word_is_not_what_is_looked_for() -> None:
    (piece,) = choose([Piece(b"the memory of the watchdog thread", False)])
    assert piece.text in b"the memory of the watchdog thread"
    assert b"watchd" in piece.text or b"tchdog" in piece.text


def test_texts_share_a_piece() -> None:
    told = [Piece(f"NCCL WARN {what}".encode(), False) for what in ("socket closed", "no route", "bad seq")]
    assert len(choose(told)) == 1


class OneLook(HyperscanMatcher):
    """All patterns over all of the text."""

    def scan(self, data: bytes) -> list[tuple[int, int]]:
        return self._look(data)


def test_the_two_looks_find_what_all_patterns_alone_find(tmp_path: Path) -> None:
    wanted = parse([*index().patterns, *reader.own_patterns(shapes.load())])
    told = [test.log for rule in load_all() for test in rule.tests if test.log is not None]
    quiet = "2026-03-14 09:26:53 nothing is to be said of this row, and it goes on for a while\n" * 3
    rows = (f"{line}\n{quiet * (1 + len(line) // 200)}" for line in "\n".join(told).splitlines())
    (tmp_path / "all.log").write_text("".join(rows))
    logs, _ = find([str(tmp_path / "all.log")])
    two, one = (scan(logs, wanted, kind(wanted), {}) for kind in (HyperscanMatcher, OneLook))
    seen = {key: (kept.count, kept.all()) for key, kept in two.kept.items()}
    assert seen == {key: (kept.count, kept.all()) for key, kept in one.kept.items()}
    assert sum(count > 0 for count, _ in seen.values()) > len(wanted) / 2
