"""Configuration triggers: over facts alone, silent where something is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from rldoctor.expr import compare
from rldoctor.facts import Facts
from rldoctor.matching.findings import Incident, build, one_each
from rldoctor.matching.holding import ISOLATED, hold, released
from rldoctor.matching.scope import Scope
from rldoctor.rules import Entry, Guard, Index
from rldoctor.types import UNKNOWN, Match, Role

Known = dict[str, tuple[str, Any]]


class Silent(Struct, frozen=True):
    """A rule that says nothing because facts are unknown."""

    rule: str
    role: Role
    unknown: tuple[str, ...]


class Outcome(Struct, frozen=True):
    """What triggers gave: matches, silences, and rules that could not be evaluated."""

    matches: tuple[Match, ...] = ()
    silent: tuple[Silent, ...] = ()
    broken: tuple[str, ...] = ()


def match_config(facts: Facts, index: Index) -> tuple[Match, ...]:
    """Return the matches of all configuration triggers."""
    return examine_config(facts, index).matches


def examine_config(facts: Facts, index: Index) -> Outcome:
    """Evaluate every configuration trigger; a broken rule is said and never breaks the others."""
    results: list[Match | Silent | None] = []
    broken: list[str] = []
    for entry, role, known in _open(index.config, facts):
        try:
            results.append(_try_role(entry, Scope(facts, role, known=known), index))
        except ISOLATED as error:
            broken.append(f"rule {entry.rule} could not be evaluated: {error}")
    matches = one_each(result for result in results if isinstance(result, Match))
    silent = tuple(result for result in results if isinstance(result, Silent))
    return Outcome(matches, silent, tuple(dict.fromkeys(broken)))


def errors(facts: Facts, index: Index) -> frozenset[tuple[str, Role]]:
    """Return rule and role of each error that certainly holds; nothing is put into words."""
    return frozenset(
        (entry.rule, role)
        for entry, role, known in _open((e for e in index.config if e.severity == "error"), facts)
        if _certain(entry, Scope(facts, role, known=known))
    )


def _open(entries: Iterable[Entry], facts: Facts) -> Iterator[tuple[Entry, Role, Known]]:
    """Yield the triggers that no guard rules out, with what is known for each role that the run has."""
    scopes = {role: Scope(facts, role) for role in facts.roles}
    for entry in entries:
        for role in entry.roles:
            scope = scopes.get(role)
            if scope is not None and not any(_is_false(guard, scope) for guard in entry.guards):
                yield entry, role, scope.known


def _is_false(guard: Guard, scope: Scope) -> bool:
    name, symbol, constant = guard
    try:
        value = scope.lookup(name)
    except ISOLATED:  # said where the rule itself is evaluated
        return False
    return value is not UNKNOWN and not compare(symbol, value, constant)


def _certain(entry: Entry, scope: Scope) -> bool:
    try:
        held = hold(entry.conditions, scope)
    except ISOLATED:  # said where the rule itself is evaluated
        return False
    return held is not None and held.certain and released(entry.since, entry.until, scope.facts) is True


def _try_role(entry: Entry, scope: Scope, index: Index) -> Match | Silent | None:
    facts, role = scope.facts, scope.role
    held = hold(entry.conditions, scope)
    if held is None or not scope.is_own():
        return None
    fits = released(entry.since, entry.until, facts)
    if fits is False:
        return None
    if not held.certain or fits is UNKNOWN:
        return Silent(entry.rule, role, tuple(n for n in held.decided if scope.lookup(n) is UNKNOWN))
    rule = index.rule(entry.rule)
    return build(rule, rule.on[entry.position], scope, held, Incident())
