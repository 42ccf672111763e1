"""One key in the wrong place that makes strangers of many others: what it chooses is not chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor.types import Command, Event

MANY: Final = 4  # unknown keys from which one may be the cause of the others
TRIED: Final = 3
Read = Callable[[Command], Sequence[Event]]


def without_followers(command: Command, found: Sequence[Event], read: Read) -> tuple[Event, ...]:
    """Return the events of a command; where one key in its right place explains most, without the others."""
    unknown = _unknown(found)
    if len(unknown) < MANY:
        return tuple(found)
    meant = [event for event in unknown if event.fields.get("nearest")]
    for event in meant[:TRIED]:
        left = read(_renamed(command, event.fields["written"], event.fields["nearest"]))
        if 2 * len(_unknown(left)) <= len(unknown):
            return (event, *left)
    return tuple(found)


def _unknown(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.kind == "unknown_key"]


def _renamed(command: Command, old: str, new: str) -> Command:
    settings = tuple(replace(each, key=new) if each.key == old else each for each in command.settings)
    return replace(command, settings=settings)
