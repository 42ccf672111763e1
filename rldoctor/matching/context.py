"""What must and must not stand near a line: the context that a trigger asks for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Final

from rldoctor.rules import Trigger
from rldoctor.types import LogLine

if TYPE_CHECKING:
    from rldoctor.logs import LogReading
    from rldoctor.logs.patterns import Pattern

LAST_ERROR_WITHIN: Final = 4


def needs_context(trigger: Trigger) -> bool:
    """Say whether a trigger asks for lines around the one it found."""
    return bool(trigger.near or trigger.not_near)


def near_lines(trigger: Trigger, line: LogLine, reading: LogReading) -> tuple[LogLine, ...] | None:
    """Return the first line of each near pattern, None where one is missing or a forbidden one is there."""
    if not needs_context(trigger):
        return ()
    window = reading.window(line, trigger.within, trigger.same)
    if any(_first(key, window) for key in trigger.not_near):
        return None
    found = [_first(key, window) for key in trigger.near]
    return None if None in found else tuple(dict.fromkeys(hit for hit in found if hit is not None))


def reason_after(line: LogLine, reading: LogReading) -> tuple[LogLine, ...]:
    """Return what an error of NCCL tells as its last error: the cause, where the code before is general."""
    if "nccl" not in line.text.lower():
        return ()
    window = reading.window(line, LAST_ERROR_WITHIN, "process")
    after = [other for other in window if other.number > line.number]
    return next((tuple(after[at + 1 : at + 2]) for at, other in enumerate(after) if _is_head(other)), ())


def _is_head(line: LogLine) -> bool:
    return line.text.strip().endswith("Last error:")


def _first(key: str, window: Iterable[LogLine]) -> LogLine | None:
    search = _pattern(key).search
    return next((line for line in window if search(line.text.encode())), None)


@cache
def _pattern(key: str) -> Pattern:
    from rldoctor.logs.patterns import Pattern

    return Pattern(key)
