"""Sightings of events, and how those of one happening become one event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.logs.anatomy import NOBODY, merge
from rldoctor.types import Event, Identity, LogLine

MOST_LINES: Final = 12


class Sighting(Struct, frozen=True):
    """An event as one process told it; sightings of one kind with the same key are one happening."""

    event: Event
    key: tuple[Any, ...] = ()


def sighting(
    kind: str, line: LogLine, fields: dict[str, Any], key: tuple[Any, ...] = (), who: Identity | None = None
) -> Sighting:
    """Return a sighting on a line; fields that are None are left out, because nobody told them."""
    told = {name: value for name, value in fields.items() if value is not None}
    owner = line.who if who is None else merge(who, line.who)
    event = Event(
        kind, told, owner, line.time, told.get("phase"), (line,), () if owner == NOBODY else (owner,)
    )
    return Sighting(event, key)


def merged(sightings: Iterable[Sighting], segment: Callable[[LogLine], int]) -> tuple[Event, ...]:
    """Return one event for each happening: same kind, same key, no step finished in between."""
    happenings: dict[tuple[Any, ...], list[Event]] = {}
    for seen in sightings:
        key = (seen.event.kind, segment(seen.event.lines[0]), *seen.key)
        happenings.setdefault(key, []).append(seen.event)
    return tuple(sorted((_fold(events) for events in happenings.values()), key=_order))


def _order(event: Event) -> tuple[str, int]:
    return event.lines[0].file, event.lines[0].number


def _fold(events: Sequence[Event]) -> Event:
    """Return the event that several saw: the first one's fields, gaps filled from the others."""
    if len(events) == 1:
        return events[0]
    first = min(events, key=_order)
    fields: dict[str, Any] = dict(first.fields)
    for event in events:
        for name, value in event.fields.items():
            fields.setdefault(name, value)
    # A stack tells more about the phase than the name of an error.
    stacked = next((event.fields for event in events if event.fields.get("frames")), {})
    fields.update({name: stacked[name] for name in ("frames", "frame", "phase") if name in stacked})
    if "ranks_waiting" in fields:
        fields["ranks_waiting"] = sorted({rank for e in events for rank in e.fields.get("ranks_waiting", ())})
    spread = tuple(dict.fromkeys(who for event in events for who in event.spread))
    lines = {(line.file, line.number): line for event in events for line in event.lines}
    told = tuple(lines[place] for place in sorted(lines)[:MOST_LINES])
    time = next((event.time for event in events if event.time is not None), None)
    return replace(first, fields=fields, spread=spread, lines=told, time=time, phase=fields.get("phase"))
