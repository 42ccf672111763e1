"""Ranks that did not come to a collective since they were at work: late, not lost."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

SAVED: Final = "/(?i)(?:sav|checkpoint).{0,120}\\d(?:\\.\\d+)? ?(?:s\\b|sec|ms\\b|min)/"
PATTERNS: Final = (SAVED,)

TOOK: Final = (
    r"(?i)(?:took|takes|in|after|elapsed|time|duration|finished)\W{1,4}(?:\w+\W{1,3}){0,2}?"
    r"(\d{1,7}(?:\.\d{1,9})?) ?(ms|s|sec|seconds|min|minutes)\b"
)
SECONDS: Final = {"ms": 0.001, "s": 1.0, "sec": 1.0, "seconds": 1.0, "min": 60.0, "minutes": 60.0}
NOISE: Final = r"ProcessGroupNCCL|NCCL (?:INFO|WARN)|[Ww]atchdog|TCPStore|Traceback|Error\b"
BACK: Final = 3000  # lines before a time-out that are looked at
NEAR: Final = 4000
LEAST: Final = 0.1  # share of the wait after which a line proves work, not the last breath before it


def workers(
    seen: Seen, line: LogLine, waited_ms: int | None, waiting: Collection[int | None]
) -> dict[int, LogLine]:
    """Return the last line of each rank that went on speaking of its work while others waited."""
    if line.time is None or not waited_ms:
        return {}
    began = line.time - waited_ms / 1000 * (1 - LEAST)
    found: dict[int, LogLine] = {}
    for other in seen.before(line, BACK):
        rank = other.who.rank
        if rank is None or rank in waiting or other.time is None or re.search(NOISE, other.text):
            continue
        if began < other.time <= line.time and other.text.strip():
            found[rank] = other
    return found


def slow_saves(seen: Seen, line: LogLine, timeout_ms: int | None) -> Iterator[LogLine]:
    """Yield the lines near a time-out that tell of a save longer than it."""
    for other in seen.lines(SAVED) if timeout_ms else ():
        found = re.search(TOOK, other.text)
        if found is None or float(found[1]) * SECONDS[found[2].lower()] * 1000 < (timeout_ms or 0):
            continue
        if _near(line, other, (timeout_ms or 0) / 1000):
            yield other


def _near(line: LogLine, other: LogLine, seconds: float) -> bool:
    if line.time is not None and other.time is not None:
        return abs(line.time - other.time) < 4 * seconds
    return line.file == other.file and abs(line.number - other.number) < NEAR
