"""Sightings of events, and how those of one happening become one event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from rldoctor.logs.anatomy import NOBODY, merge
from rldoctor.types import Event, Identity, LogLine

MOST_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Sighting:
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
    happenings: dict[tuple[Any, ...], Event] = {}
    for seen in sightings:
        first = seen.event.lines[0]
        key = (seen.event.kind, segment(first), *seen.key)
        known = happenings.get(key)
        happenings[key] = seen.event if known is None else _join(known, seen.event)
    return tuple(sorted(happenings.values(), key=_order))


def _order(event: Event) -> tuple[str, int]:
    return event.lines[0].file, event.lines[0].number


def _join(known: Event, new: Event) -> Event:
    """Add a sighting to its happening: its identity, its lines, and the fields that were not told yet."""
    spread = known.spread if set(new.spread) <= set(known.spread) else (*known.spread, *new.spread)
    fields = {**new.fields, **known.fields}
    for name in ("frames", "phase"):  # whoever shows a stack tells more than who only names the error
        if not known.fields.get("frames") and new.fields.get("frames") and name in new.fields:
            fields[name] = new.fields[name]
    for name in ("ranks_waiting",):
        if name in known.fields and name in new.fields:
            fields[name] = sorted({*known.fields[name], *new.fields[name]})
    lines = (*known.lines, *(line for line in new.lines if line not in known.lines))[:MOST_LINES]
    time = known.time if known.time is not None else new.time
    return replace(known, fields=fields, spread=spread, lines=lines, time=time, phase=fields.get("phase"))
