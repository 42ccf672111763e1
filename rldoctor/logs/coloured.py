"""Tracebacks in colours, as Python 3.13 and notebooks print them: codes part a name and its message."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from rldoctor.logs.matchers import Matcher

MARKS: Final = (b"\x1b[0m: ", b"\x1b[39m: ", b"\x1b[0m, line ")
LEVELS: Final = (
    b"INFO",
    b"NING",
    b"EBUG",
    b"RROR",
    b"ICAL",
)  # ends of levels: a server says them all the time
COLOUR: Final = re.compile(rb"\x1b\[[0-9;]{0,20}m")


def scan(matcher: Matcher, data: bytes) -> list[tuple[int, int]]:
    """Return what a matcher finds, in order of offsets, on coloured lines with and without their colours."""
    found = matcher.scan(data)
    spans = _lines(data)
    if not spans:
        return found
    texts = [without(data[start:end]) + b"\n" for start, end in spans]
    ends = [0]
    for text in texts:
        ends.append(ends[-1] + len(text))
    joined = b"".join(texts)
    more = (
        (spans[bisect_right(ends, offset) - 1][0], pattern)
        for offset, pattern in matcher.scan(joined)
        if joined[offset : offset + 1] != b"\n"
    )
    return sorted([*found, *more])


def without(line: bytes) -> bytes:
    """Return a line without its colours where they stand inside of a traceback's words."""
    return COLOUR.sub(b"", line) if any(mark in line for mark in MARKS) else line


def _lines(data: bytes) -> list[tuple[int, int]]:
    """Return start and end of the lines that have colours inside, in order."""
    spans: dict[int, int] = {}
    for mark in MARKS:
        at = data.find(mark)
        while at >= 0:
            if data[at - 4 : at] in LEVELS:
                at = data.find(mark, at + 1)
                continue
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            spans[data.rfind(b"\n", 0, at) + 1] = end
            at = data.find(mark, end)
    return sorted(spans.items())
