"""Who failed first, as far as a launcher's table or the steps behind a failure tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rldoctor.types import LogLine

if TYPE_CHECKING:
    from rldoctor.logs import LogReading

TABLE: Final = "Root Cause (first observed failure):"
ROWS: Final = 10
APART: Final = 100  # lines within which the output of two processes may be out of order
RANK: Final = re.compile(r"\s*rank\s*: (\d{1,6})\b")


def first_ranks(reading: LogReading) -> frozenset[int]:
    """Return the ranks that torchrun's tables name as the first that failed."""
    text = reading.text
    if text is None:
        return frozenset()
    rows = (
        row
        for line in reading.hits.get(TABLE, ())
        for row in text.between(text.index[line.file], line.number + 1, line.number + ROWS)
    )
    found = (RANK.match(row.text) for row in rows)
    return frozenset(int(rank[1]) for rank in found if rank is not None)


def launched_between(reading: LogReading, first: LogLine, last: LogLine) -> bool:
    """Say whether a launcher reported its failed ranks between two lines of a log: a run ended there."""
    reports = (one.line for one in reading.failures if one.exception.endswith("ChildFailedError"))
    return any(
        line.file == first.file == last.file and first.number < line.number < last.number
        for line in (*reading.hits.get(TABLE, ()), *reports)
    )


def before_ranks(reading: LogReading, line: LogLine, later: LogLine) -> bool:
    """Say whether a line stands before all that ranks say in its log, one of which failed later on."""
    if line.who.rank is not None or later.who.rank is None or line.file != later.file:
        return False
    told = (hit for hits in reading.hits.values() for hit in hits if hit.file == line.file)
    said = min((hit.number for hit in told if hit.who.rank is not None), default=0)
    return line.number < said and line.number < later.number - APART


def stepped_after(reading: LogReading, line: LogLine) -> bool:
    """Say whether the run finished a step behind a line, which makes what it tells a doubtful end."""
    return reading.moves.went_on(line, enough=1)
