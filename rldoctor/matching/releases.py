"""What fails in the release that is assumed, and not in an older one that a file fits just as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor.facts import Facts
from rldoctor.matching.config import Outcome
from rldoctor.matching.keys import examine_keys
from rldoctor.rules import Index
from rldoctor.types import Match

MOST: Final = 6
"""Series of releases (0.9, 0.8, …) that are thought of: what is older hardly anybody runs."""


def settled(facts: Facts, outcome: Outcome, rules: Index) -> Outcome:
    """Return what is wrong with keys, errors that an older release does not have lowered, if none is told.

    Only a release in which less fails and nothing else does speaks against an error. What upstream itself
    has renamed or removed stays one, and is only possible: old scripts are run with new releases.
    """
    release = facts.start.release
    mine = _errors(outcome.matches)
    if release is None or release.sure or not release.others or not mine:
        return outcome
    for other in _tried(release.others):
        theirs = _errors(examine_keys(facts.under(other), rules).matches)
        if theirs < mine:
            fine, taken = mine - theirs, f"{facts.system} {release.version}: {other} does not mind"
            return replace(outcome, matches=tuple(_lowered(each, fine, taken) for each in outcome.matches))
    return outcome


def _tried(others: Sequence[str]) -> Iterator[str]:
    """Yield the oldest release that is thought of, then one half-way to the newest."""
    named = [each for each in others if not each.endswith("dev")]
    series = list(dict.fromkeys(_series(each) for each in named))[:MOST]
    known = [each for each in named if _series(each) in series]
    yield from dict.fromkeys((*known[-1:], *known[len(known) // 2 :][:1]))


def _series(release: str) -> str:
    return ".".join(release.split(".")[:2])


def _errors(matches: Sequence[Match]) -> frozenset[str]:
    return frozenset(match.finding.id for match in matches if match.finding.severity == "error")


def _lowered(match: Match, fine: frozenset[str], taken: str) -> Match:
    """Return a match as a warning that is only possible, where a release has no such error."""
    found = match.finding
    if found.id not in fine or found.severity != "error":
        return match
    is_named = match.bindings.get("event.until") is not None
    told = tuple(dict.fromkeys((*found.assumes, taken)))
    severity = found.severity if is_named else "warning"
    return replace(match, finding=replace(found, severity=severity, confidence="possible", assumes=told))
