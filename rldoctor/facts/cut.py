"""Arguments that a launch loses because a line before them does not go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from rldoctor.dialects.detect import is_argument
from rldoctor.facts.walk import Facts
from rldoctor.types import Command, Document, Event, LogLine, RLDoctorError

MOST: Final = 6
STARTERS: Final = ("torchrun", "ray job submit")


def cut_off(facts: Facts) -> Iterator[Event]:
    """Yield what looks like an argument and is run as a command right after the launch.

    A starter that starts nothing, right before the launch, has lost that.
    """
    document, launch = facts.document, facts.start.command
    if document is None or document.kind != "shell" or launch is None:
        return
    for before, after in pairwise(facts.world):
        lost = before is launch and is_argument(after.program)
        if lost or (after is launch and _starts_nothing(before, after)):
            yield from _event(facts, before, after)


def lost(facts: Facts) -> frozenset[str]:
    """Return the keys of arguments that stand behind the end of the launch."""
    pairs = pairwise(facts.world)
    cut = [after for before, after in pairs if before is facts.start.command and is_argument(after.program)]
    return frozenset(key for after in cut for key in _keys(after))


def first_cut(document: Document) -> RLDoctorError | None:
    """Return what is wrong where a line begins with an argument, for a launch that nobody can tell."""
    for before, after in (pair for world in document.worlds for pair in pairwise(world)):
        if after.place is not None and before.place is not None and is_argument(after.program):
            line, why = _end(document, before)
            said = (
                f"the command ends in line {line} ({why}): {after.program.partition('=')[0]} never reaches it"
            )
            return RLDoctorError(said, file=after.place.file, line=after.place.line)
    return None


def _starts_nothing(before: Command, after: Command) -> bool:
    """Say whether a starter has nothing to start; what it starts itself knows it."""
    alone = not before.positional and before.program not in after.wrapped_by
    return alone and before.program in STARTERS and not any("help" in each.key for each in before.settings)


def _event(facts: Facts, before: Command, after: Command) -> Iterator[Event]:
    if before.place is None or after.place is None or before.place.file != after.place.file:
        return
    last, why = _end(facts.document, before)
    lost = _keys(after)
    yield Event(
        "arguments_cut_off",
        {
            "key": lost[0],
            "written": lost[0],
            "value": None,
            "system": facts.system,
            "line": last,
            "why": why,
            "lost": ", ".join(lost[:MOST]) + (f" and {len(lost) - MOST} more" if len(lost) > MOST else ""),
            "certain": True,
        },
        lines=(LogLine(after.place.file, after.place.line, ""),),
    )


def _keys(after: Command) -> list[str]:
    return [after.program.partition("=")[0], *(setting.key for setting in after.settings)]


def _end(document: Document | None, command: Command) -> tuple[int, str]:
    """Return the last line of a command, and what ends it there."""
    place = command.place
    data = document.files.get(place.file, b"") if document is not None and place is not None else b""
    last = data.count(b"\n", 0, max(place.end - 1, 0) if place is not None else 0) + 1
    return last, _why(data, last)


def _why(data: bytes, line: int) -> str:
    """Return what ends the command in a line."""
    text = data.splitlines()[line - 1].decode("utf-8", "replace") if line else ""
    if re.search(r"\\[ \t]+(#.*)?$", text):
        return "there is something after its backslash"
    return (
        "an empty line or a comment follows"
        if text.rstrip().endswith("\\")
        else "it has no backslash at its end"
    )
