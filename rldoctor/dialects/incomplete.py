"""Keys that a structured configuration cannot be read without, as events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rldoctor.dialects import catalogue, grammar
from rldoctor.dialects.catalogue import SECTION
from rldoctor.dialects.grammar import Grammar
from rldoctor.dialects.launch import Launch
from rldoctor.types import Event, LogLine, Setting

FORMS: Final = ("yaml", "override", "append")
UNSET: Final = "???"
FEW: Final = 3  # keys that a whole configuration may lack, for its command to give


def incomplete(launch: Launch) -> Iterator[Event]:
    """Yield the keys that a launch must give and does not; the command of a lone file may give them yet."""
    if not catalogue.has(launch.system):
        return
    releases = catalogue.load(launch.system).nearby(launch.version)
    built = [grammar.of(launch.system, each, launch.command, launch.below) for each in releases]
    read = [each for each in built if each is not None]
    if not read or any(each.manner != "structured" for each in read):
        return
    given = [s for s in (*launch.below, *launch.command.settings) if s.form in FORMS]
    names = {setting.key for setting in given if str(setting.value) != UNSET}
    lacking = [
        key
        for key in catalogue.load(launch.system).mandatory
        if key not in names and all(_is_asked(key, each, names) for each in read)
    ]
    if launch.command.program or len(lacking) <= FEW:  # else a lone file is a part of a configuration
        yield from (_event(key, given, names, launch) for key in lacking)


def _is_asked(key: str, read: Grammar, names: set[str]) -> bool:
    """Say whether a release asks for a key: each section above it is always there, or is begun."""
    known = read.find(key)
    if known is None or not known.mandatory:
        return False
    above, _, _ = key.rpartition(".")
    while above:
        section = read.find(above)
        begun = any(name.startswith(f"{above}.") for name in names)
        if above in names and not begun:  # the whole section is a reference, or none
            return False
        if section is None or section.kind != SECTION or (section.optional and not begun):
            return False
        above, _, _ = above.rpartition(".")
    return True


def _event(key: str, given: Sequence[Setting], names: set[str], launch: Launch) -> Event:
    section, _, last = key.rpartition(".")
    near = next((s for s in given if section and s.key.startswith(f"{section}.")), given[0])
    others = (last, f"cluster.{last}", f"actor.{last}")
    meant = next((other for other in others if other != key and other in names), None) if section else None
    place = near.place or near.defined_at
    fields = {
        "key": key,
        "written": key,
        "value": None,
        "system": launch.system,
        "release": launch.version,
        "meant": f"${{{meant}}}" if meant is not None else None,
        "alone": not launch.command.program,
        "certain": bool(launch.command.program),
    }
    return Event("missing_key", fields, lines=(LogLine(place.file, place.line, ""),) if place else ())
