"""One mistake that makes strangers of many keys: what chooses their group stands elsewhere, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor.types import Command, Event, Setting

MANY: Final = 4  # unknown keys from which one mistake may be behind them all
TRIED: Final = 3
NAME: Final = "--config-name"
Read = Callable[[Command], Sequence[Event]]


def without_followers(
    command: Command, found: Sequence[Event], read: Read, others: Callable[[], Sequence[str]]
) -> tuple[Event, ...]:
    """Return the events of a command; where one mistake explains most of them, that one and what is left.

    ``others`` gives the configurations that may be launched instead.
    """
    unknown = _unknown(found)
    if len(unknown) < MANY:
        return tuple(found)
    meant = [event for event in unknown if event.fields.get("nearest")]
    for event in meant[:TRIED]:
        left = read(_renamed(command, event.fields["written"], event.fields["nearest"]))
        if 2 * len(_unknown(left)) <= len(unknown):
            return (event, *left)
    return _of_another(command, found, read, others)


def _of_another(
    command: Command, found: Sequence[Event], read: Read, others: Callable[[], Sequence[str]]
) -> tuple[Event, ...]:
    """Return that another configuration is meant, where it knows most of what this one does not."""
    unknown = _unknown(found)
    if any(setting.key in (NAME, "-cn") for setting in command.settings):
        return tuple(found)
    tried = ((name, read(launching(command, name))) for name in others())
    name, left = min(tried, key=lambda each: len(_unknown(each[1])), default=("", found))
    known = len(unknown) - len(_unknown(left))
    if 2 * known < len(unknown):
        return tuple(found)
    fields = {**unknown[0].fields, "config": name, "count": known}
    return (replace(unknown[0], kind="other_configuration", fields=fields), *left)


def _unknown(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.kind == "unknown_key"]


def _renamed(command: Command, old: str, new: str) -> Command:
    settings = tuple(replace(each, key=new) if each.key == old else each for each in command.settings)
    return replace(command, settings=settings)


def launching(command: Command, name: str) -> Command:
    """Return a command as it were with another configuration."""
    return replace(command, settings=(Setting(NAME, name, "flag"), *command.settings))
