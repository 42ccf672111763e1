"""From a rule that holds to its match: the user's words in the title, proof in order, one a rule and role."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor import wording
from rldoctor.facts import Facts
from rldoctor.matching import evidence
from rldoctor.matching.holding import Held
from rldoctor.matching.scope import Scope
from rldoctor.rules import Rule, Trigger
from rldoctor.types import Evidence, Finding, Identity, LogLine, Match


class Incident(Struct, frozen=True):
    """What a trigger saw: its lines, the decisive one first, what it binds, and whether the run went on."""

    lines: tuple[LogLine, ...] = ()
    bindings: Mapping[str, Any] = field(default_factory=dict)
    recovered: bool = False
    phase: str | None = None
    near: tuple[LogLine, ...] = ()
    spread: tuple[Identity, ...] = ()


def build(rule: Rule, trigger: Trigger, scope: Scope, held: Held, incident: Incident) -> Match:
    """Return the match of a rule whose conditions hold for an incident (an empty one: for the config)."""
    facts = scope.facts
    every = (*incident.lines[:1], *incident.near, *incident.lines[1:])
    lines = list({(line.file, line.number): line for line in every}.values())
    proof = (*map(evidence.of_line, lines[: evidence.MOST_LINES]), *evidence.of_facts(facts, held.decided))
    finding = Finding(
        id=rule.id if scope.role == "policy" else f"{rule.id}@{scope.role}",
        rule=rule.id,
        subject=subject(facts, incident),
        title=wording.fill(trigger.title or rule.title, scope, facts),
        severity=trigger.severity or rule.severity,
        confidence=held.confidence,
        explanation=wording.fill(rule.explanation, scope, facts),
        evidence=proof[: evidence.MOST],
        phase=incident.phase or (None if rule.phase == "cluster" else rule.phase),
        verdict=rule.verdict,
        family=rule.family,
        role=scope.role,
        assumes=assumptions(facts, held.decided),
        fingerprint=fingerprint(rule, facts, proof),
    )
    return Match(
        finding=finding,
        lines=(*incident.lines, *incident.near),
        bindings=dict(scope.bindings),
        conditions=held.conditions + len(trigger.near) + bool(trigger.match) + (trigger.kind == "log"),
        symptom=rule.symptom,
        explains=rule.explains,
        recovered=incident.recovered,
        spread=incident.spread or tuple(dict.fromkeys(line.who for line in incident.lines)),
    )


def subject(facts: Facts, incident: Incident) -> str:
    """Return the file that a finding is about: the log, else the configuration."""
    if incident.lines:
        return incident.lines[0].file
    return facts.document.path if facts.document is not None else ""


def assumptions(facts: Facts, names: Iterable[str]) -> tuple[str, ...]:
    """Return what the deciding facts take for granted, each once."""
    found = (facts.resolve(name) for name in names)
    return tuple(dict.fromkeys(text for fact in found if fact is not None for text in fact.assumes))


def fingerprint(rule: Rule, facts: Facts, proof: Sequence[Evidence]) -> str:
    """Return a short text that is the same for the same rule, system and keys in every run."""
    keys = sorted({piece.key for piece in proof if piece.key})
    return f"{zlib.crc32('|'.join([rule.id, facts.system or '', *keys]).encode()):08x}"


def one_each(matches: Iterable[Match]) -> tuple[Match, ...]:
    """Merge the matches of one rule and role: all its triggers make one finding, what recovered apart."""
    merged: dict[tuple[str, str, bool], Match] = {}
    for match in matches:
        key = (match.finding.rule, match.finding.role, match.recovered)
        merged[key] = _merge(merged[key], match) if key in merged else match
    fatal = {key[:2] for key in merged if not key[2]}
    return tuple(match for key, match in merged.items() if not (key[2] and key[:2] in fatal))


def _merge(one: Match, other: Match) -> Match:
    """Return both as one: the certain one speaks, else the earlier; the other's decisive line comes third."""
    first, second = (other, one) if _speaks_first(other, one) else (one, other)
    mine, theirs = first.finding.evidence, second.finding.evidence
    proof = _distinct((*mine[:2], *theirs[:1], *mine[2:], *theirs[1:]))
    return replace(
        first,
        finding=replace(first.finding, evidence=proof[: evidence.MOST]),
        lines=tuple(dict.fromkeys((*first.lines, *second.lines))),
        conditions=max(first.conditions, second.conditions),
        spread=tuple(dict.fromkeys((*first.spread, *second.spread))),
    )


def _distinct(proof: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return the pieces, a line of a log and a key each once."""
    first: dict[tuple[object, ...], Evidence] = {}
    for piece in proof:
        first.setdefault((piece.key, piece.file, piece.line, "" if piece.line else piece.text), piece)
    return tuple(first.values())


def _speaks_first(one: Match, other: Match) -> bool:
    ranked = [(not m.lines, m.finding.confidence != "certain", -m.conditions) for m in (one, other)]
    if ranked[0] != ranked[1] or not (one.lines and other.lines):
        return ranked[0] < ranked[1]
    mine, theirs = one.lines[0], other.lines[0]
    return mine.file == theirs.file and mine.number < theirs.number
