"""Log triggers: found lines, what must and must not stand near them, and typed captures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from rldoctor.matching.context import near_lines, needs_context, reason_after
from rldoctor.matching.findings import Incident
from rldoctor.rules import Trigger
from rldoctor.types import UNKNOWN, LogLine

if TYPE_CHECKING:
    from rldoctor.logs import LogReading

MOST_WINDOWS: Final = 100
"""Windows of near lines that are read for one trigger; later hits are the same thing again."""


def incidents(trigger: Trigger, reading: LogReading) -> Iterator[Incident]:
    """Yield what a log trigger found: each fitting line, in order."""
    windows = 0
    for line in _hits(trigger.find, reading):
        captures = _captures(trigger.match, line)
        if captures is None or windows > MOST_WINDOWS:
            continue
        windows += needs_context(trigger)
        near = near_lines(trigger, line, reading)
        if near is not None:
            told = tuple(dict.fromkeys((*near, *reason_after(line, reading))))
            yield Incident((line,), captures, reading.went_on(line), near=told, spread=(line.who,))


def _hits(keys: Iterable[str], reading: LogReading) -> list[LogLine]:
    """Return the lines of all keys in the log's order, each once."""
    files = {name: number for number, name in enumerate(reading.subjects)}
    found = {(line.file, line.number): line for key in keys for line in reading.hits.get(key, ())}
    return sorted(found.values(), key=lambda line: (files.get(line.file, len(files)), line.number))


def _captures(match: str | None, line: LogLine) -> dict[str, Any] | None:
    """Return the named groups as ``match.NAME``, None where the line does not fit."""
    if match is None:
        return {}
    found = _compiled(match).search(line.text)
    if found is None:
        return None
    return {f"match.{name}": typed(text) for name, text in found.groupdict().items()}


def typed(text: str | None) -> Any:
    """Return a captured text as the number that it is; a group that took no part is unknown."""
    if text is None:
        return UNKNOWN
    plain = text.replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+", text) else text
    if re.fullmatch(r"[+-]?\d+", plain):
        return int(plain)
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.?\d+)([eE][+-]?\d+)?", plain):
        return float(plain)
    return text


@cache
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression)
