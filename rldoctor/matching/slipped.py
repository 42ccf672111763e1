"""What follows only from a slip: a setting with a misspelt name or word was meant to count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor.facts import Facts
from rldoctor.matching.config import Outcome, examine_config
from rldoctor.matching.keys import examine_keys
from rldoctor.rules import Index
from rldoctor.types import Evidence, Finding, Match, Severity

KEYS: Final = ("unknown-key", "renamed-key")
WORDS: Final = ("unknown-choice",)
RANK: Final[Mapping[Severity, int]] = {"harmless": 0, "hint": 1, "warning": 2, "error": 3}


def slips(matches: Sequence[Match]) -> tuple[Match, ...]:
    """Return the findings that know what a setting was meant to be, and that nothing else says it."""
    return tuple(
        each for each in matches if each.finding.rule in (*KEYS, *WORDS) and _meant(each) is not None
    )


def without_consequences(facts: Facts, told: Outcome, keys: Outcome, rules: Index) -> tuple[Outcome, Outcome]:
    """Return the slips, and what holds with them mended too; a slip is as bad as what follows from it."""
    found = slips(keys.matches)
    if not found:
        return told, keys
    names = {_key(each): str(_meant(each)) for each in found if each.finding.rule in KEYS}
    words = {_key(each): str(_meant(each)) for each in found if each.finding.rule in WORDS}
    right = facts.mended(names, words)
    holding = (*examine_config(right, rules).matches, *examine_keys(right, rules).matches)
    ids = frozenset(each.finding.id for each in (*holding, *found))
    every = [each.finding for each in (*told.matches, *keys.matches) if each.finding.id not in ids]
    gone = [each for each in every if not each.evidence or each.evidence[0].key not in words]
    worse = [each for each in gone if RANK[each.severity] > RANK[found[0].finding.severity]]
    alone = len(found) == 1 or not worse
    lost = {each.id for each in gone if alone or each not in worse}

    def kept(match: Match) -> Match:
        return _as_bad_as(match, worse) if alone and worse and match is found[0] else match

    def rest(outcome: Outcome) -> Outcome:
        matches = tuple(kept(each) for each in outcome.matches if each.finding.id not in lost)
        return replace(outcome, matches=matches)

    return rest(told), rest(keys)


def _as_bad_as(slip: Match, worse: Sequence[Finding]) -> Match:
    """Return a slip with the severity of what follows from it, which it shows as evidence."""
    severity = max((each.severity for each in worse), key=lambda each: RANK[each])
    proof = tuple(Evidence(each.title) for each in worse)
    finding = slip.finding
    return replace(
        slip, finding=replace(finding, severity=severity, evidence=(*finding.evidence, *proof)[:12])
    )


def _key(match: Match) -> str:
    return str(match.bindings["event.key"])


def _meant(match: Match) -> object:
    told = match.bindings
    sure = told.get("event.typo") or match.finding.rule != "unknown-key"
    return told.get("event.nearest") if sure and not told.get("event.taken") else None
