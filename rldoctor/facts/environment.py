"""Environment variables that are misspelt, and those that a script sets without handing them on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from rldoctor.dialects.suggest import distance
from rldoctor.facts.known_variables import NAMES
from rldoctor.facts.slips import line_of
from rldoctor.facts.walk import Facts
from rldoctor.types import Event, LogLine

SHORTEST: Final = 8
SLIP: Final = 2
_SET: Final = rb"(?m)^[ \t]*(?P<export>export[ \t]+)?(?P<name>[A-Z][A-Z0-9_]{7,})=(?P<value>[^\n#]*)"
_AUTOMATIC: Final = rb"(?m)^[ \t]*set[ \t]+(?:-\w*a|-o[ \t]+allexport)"
_SURROUNDED: Final = (
    "PATH",
    "HOME",
    "MASTER_ADDR",
    "MASTER_PORT",
)  # what the environment brings along is handed on by itself
_GOES_ON: Final = rb"[\\;&|]|\s\S"


def misset(facts: Facts) -> Iterator[Event]:
    """Yield variables under a name that nothing reads, and known ones that stay in the script's own shell."""
    document = facts.document
    data = document.files.get(document.path, b"") if document is not None else b""
    for name, value, meant, line in _unread(data):
        path = document.path if document is not None else ""
        yield _event({"name": name, "value": value, "meant": meant}, path, line, facts)
    yield from _handed_under_another_name(facts)


@lru_cache(maxsize=64)  # read once for all launches of a script
def _unread(data: bytes) -> tuple[tuple[str, str, str | None, int], ...]:
    """Return what a text sets and nothing reads: name, value, the name that is meant, and the line."""
    unread = []
    for found in re.finditer(_SET, data):
        name, exported = found["name"].decode(), found["export"] is not None
        if exported == (name in NAMES):
            continue
        meant = _nearest(name) if exported else None
        kept = not exported and not name.endswith(_SURROUNDED)
        lost = (
            kept and re.search(_GOES_ON, found["value"].strip()) is None and not re.search(_AUTOMATIC, data)
        )
        if (meant is not None or lost) and not _is_used(found["name"], data):
            value = found["value"].decode("utf-8", "replace").strip()
            unread.append((name, value, meant, line_of(data, found.start("name"))))
    return tuple(unread)


def _handed_under_another_name(facts: Facts) -> Iterator[Event]:
    """Yield variables that a job's environment gives under a name that nothing reads."""
    for setting in facts.start.command.env if facts.start.command is not None else ():
        name, place = setting.key, setting.place or setting.defined_at
        strange = setting.form == "json" and len(name) >= SHORTEST and name not in (*NAMES, "PYTHONPATH")
        meant = _nearest(name) if strange else None
        if meant is not None and place is not None:
            value = str(setting.value)
            yield _event({"name": name, "value": value, "meant": meant}, place.file, place.line, facts)


@lru_cache(maxsize=1024)
def _nearest(name: str) -> str | None:
    known = (*NAMES, "PYTHONPATH")  # which every launch has from its surroundings
    same = next((each for each in known if each.replace("_", "") == name.upper().replace("_", "")), None)
    if same is not None and same != name:
        return same
    far, near = min((distance(name, each), each) for each in NAMES)
    return near if far <= SLIP and not name.startswith("PYTHON") else None


def _is_used(name: bytes, data: bytes) -> bool:
    """Say whether a script itself uses a variable, or hands it on by its name."""
    handing = (
        rb"(?:export[ \t]+(?:[\w=,./:-]+[ \t]+)*|declare -x[^\n]*|typeset -x[^\n]*)" + name + rb"(?![\w=])"
    )
    return re.search(rb"\$\{?" + name + rb"\b|" + handing + rb"|[\"']" + name + rb"\b", data) is not None


def _event(about: dict[str, str | None], path: str, line: int, facts: Facts) -> Event:
    name = str(about["name"])
    fields = {"key": name, "written": name, "system": facts.system, "certain": True, **about}
    return Event("variable_unread", fields, lines=(LogLine(path, line, ""),))
