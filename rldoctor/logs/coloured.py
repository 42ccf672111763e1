"""Tracebacks in colours, as Python 3.13 and notebooks print them: codes part a name and its message."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from rldoctor.logs.matchers import Matcher

MARKS: Final = (b"\x1b[0m: ", b"\x1b[39m: ", b"\x1b[0m, line ")
MARK: Final = r"/[a-z0-9_)\x22\x27]\x1b\[(?:0|39)m(?:: |, line )/"
"""One of them behind a name or a path, not behind a level such as INFO, which servers say all the time."""
COLOUR: Final = re.compile(rb"\x1b\[[0-9;]{0,20}m")


def scan(matcher: Matcher, data: bytes, mark: int | None) -> list[tuple[int, int]]:
    """Return what a matcher finds, in order of offsets, on coloured lines with and without their colours.

    ``mark`` is the number of MARK among the matcher's patterns: it tells which lines have colours inside.
    """
    found = matcher.scan(data)
    spans = _lines(data, [offset for offset, pattern in found if pattern == mark])
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


def _lines(data: bytes, offsets: list[int]) -> list[tuple[int, int]]:
    """Return start and end of the lines in which some offsets are, each once."""
    spans: dict[int, int] = {}
    for offset in offsets:
        end = data.find(b"\n", offset)
        spans[data.rfind(b"\n", 0, offset) + 1] = len(data) if end < 0 else end
    return sorted(spans.items())
