"""Proof, piece by piece: lines of a log, and settings in the user's own spelling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rldoctor import wording
from rldoctor.facts import Facts
from rldoctor.types import UNKNOWN, Evidence, Fact, LogLine

LONGEST = 1000
MOST = 12
MOST_LINES = 6
DEEPEST = 3


def of_line(line: LogLine) -> Evidence:
    """Return a log line as evidence, cut to what a report shows."""
    from rldoctor.logs import enclosed  # a check has no lines of logs, and loads nothing that reads them

    return Evidence(
        text=enclosed.told(line.text)[:LONGEST],
        file=line.file,
        line=line.number or None,
        rank=line.who.rank,
        time=line.time,
    )


def of_facts(facts: Facts, names: Iterable[str]) -> tuple[Evidence, ...]:
    """Return one piece for each concept that decided a condition, derived ones with their inputs."""
    pieces: dict[str, Evidence] = {}
    for name in names:
        for full, fact in _with_inputs(facts, name, 0):
            if full not in pieces and _can_be_shown(fact):
                pieces[full] = _of_fact(facts, full, fact)
    return tuple(sorted(pieces.values(), key=lambda piece: piece.line is None))


def _can_be_shown(fact: Fact) -> bool:
    return bool(fact.origin.key) or (fact.value is not None and fact.value is not UNKNOWN)


def _with_inputs(facts: Facts, name: str, depth: int) -> Iterator[tuple[str, Fact]]:
    fact = facts.resolve(name)
    if fact is None:
        return
    yield name, fact
    if fact.origin.kind == "derived" and depth < DEEPEST:
        for role, concept in fact.origin.inputs:
            yield from _with_inputs(facts, concept if role == "policy" else f"{role}.{concept}", depth + 1)


def _of_fact(facts: Facts, name: str, fact: Fact) -> Evidence:
    row = facts.row(*wording.split(name)) if wording.is_concept(name) else None
    key = fact.origin.key or (row.key if row is not None else None)
    place = fact.origin.place
    yaml = facts.document is not None and facts.document.kind == "yaml"
    if name.startswith("env.") and fact.value is None:
        text = f"{key} (unset)"
    elif fact.origin.kind == "derived" or key is None:
        text = f"{wording.meaning(name)}: {wording.spell(facts, name)}" + _how(facts, name, fact)
    else:
        text = wording.pair(key, wording.raw(facts, name, fact), yaml=yaml) + _how(facts, name, fact)
    return Evidence(
        text=text[:LONGEST],
        file=place.file if place else None,
        line=place.line if place else None,
        key=key,
    )


def _how(facts: Facts, name: str, fact: Fact) -> str:
    if fact.origin.kind == "default":
        return f" ({fact.origin.text or 'default'})"
    if fact.origin.kind == "written" and wording.is_concept(name):
        found = facts.setting(*wording.split(name))
        variable = found[1].defined_at if found is not None else None
        return f" (set in line {variable.line})" if variable is not None else ""
    kinds = {
        "derived": "computed",
        "model": "of the model",
        "set": "as told",
        "host": "of this machine",
    }
    word = kinds.get(fact.origin.kind)
    return f" ({word})" if word else ""
