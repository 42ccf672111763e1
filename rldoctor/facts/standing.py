"""The user's settings that a name or a value in code and messages stands for, and what they stand at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from rldoctor.dialects import catalogue, named
from rldoctor.facts.walk import Facts
from rldoctor.types import UNKNOWN, Place, Setting

MOST: Final = 2  # keys that one name may stand for: more of them tell nothing
SHORTEST: Final = 4  # characters of a value by which its setting can be found


class Standing(Struct, frozen=True):
    """A key in the user's spelling, what it stands at as far as is known, and where that is written."""

    key: str
    value: Any = UNKNOWN
    place: Place | None = None
    written: bool = False


def of_name(
    facts: Facts, path: Sequence[str], engine: str | None = None, trainer: str | None = None
) -> tuple[Standing, ...]:
    """Return the settings that a dotted name of the code stands for, none where it may be anything.

    ``engine`` is who calls it so: what it calls otherwise than the user's system is found by its meaning.
    ``trainer`` is whose arguments they are where the user's system is not known.
    """
    system = facts.system or trainer or named.ANY
    keys = _meant(facts, path[-1], engine) or _known(facts, path, system)
    if not keys and catalogue.has(system) and (end := named.shortened(system, path[-1])) != path[-1]:
        keys = _known(facts, (*path[:-1], end), system)
    if not keys and engine is not None:
        key = named.handed_on(system, engine, path[-1])
        keys = (key,) if key else ()
    return tuple(standing(facts, key) for key in keys)


def of_value(facts: Facts, text: str) -> tuple[Standing, ...]:
    """Return the written settings whose value a text is, none where they are too many to tell."""
    if facts.table is None or len(text) < SHORTEST:
        return ()
    same = [
        each for each in facts.table.spoken.settings.values() if _is_open(each) and str(each.value) == text
    ]
    return tuple(standing(facts, each.key) for each in same) if len(same) <= MOST else ()


def of_environment(facts: Facts, name: str) -> Standing:
    """Return an environment variable with the value that is told of it, if any is."""
    fact = facts.resolve(f"env.{name}")
    if fact is None or fact.value is None or fact.value is UNKNOWN:
        return Standing(name)
    return Standing(name, fact.value, fact.origin.place, written=True)


def standing(facts: Facts, key: str) -> Standing:
    """Return a key with the value that is written, else with the release's default where all is known."""
    said = facts.table.spoken.settings if facts.table is not None else {}
    setting = said.get(key.removeprefix("+")) or said.get(f"--{key}")
    if setting is None:
        return Standing(key, _default(facts, key))
    key = key.removeprefix("+")
    value = UNKNOWN if setting.state == "unknown" or "${" in str(setting.value) else setting.value
    return Standing(key, value, setting.defined_at or setting.place, written=True)


def _meant(facts: Facts, name: str, engine: str | None) -> tuple[str, ...]:
    """Return the keys by which the user's system says what an engine calls by a name."""
    if engine is None or engine == facts.system:
        return ()
    rows = [facts.row(concept) for concept in named.concepts_of(engine, name)]
    keys = (f"+{row.key}" if row.append else row.key for row in rows if row is not None and not row.env)
    return tuple(dict.fromkeys(keys))[:MOST]


def _known(facts: Facts, path: Sequence[str], system: str) -> tuple[str, ...]:
    """Return the keys that a name stands for: those that are written, else those of the release in use."""
    keys = [key for key in named.keys_of(system, path) if _exists(facts, key)]
    said = facts.table.spoken.settings if facts.table is not None else {}
    chosen = [key for key in keys if key in said] or keys
    return tuple(chosen) if len(chosen) <= MOST else ()


def _exists(facts: Facts, key: str) -> bool:
    """Say whether a key is one of the release in use, as far as both are known."""
    version = facts.table.version if facts.table is not None else None
    if version is None or facts.system is None or not catalogue.has(facts.system):
        return True
    known = catalogue.load(facts.system)
    return key not in known or any(release in known.releases_of(key) for release in known.nearby(version))


def _default(facts: Facts, key: str) -> Any:
    table = facts.table
    if table is None or facts.start.command is None or not table.complete or not catalogue.has(table.system):
        return UNKNOWN
    known = catalogue.load(table.system)
    releases = known.nearby(table.version) if table.version else known.releases
    said = known.find(key, releases[-1], known.roots) if releases and key in known else None
    return UNKNOWN if said is None or said.default is None or "${" in str(said.default) else said.default


def _is_open(setting: Setting) -> bool:
    return setting.state != "unknown" and setting.form != "delete"
