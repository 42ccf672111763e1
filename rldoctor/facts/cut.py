"""Arguments that a launch loses because a line before them does not go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from rldoctor.dialects.detect import is_argument
from rldoctor.facts.walk import Facts
from rldoctor.types import Command, Event, LogLine

MOST: Final = 6


def cut_off(facts: Facts) -> Iterator[Event]:
    """Yield what looks like an argument and is run as a command right after the launch."""
    document, launch = facts.document, facts.start.command
    if document is None or document.kind != "shell" or launch is None:
        return
    for before, after in pairwise(facts.world):
        if before is launch and is_argument(after.program):
            yield from _event(facts, before, after)


def _event(facts: Facts, before: Command, after: Command) -> Iterator[Event]:
    if before.place is None or after.place is None or before.place.file != after.place.file:
        return
    data = facts.document.files.get(before.place.file, b"") if facts.document is not None else b""
    last = data.count(b"\n", 0, max(before.place.end - 1, 0)) + 1
    lost = [after.program.partition("=")[0], *(setting.key for setting in after.settings)]
    yield Event(
        "arguments_cut_off",
        {
            "key": lost[0],
            "written": lost[0],
            "value": None,
            "system": facts.system,
            "line": last,
            "why": _why(data, last),
            "lost": ", ".join(lost[:MOST]) + (f" and {len(lost) - MOST} more" if len(lost) > MOST else ""),
            "certain": True,
        },
        lines=(LogLine(after.place.file, after.place.line, ""),),
    )


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
