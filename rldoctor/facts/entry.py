"""A launch whose program belongs to other releases than its options."""

from __future__ import annotations

from collections.abc import Iterator

from rldoctor.dialects import entries
from rldoctor.facts.walk import Facts
from rldoctor.types import Event, LogLine


def foreign_entry(facts: Facts) -> Iterator[Event]:
    """Yield a program that none of the releases has which know the settings best."""
    command, release = facts.start.command, facts.start.release
    if command is None or release is None or release.version is None or facts.system is None:
        return
    programs = dict.fromkeys((*command.wrapped_by, command.program, *command.positional[:1]))
    for program in programs:
        right = entries.missing(facts.system, program, (release.version, *release.others))
        if right is not None:
            place = command.place
            fields = {
                "key": program,
                "written": program,
                "value": None,
                "system": facts.system,
                "release": release.version,
                "says": f"{facts.system} {release.version}, which knows the settings, has no {program}",
                "where": "the program belongs to another release than the options",
                "severity": "error",
                "shown": "",
                "advice": right or "Install the release that the program is of, or write its options",
                "safety": "unsafe",
                "certain": release.sure,
            }
            yield Event(
                "refused_setting", fields, lines=(LogLine(place.file, place.line, ""),) if place else ()
            )
