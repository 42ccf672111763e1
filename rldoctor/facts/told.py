"""What a person told about a run beyond its files: ``--set``, ``--system``, versions, environment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct, field

from rldoctor.types import ROLES, UNKNOWN, RLDoctorError, Role
from rldoctor.vocabulary import Concept, load, unknown_word

Key = tuple[Role, str]
BOOLS: Final[Mapping[str, bool]] = {"true": True, "yes": True, "on": True, "1": True} | {
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


class ToldFacts(Struct, frozen=True):
    """``set`` maps ``concept`` or ``role.concept`` to a text, ``versions`` a system to its release.

    A release under ``""`` is that of whatever system is launched.
    """

    set: Mapping[str, str] = field(default_factory=dict)
    system: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def split(name: str) -> Key | None:
    """Return role and concept of an expression name, None if it names no concept."""
    concepts = load().concepts
    if name in concepts:
        return ("policy", name)
    first, _, rest = name.partition(".")
    for role in ROLES:
        if role == first and rest in concepts:
            return (role, rest)
    return None


def typed(told: Mapping[str, str]) -> dict[Key, Any]:
    """Return the values of ``--set`` by role and concept; RLDoctorError for a word that is none."""
    values: dict[Key, Any] = {}
    for name, text in told.items():
        key = split(name)
        if key is None:
            raise RLDoctorError(unknown_word("concept", name, load().concepts), hint=_groups(name))
        values[key] = _value(load().concepts[key[1]], str(text))
    return values


def _groups(name: str) -> str:
    """Return where the right word may be found."""
    groups = dict.fromkeys(each.partition(".")[0] for each in load().concepts)
    if name.partition(".")[0] in groups:
        return f"`rldoctor explain {name.partition('.')[0]}` lists its concepts"
    return f"for example --set cluster.gpus=8; `rldoctor explain GROUP` lists those of {', '.join(groups)}"


def _value(concept: Concept, text: str) -> Any:
    word = text.strip()
    if word.lower() in ("none", "null"):
        return None
    value = _read(concept, word)
    if value is UNKNOWN:
        raise RLDoctorError(f"{concept.id} is {_what(concept)}, not {text!r}", hint=concept.meaning)
    return value


def _read(concept: Concept, word: str) -> Any:
    if concept.type == "bool":
        return BOOLS.get(word.lower(), UNKNOWN)
    if concept.type in ("int", "float"):
        return _number(word, concept.type == "int")
    if concept.type == "enum":
        return word if word in concept.choices else UNKNOWN
    if concept.type == "list":
        items = [item.strip() for item in word.strip("[]").split(",") if item.strip()]
        return [number if (number := _number(item, True)) is not UNKNOWN else item for item in items]
    return word


def _number(word: str, whole: bool) -> Any:
    try:
        value = float(word)
    except ValueError:
        return UNKNOWN
    if not whole:
        return value
    return int(value) if value == value and abs(value) != float("inf") and value == int(value) else UNKNOWN


def _what(concept: Concept) -> str:
    if concept.type == "enum":
        return f"one of {', '.join(concept.choices)}"
    return {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(concept.type, "a text")
