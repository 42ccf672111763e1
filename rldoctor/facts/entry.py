"""A launch whose program belongs to other releases than its options."""

from __future__ import annotations

from collections.abc import Iterator

from rldoctor.dialects import entries
from rldoctor.facts.refusal import Refusal
from rldoctor.facts.walk import Facts
from rldoctor.types import Event


def foreign_entry(facts: Facts) -> Iterator[Event]:
    """Yield a program that none of the releases has which know the settings best."""
    command, release = facts.start.command, facts.start.release
    if command is None or release is None or release.version is None or facts.system is None:
        return
    programs = dict.fromkeys((*command.wrapped_by, command.program, *command.positional[:1]))
    for program in programs:
        right = entries.missing(facts.system, program, (release.version, *release.others))
        if right is not None:
            told = Refusal(
                program,
                f"{facts.system} {release.version}, which knows the settings, has no {program}",
                facts.system,
                "the program belongs to another release than the options",
                advice=right or "Install the release that the program is of, or write its options",
                certain=release.sure,
            )
            yield told.at(command.place)
