"""What a system's ``computed.py`` works with: the facts so far, and a derived fact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from rldoctor.types import UNKNOWN, Command, Fact, Origin, Role, State


class FactTable(Protocol):
    """The facts of one command so far; a system's rows and its model's shape are in it already."""

    command: Command
    system: str
    version: str | None

    def get(self, concept: str, role: Role = "policy") -> Any:
        """Return the value, UNKNOWN where nobody told it, None where the system has none."""

    def written(self, concept: str, role: Role = "policy") -> Any:
        """Return what the user wrote in the concept's words, None if nothing."""

    def raw(self, key: str) -> Any:
        """Return the value of a key as written in the file, None where it is not written."""


def derived(
    concept: str,
    value: Any,
    inputs: Sequence[str | tuple[Role, str]] = (),
    role: Role = "policy",
    text: str = "",
) -> Fact:
    """Return a derived fact; an input is a concept of the same role, or (role, concept)."""
    pairs = tuple((role, each) if isinstance(each, str) else each for each in inputs)
    state: State = "unknown" if value is UNKNOWN else "known"
    return Fact(role, concept, value, Origin("derived", text, inputs=pairs), state)


def product(*values: Any) -> Any:
    """Return the product; UNKNOWN if a factor is, None if a factor is None."""
    if any(value is UNKNOWN for value in values):
        return UNKNOWN
    result = 1
    for value in values:
        if value is None:
            return None
        result *= value
    return result


def quotient(whole: Any, *parts: Any) -> Any:
    """Return the whole number that a division gives; None where it does not come out even or is by zero."""
    divisor = product(*parts)
    if whole is UNKNOWN or divisor is UNKNOWN:
        return UNKNOWN
    if whole is None or not divisor:
        return None
    return whole // divisor if whole % divisor == 0 else None


def multiple_of_group(divisor: Any, group: Any) -> Any:
    """Return what prompts must be a multiple of, so that prompts × group is a multiple of the divisor."""
    if UNKNOWN in (divisor, group):
        return UNKNOWN
    if not divisor or not group:
        return None
    return divisor // math.gcd(divisor, group)
