"""Triggers of logs, events and metrics: what was seen, made one match a rule and role."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rldoctor.facts import Facts
from rldoctor.matching import event, log, metric
from rldoctor.matching.config import Outcome
from rldoctor.matching.findings import Incident, build, one_each
from rldoctor.matching.holding import ISOLATED, Held, hold, released
from rldoctor.matching.scope import Scope
from rldoctor.rules import Entry, Index, Rule, Trigger
from rldoctor.types import Match, Role

if TYPE_CHECKING:
    from rldoctor.logs import LogReading


def examine_log(reading: LogReading, facts: Facts, index: Index) -> Outcome:
    """Evaluate what the log's hits, events and metrics call for; a broken rule never breaks the others."""
    matches: list[Match] = []
    broken: list[str] = []
    for entry in _called(reading, index):
        try:
            fits = released(entry.since, entry.until, facts)
            if fits is not False:
                matches += _of_entry(entry, reading, facts, index.rule(entry.rule), fits is True)
        except ISOLATED as error:
            broken.append(f"rule {entry.rule} could not be evaluated: {error}")
    return Outcome(one_each(matches), broken=tuple(broken))


def _called(reading: LogReading, index: Index) -> Iterator[Entry]:
    """Yield each trigger whose pattern, event kind or metric occurs, once."""
    found: dict[tuple[str, int], Entry] = {}
    seen = (
        (index.log, (key for key, lines in reading.hits.items() if lines)),
        (index.events, (event.kind for event in reading.events)),
        (index.metrics, (sample.metric for sample in reading.samples)),
    )
    for table, keys in seen:
        for key in dict.fromkeys(keys):
            found |= {(entry.rule, entry.position): entry for entry in table.get(key, ())}
    yield from found.values()


def _of_entry(entry: Entry, reading: LogReading, facts: Facts, rule: Rule, fits: bool) -> Iterator[Match]:
    trigger = rule.on[entry.position]
    error = (trigger.severity or rule.severity) == "error"
    for role in (role for role in entry.roles if role in facts.roles):
        seen = _holding(entry, trigger, role, reading, facts)
        for scope, held, incident in _kept(
            one for one in seen if not (error and _is_got_round(one, reading))
        ):
            certain = replace(held, certain=held.certain and fits)
            yield build(rule, trigger, scope, certain, incident)


Seen = tuple[Scope, Held, Incident]


def _is_got_round(seen: Seen, reading: LogReading) -> bool:
    """Say whether all that was seen are warnings which tell themselves what is done instead."""
    lines = seen[2].lines
    return bool(lines) and all(map(reading.took_another_way, lines))


def _holding(entry: Entry, trigger: Trigger, role: Role, reading: LogReading, facts: Facts) -> Iterator[Seen]:
    if trigger.kind == "metric":
        yield from _series(entry, trigger, role, reading, facts)
        return
    source = log.incidents if trigger.kind == "log" else event.incidents
    for incident in source(trigger, reading):
        scope = Scope(facts, role, incident.bindings)
        held = hold(entry.conditions, scope)
        if held is not None and scope.is_own():
            yield scope, held, incident


def _series(entry: Entry, trigger: Trigger, role: Role, reading: LogReading, facts: Facts) -> Iterator[Seen]:
    series = reading.series.get(str(trigger.metric))
    if series is None:
        return
    scope = metric.SeriesScope(facts, role, series, reading)
    bad = metric.streak(scope, entry.conditions)
    if bad is not None and scope.is_own():
        incident, certain = bad
        scope.bindings = incident.bindings
        yield scope, Held(certain, tuple(scope.read), len(entry.conditions)), incident


def _kept(seen: Iterable[Seen]) -> tuple[Seen, ...]:
    """Return one for all that the run recovered from and one for the rest, with the lines of all of them.

    The first that is certain speaks, else the first.
    """
    speakers: dict[bool, Seen] = {}
    together: dict[bool, list[Incident]] = {}
    for scope, held, incident in seen:
        kept = speakers.get(incident.recovered)
        if kept is None or (held.certain and not kept[1].certain):
            speakers[incident.recovered] = (scope, held, incident)
        together.setdefault(incident.recovered, []).append(incident)
    return tuple(
        (scope, held, _with_lines(incident, together[recovered]))
        for recovered, (scope, held, incident) in speakers.items()
    )


def _with_lines(speaker: Incident, others: Iterable[Incident]) -> Incident:
    every = (speaker, *others)
    lines = dict.fromkeys(line for incident in every for line in incident.lines)
    spread = dict.fromkeys(who for incident in every for who in incident.spread)
    return replace(speaker, lines=tuple(lines), spread=tuple(spread))
