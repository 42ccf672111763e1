"""What a compiled condition is, and what can be asked of it without evaluating it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from rldoctor.types import RLDoctorError

Node: TypeAlias = list[Any]

BUILTIN_NAMES: Final = (
    "min",
    "max",
    "abs",
    "len",
    "ceil",
    "floor",
    "int",
    "float",
    "str",
    "round",
    "sum",
    "gcd",
    "missing",
)


class ExprError(RLDoctorError):
    """A text that is not in the condition language; ``column`` counts from 1 within it."""


class Scope(Protocol):
    """What a condition is evaluated over."""

    def lookup(self, name: str) -> Any:
        """Return the value of a dotted name, UNKNOWN where nobody told it."""

    def call(self, function: str, args: Sequence[Node], keywords: Mapping[str, Node]) -> Any:
        """Return the value of a function that is no builtin; its arguments come unevaluated."""

    def is_given(self, name: str) -> bool:
        """Say whether an unknown value of a name is surely something: an argument that the shell fills."""


def names(node: Node) -> tuple[str, ...]:
    """Return the dotted names that a condition reads, each once, in the order of its text."""
    return tuple(dict.fromkeys(part[1] for part in walk(node) if part[0] == "name"))


def functions(node: Node) -> tuple[str, ...]:
    """Return the functions that a condition calls, builtins left out, each once, in order."""
    return tuple(
        dict.fromkeys(part[1] for part in walk(node) if part[0] == "call" and part[1] not in BUILTIN_NAMES)
    )


def walk(node: Node) -> Iterator[Node]:
    """Yield a condition and every condition inside it, in the order of its text."""
    yield node
    for child in _children(node):
        yield from walk(child)


def _children(node: Node) -> list[Node]:
    match node:
        case ["list" | "and" | "or", items]:
            return list(items)
        case ["not" | "neg", operand]:
            return [operand]
        case ["op", _, left, right]:
            return [left, right]
        case ["if", condition, then, other]:
            return [then, condition, other]
        case ["cmp" | "vcmp", first, rest]:
            return [first, *(right for _, right in rest)]
        case ["call", _, args, keywords]:
            return [*args, *keywords.values()]
        case _:
            return []
