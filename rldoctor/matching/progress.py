"""Whether the run went on after a line: then what the line tells was recovered from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldoctor.types import LogLine

if TYPE_CHECKING:
    from rldoctor.logs import LogReading


def went_on(reading: LogReading, line: LogLine) -> bool:
    """Say whether the same run finished a step after a line; of another file only its clock can tell."""
    return any(_after(step, line) for step in reversed(reading.progress))


def _after(step: LogLine, line: LogLine) -> bool:
    if step.file == line.file:
        return step.number > line.number
    return step.time is not None and line.time is not None and step.time > line.time
