"""Lines that a log is full of are hit by what reads steps alone: any other pattern slows every scan."""

from __future__ import annotations

from collections import defaultdict
from importlib import resources
from pathlib import Path

from rldoctor.logs import reader, shapes
from rldoctor.logs.detect import late
from rldoctor.logs.matchers import build
from rldoctor.logs.patterns import parse
from rldoctor.rules import index

PAGE = resources.files("rldoctor.logs").joinpath("ordinary.txt").read_text(encoding="utf-8")
FURTHER = Path(__file__).with_name("ordinary_lines.txt").read_text(encoding="utf-8")


def readers() -> set[str]:
    """Return the patterns that are meant to hit what a run says all the time."""
    known = shapes.load()
    steps = {shape.key for shape in known if shape.key}
    phases = {match for shape in known for match in shape.line_phases}
    configs = {find for shape in known for find, _ in shape.configs}
    return steps | phases | configs | {late.SAVED}


def hits(keys: list[str]) -> dict[str, set[str]]:
    """Return the ordinary lines that a pattern hits which is not meant to, with those patterns."""
    patterns, meant = parse(keys), readers()
    text = (PAGE + FURTHER).encode()
    found = defaultdict(set)
    for offset, number in build(patterns).scan(text):
        begin = text.rfind(b"\n", 0, offset) + 1
        if patterns[number].key not in meant:
            found[text[begin : begin + 120].partition(b"\n")[0].decode("utf-8", "ignore")].add(
                patterns[number].key
            )
    return found


def test_ordinary_lines_are_hit_by_what_reads_steps_alone() -> None:
    assert not hits([*index().patterns, *reader.own_patterns(shapes.load())])


def test_a_pattern_that_hits_ordinary_lines_is_seen() -> None:
    careless = "/(?i)\\b(?:error|failed)\\b/"
    assert [set(keys) for keys in hits([careless, *index().patterns]).values()] == [{careless}] * 4
