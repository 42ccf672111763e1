"""Facts as the memory model reads them, and which of them nobody knows."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from rldoctor.facts.walk import Facts
from rldoctor.types import UNKNOWN, Role


class Reader(Struct):
    """Reads facts of a role and remembers what nobody knows."""

    facts: Facts
    role: Role = "policy"
    missing: dict[str, None] = field(default_factory=dict)

    def get(self, concept: str) -> Any:
        """Return a fact's value, of the policy where the role has none of its own; None if unknown."""
        value = self.facts.fact(concept, self.role).value
        if value is None and self.role != "policy":
            value = self.facts.fact(concept).value
        if value is UNKNOWN:
            self.missing[concept] = None
            return None
        return value

    def count(self, concept: str, default: int = 1) -> int:
        """Return a positive whole number, the default where there is none."""
        value = self.get(concept)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return int(value) if is_number and value >= 1 else default

    def is_on(self, concept: str) -> bool:
        """Return whether a setting is known to be on."""
        return self.get(concept) is True
