"""The vocabulary: every concept, metric, event, family, phase, role and function that may be named."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field, to_builtins

from rldoctor import compiled
from rldoctor.types import ROLES, RLDoctorError

FILE: Final = Path(__file__).with_suffix(".yaml")
TYPES: Final = ("int", "float", "bool", "str", "enum", "list", "path", "dict")
KINDS: Final = ("sizing", "fact", "series")
_ALLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    "concepts": ("type", "unit", "choices", "derived", "present", "meaning"),
    "metrics": ("unit", "meaning", "named"),
    "events": ("meaning", "fields"),
    "functions": ("kind", "takes", "options", "meaning"),
}


class VocabularyErrors(RLDoctorError):
    """All mistakes of the vocabulary file at once."""


class Concept(Struct, frozen=True):
    """A system-neutral setting; ``present`` marks what exists against what a config asks for."""

    id: str
    type: str
    meaning: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    derived: bool = False
    present: bool = False


class Metric(Struct, frozen=True):
    """A named series over steps; ``named`` are names that trainers without a dialect print."""

    id: str
    meaning: str
    unit: str = ""
    named: tuple[str, ...] = ()


class EventField(Struct, frozen=True):
    """A field of an event: ``type`` is a concept's type or ``phase``."""

    type: str
    unit: str = ""
    choices: tuple[str, ...] = ()


class EventKind(Struct, frozen=True):
    """Something that can be seen in a log, a dump or a live run."""

    id: str
    meaning: str
    fields: Mapping[str, EventField]


class Function(Struct, frozen=True):
    """A function of expressions: ``sizing`` computes for remedies, ``fact`` and ``series`` ask."""

    id: str
    kind: str
    meaning: str
    takes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Vocabulary(Struct, frozen=True):
    """All words, each kind by its id; ``families``, ``phases`` and ``roles`` map to their meaning."""

    concepts: Mapping[str, Concept]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    events: Mapping[str, EventKind] = field(default_factory=dict)
    families: Mapping[str, str] = field(default_factory=dict)
    phases: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)


@cache
def load() -> Vocabulary:
    """Return the vocabulary, read once a process."""
    return from_json(compiled.load("vocabulary", (FILE, Path(__file__)), lambda: as_json(read(FILE))))


def read(path: Path) -> Vocabulary:
    """Return the vocabulary of a YAML file, or raise VocabularyErrors with all its mistakes."""
    import yaml

    return parse(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))


def parse(raw: Mapping[str, Any], path: str) -> Vocabulary:
    """Return the vocabulary that a file's content gives, or raise with all its mistakes."""
    mistakes = list(_mistakes(raw))
    if mistakes:
        raise VocabularyErrors("\n".join(mistakes), file=path)
    return from_json(raw)


def from_json(raw: Mapping[str, Any]) -> Vocabulary:
    """Return the vocabulary of a plain dict that was checked before."""
    return Vocabulary(
        concepts={i: Concept(id=i, **{**row, "choices": _words(row)}) for i, row in raw["concepts"].items()},
        metrics={
            i: Metric(id=i, **{**row, "named": tuple(row.get("named") or ())})
            for i, row in raw["metrics"].items()
        },
        events={i: EventKind(i, row["meaning"], _fields(row)) for i, row in raw["events"].items()},
        families=raw["families"],
        phases=raw["phases"],
        roles=raw["roles"],
        functions={i: _function(i, row) for i, row in raw["functions"].items()},
    )


def as_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the plain dict that ``from_json`` reads."""
    plain: dict[str, Any] = to_builtins(vocabulary)
    for part in ("concepts", "metrics", "events", "functions"):
        plain[part] = {
            i: {key: value for key, value in row.items() if key != "id"} for i, row in plain[part].items()
        }
    return plain


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the known word that a misspelt one most likely means: its last part counts first."""
    import difflib  # only where a word is misspelt

    last = word.rsplit(".", 1)[-1]
    same = [name for name in known if name.rsplit(".", 1)[-1] == last]
    found = difflib.get_close_matches(word, same or list(known), n=1, cutoff=0.0 if same else 0.6)
    return found[0] if found else None


def unknown_word(kind: str, word: str, known: Collection[str]) -> str:
    """Return the message for a word that is not in the vocabulary, with the nearest that is."""
    near = nearest(word, known)
    return f"unknown {kind} {word}" + (f", did you mean {near}?" if near else "")


def _fields(row: Mapping[str, Any]) -> dict[str, EventField]:
    return {
        name: EventField(value["type"], value.get("unit", ""), _words(value))
        for name, value in row.get("fields", {}).items()
    }


def _function(name: str, row: Mapping[str, Any]) -> Function:
    return Function(name, row["kind"], row["meaning"], tuple(row["takes"]), tuple(row.get("options", ())))


def _words(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row.get("choices", ()))


def _mistakes(raw: Mapping[str, Any]) -> Iterator[str]:
    parts = {*_ALLOWED, "families", "phases", "roles"}
    yield from (unknown_word("part", part, parts) for part in raw if part not in parts)
    for part in parts - set(raw):
        yield f"{part} is missing"
    for part, allowed in _ALLOWED.items():
        for name, row in raw.get(part, {}).items():
            if not isinstance(row, Mapping) or "meaning" not in row:
                yield f"{part}: {name} has no meaning"
                continue
            yield from (
                f"{part}: {name}: {unknown_word('key', key, allowed)}" for key in row if key not in allowed
            )
    yield from _concept_mistakes(raw.get("concepts", {}))
    for role in set(ROLES) ^ set(raw.get("roles", {})):
        yield f"roles: {role} stands on one side only"
    for name, row in raw.get("functions", {}).items():
        if isinstance(row, Mapping) and row.get("kind") not in KINDS:
            yield f"functions: {name}: kind is one of {', '.join(KINDS)}"


def _concept_mistakes(rows: Mapping[str, Any]) -> Iterator[str]:
    for name, row in rows.items():
        if not isinstance(row, Mapping):
            continue
        if row.get("type") not in TYPES:
            yield f"concepts: {name}: type is one of {', '.join(TYPES)}"
        if (row.get("type") == "enum") != bool(row.get("choices")):
            yield f"concepts: {name}: choices belong to an enum, and an enum has choices"
        if "." not in name:
            yield f"concepts: {name}: an id is group.name"
