"""Whether a rule's conditions hold over a scope, and with what certainty."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from rldoctor import expr
from rldoctor.expr import Node
from rldoctor.facts import Facts
from rldoctor.matching.scope import Scope
from rldoctor.types import UNKNOWN, Confidence, RLDoctorError

ISOLATED: Final = (
    RLDoctorError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    re.error,
)
"""What one broken rule may raise without harm to the others."""


class Held(Struct, frozen=True):
    """Conditions that hold: certainly, or as far as is known; ``decided`` names the facts read."""

    certain: bool
    decided: tuple[str, ...]
    conditions: int

    @property
    def confidence(self) -> Confidence:
        """Return the word for it."""
        return "certain" if self.certain else "possible"


def hold(conditions: Sequence[Node | None], scope: Scope) -> Held | None:
    """Return how conditions hold together, None where one of them is false."""
    present = [condition for condition in conditions if condition is not None]
    values = []
    for condition in present:
        value = expr.evaluate(condition, scope)
        if value is not UNKNOWN and not value:
            return None
        values.append(value)
    known = sum(_known_true(condition, scope) for condition in present)
    return Held(all(value is not UNKNOWN for value in values), tuple(scope.read), known)


def _known_true(node: Node, scope: Scope) -> int:
    """Return how many of the conditions that are and-ed are known to be true."""
    if node[0] == "and":
        return sum(_known_true(part, scope) for part in node[1])
    value = expr.evaluate(node, scope)
    return int(value is not UNKNOWN and bool(value))


def released(since: Mapping[str, str], until: Mapping[str, str], facts: Facts) -> Any:
    """Say whether the systems in use are of a release that a rule is about; UNKNOWN where untold."""
    if not since and not until:
        return True
    verdicts = [_within(system, since.get(system), until.get(system), facts) for system in {**since, **until}]
    told = [verdict for verdict in verdicts if verdict is not None]
    if False in told:
        return False
    return UNKNOWN if UNKNOWN in told else True


def _within(system: str, since: str | None, until: str | None, facts: Facts) -> Any:
    """Return None for a system that is known not to be in use."""
    version = facts.value(f"version.{system}")
    if version is None:
        return None
    if version is UNKNOWN:
        return UNKNOWN
    key = expr.version_key(str(version))
    young = since is not None and key < expr.version_key(since)
    old = until is not None and key >= expr.version_key(until)
    return not (young or old)
