"""Whether a condition can mean something: every name, function and word in it is one of the vocabulary."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from rldoctor import dialects
from rldoctor.expr import BUILTIN_NAMES, Node
from rldoctor.rules.reader import unknown
from rldoctor.vocabulary import EventField, Function, Vocabulary

_NUMBERS: Final = ("int", "float")
_TEXTS: Final = ("str", "enum", "path", "phase", "env", "version", "system")
SAFETIES: Final = ("safe", "unsafe", "manual")


class Problem(NamedTuple):
    """What is wrong, and the word in the condition's text that it is about."""

    message: str
    word: str


class Typed(NamedTuple):
    """The type of what a name stands for, and its words where they are few."""

    type: str
    choices: Collection[str] = ()


class Words(Struct, frozen=True):
    """The names that a condition may read: those of the vocabulary, and what its triggers bind."""

    vocabulary: Vocabulary
    events: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    series: bool = False
    template: bool = False

    def within(self, events: Sequence[str] = (), groups: Sequence[str] = (), series: bool = False) -> Words:
        """Return these words with what one trigger binds."""
        return replace(self, events=tuple(events), groups=tuple(groups), series=series)

    def fields(self) -> dict[str, EventField]:
        """Return the fields of all event kinds that may be bound."""
        return {
            name: row for kind in self.events for name, row in self.vocabulary.events[kind].fields.items()
        }

    def typed(self, name: str) -> Typed | None:
        """Return the type of a name, None where it has none or is unknown."""
        first, _, rest = name.partition(".")
        if first in ("env", "version", "system"):
            return Typed(first, dialects.NAMES if first == "system" else ())
        if first == "event":
            found = self.fields().get(rest)
            if found is None:
                return None
            return Typed(found.type, self.vocabulary.phases if found.type == "phase" else found.choices)
        concept = self.vocabulary.concepts.get(self.concept(name))
        return Typed(concept.type, concept.choices) if concept else None

    def concept(self, name: str) -> str:
        """Return an expression name without its role."""
        role, _, rest = name.partition(".")
        return rest if role in self.vocabulary.roles else name


def problems(node: Node, words: Words) -> Iterator[Problem]:
    """Yield what a compiled condition says that cannot mean anything."""
    match node:
        case ["name", name]:
            yield from name_problems(name, words)
        case ["call", function, args, keywords]:
            yield from _call_problems(function, args, keywords, words)
        case ["cmp" | "vcmp", first, rest]:
            operands = [first, *(operand for _, operand in rest)]
            for left, right in itertools.pairwise(operands):
                yield from _clash(left, right, words)
                yield from _clash(right, left, words)
            yield from _all(operands, words)
        case ["and" | "or" | "list", items]:
            yield from _all(items, words)
        case ["const", _]:
            return
        case [_, *operands]:
            yield from _all([operand for operand in operands if isinstance(operand, list)], words)


def _all(nodes: Sequence[Node], words: Words) -> Iterator[Problem]:
    for node in nodes:
        yield from problems(node, words)


def name_problems(name: str, words: Words) -> Iterator[Problem]:
    """Yield what is wrong with a name that is read."""
    first, _, rest = name.partition(".")
    match first:
        case "env" if rest:
            return
        case "system" if not rest:
            return
        case "version":
            known: Collection[str] = dialects.NAMES
        case "event":
            known = words.fields()
        case "match":
            known = words.groups
        case _:
            yield from _word_problems(name, words)
            return
    if not known:
        yield Problem(f"{name}: no trigger here has {first}.…", name)
    elif rest not in known:
        yield Problem(unknown({"version": "system"}.get(first, f"{first} field"), rest, known), name)


def _word_problems(name: str, words: Words) -> Iterator[Problem]:
    if "." in name:
        concept = words.concept(name)
        if concept not in words.vocabulary.concepts:
            yield Problem(unknown("concept", concept, words.vocabulary.concepts), name)
    elif name not in words.vocabulary.metrics:
        message = unknown("name", name, words.vocabulary.metrics)
        yield Problem(f"{message} (a text stands in quotes: '{name}')", name)
    elif not words.series:
        yield Problem(f"{name} is a metric, and no trigger here is one", name)


def _call_problems(
    function: str, args: Sequence[Node], keywords: dict[str, Node], words: Words
) -> Iterator[Problem]:
    if function in BUILTIN_NAMES:
        yield from _all(args, words)
        return
    if function == "key" and words.template:
        yield from _all(args, words)
        return
    row = words.vocabulary.functions.get(function)
    if row is None:
        yield Problem(unknown("function", function, [*words.vocabulary.functions, *BUILTIN_NAMES]), function)
        return
    if row.kind == "series" and not words.series:
        yield Problem(f"{function} asks a series of steps, and no trigger here is a metric", function)
    if len(args) != len(row.takes):
        takes = ", ".join(row.takes) or "no arguments"
        yield Problem(f"{function} takes {takes}, and is given {len(args)}", function)
    for option in keywords:
        if option not in row.options:
            yield Problem(unknown(f"option of {function}:", option, row.options), option)
    yield from _all(list(keywords.values()), words)
    yield from _argument_problems(row, args, words)


def _argument_problems(row: Function, args: Sequence[Node], words: Words) -> Iterator[Problem]:
    for takes, argument in zip(row.takes, args, strict=False):
        if takes in ("concept", "metric", "event") and argument[0] != "name":
            yield Problem(f"{row.id} takes the name of a {takes}", row.id)
        elif takes == "event" and argument[1] not in words.vocabulary.events:
            yield Problem(unknown("event", argument[1], words.vocabulary.events), argument[1])
        elif takes != "event":
            yield from problems(argument, words)


def _clash(name: Node, other: Node, words: Words) -> Iterator[Problem]:
    """Yield the constants that a name is compared with and that it can never be."""
    typed = words.typed(name[1]) if name[0] == "name" else None
    if typed is None:
        return
    for node in other[1] if other[0] == "list" else [other]:
        value = node[1] if node[0] == "const" else None
        if value is None:
            continue
        if isinstance(value, str) and typed.choices and value not in typed.choices:
            yield Problem(unknown(f"word for {name[1]}:", value, typed.choices), value)
        elif isinstance(value, str) and typed.type in (*_NUMBERS, "bool"):
            yield Problem(f"{name[1]} is {typed.type}, and is compared with the text '{value}'", name[1])
        elif not isinstance(value, str) and typed.type in _TEXTS:
            yield Problem(f"{name[1]} is text, and is compared with {value}", name[1])
