"""Event triggers: what detectors established, its fields bound as ``event.x``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from rldoctor import vocabulary
from rldoctor.matching.context import near_lines
from rldoctor.matching.findings import Incident
from rldoctor.rules import Trigger
from rldoctor.types import UNKNOWN, Event, LogLine

if TYPE_CHECKING:
    from rldoctor.logs import LogReading

FRAMES_WITHIN: Final = 60
LEAST_SIGNAL: Final = 128  # shells add a signal's number to it
_FRAME: Final = re.compile(r".+ \((?P<file>[^()]+):(?P<line>\d+)\)")


def incidents(trigger: Trigger, reading: LogReading) -> Iterator[Incident]:
    """Yield the events of the trigger's kind that stand in the context it asks for."""
    for event in reading.events:
        if event.kind != trigger.event:
            continue
        near = near_lines(trigger, event.lines[0], reading) if event.lines else ()
        if near is not None:
            yield replace(
                of_event(event, reading), near=(*_last_words(event), *_frame_line(event, reading), *near)
            )


def _last_words(event: Event) -> tuple[LogLine, ...]:
    """Return the line that a rank that did not come said last."""
    said = event.fields.get("missing_last")
    return tuple(line for line in event.lines if line.text.strip() == said)[:1] if said else ()


def _frame_line(event: Event, reading: LogReading) -> tuple[LogLine, ...]:
    """Return the line that shows the frame in which an event happened, where the log has it."""
    frame = str(event.fields.get("frame", ""))
    if not frame or not event.lines:
        return ()
    found = _FRAME.fullmatch(frame)  # else the line itself, of a stack that was cut
    places = (
        (f"{found['file']}:{found['line']}", f'{found["file"]}", line {found["line"]}') if found else (frame,)
    )
    window = reading.window(event.lines[-1], FRAMES_WITHIN, "process")
    return tuple(line for line in window if any(place in line.text for place in places))[:1]


def _left_by_itself(event: Event) -> bool:
    """Say whether an exit code tells that no signal ended a process."""
    code = event.fields.get("exit_code")
    return isinstance(code, int) and 0 < code < LEAST_SIGNAL


def of_event(event: Event, reading: LogReading) -> Incident:
    """Return an event as an incident; what its detector could not establish is unknown."""
    kind = vocabulary.load().events.get(event.kind)
    bindings: dict[str, Any] = {f"event.{name}": UNKNOWN for name in (kind.fields if kind else ())}
    bindings |= {f"event.{name}": value for name, value in event.fields.items() if value is not None}
    if event.fields.get("signal") is None and _left_by_itself(event):
        bindings["event.signal"] = None
    if event.phase is not None:
        bindings["event.phase"] = event.phase
    recovered = bool(event.lines) and all(reading.went_on(line) for line in event.lines)
    return Incident(event.lines, bindings, recovered, event.phase, spread=event.spread or (event.who,))
