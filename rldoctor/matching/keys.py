"""Events of the configuration itself: settings that the system does not understand as they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec.structs import replace

from rldoctor import vocabulary, wording
from rldoctor.dialects.incomplete import incomplete
from rldoctor.dialects.launch import Launch
from rldoctor.dialects.strange import strange
from rldoctor.facts import Facts
from rldoctor.facts.arrays import unused
from rldoctor.facts.cut import cut_off
from rldoctor.facts.limits import refused
from rldoctor.facts.torn import torn
from rldoctor.matching.config import Outcome
from rldoctor.matching.evidence import LONGEST
from rldoctor.matching.findings import Incident, build, fingerprint
from rldoctor.matching.holding import ISOLATED, hold
from rldoctor.matching.scope import Scope
from rldoctor.rules import Entry, Index
from rldoctor.types import Event, Evidence, Match

NAMING_CODE: Final = (
    *("custom_reward_function.path", "_config_path"),
    *("-function-path", "-filter-path", "-process-path", "-source-path"),
)


def examine_keys(facts: Facts, index: Index) -> Outcome:
    """Evaluate event triggers over what is strange in a configuration: one match a rule and setting."""
    launch = _launch(facts)
    events = tuple(_events(launch, facts)) if launch is not None else ()
    matches: list[Match] = []
    broken: list[str] = []
    for event in _once(events):
        for entry in index.events.get(event.kind, ()):
            try:
                matches += _of_entry(entry, event, facts, index)
            except ISOLATED as error:
                broken.append(f"rule {entry.rule} could not be evaluated: {error}")
    return Outcome(tuple(matches), broken=tuple(dict.fromkeys(broken)))


def _events(launch: Launch, facts: Facts) -> Iterator[Event]:
    """Yield what is wrong with the settings themselves; what another event asks for already is left out."""
    shape = (*cut_off(facts), *torn(facts), *unused(facts), *_seldom(facts))
    refusals = tuple(refused(facts))
    yield from (*shape, *refusals, *strange(launch))
    if facts.table is None or not facts.table.complete or any(e.kind == "config_missing" for e in shape):
        return
    asked = {event.fields.get("first_key") for event in refusals}
    yield from (event for event in incomplete(launch) if event.fields["key"] not in asked)


def _seldom(facts: Facts) -> Iterator[Event]:
    """Yield what only some files can have wrong; what looks for it is loaded for those alone."""
    document, start = facts.document, facts.start
    if document is not None and document.kind in ("shell", "command"):
        from rldoctor.facts.entry import foreign_entry
        from rldoctor.facts.environment import misset
        from rldoctor.facts.expansions import expanded
        from rldoctor.facts.lost_config import lost_configs
        from rldoctor.facts.meeting import misled
        from rldoctor.facts.slips import slips
        from rldoctor.facts.starters import misstarted
        from rldoctor.facts.unset import unset
        from rldoctor.facts.words import misread
        from rldoctor.facts.wrappers import mislaunched

        yield from misstarted(facts)
        yield from mislaunched(facts)
        yield from misread(facts)
        yield from slips(facts)
        yield from expanded(facts)
        yield from foreign_entry(facts)
        yield from misled(facts)
        yield from unset(facts)
        yield from misset(facts)
        yield from lost_configs(facts)
    own = start.command.settings if start.command is not None else ()
    every = (*start.below, *own)
    if any(each.key.endswith(NAMING_CODE) or each.key.startswith("--custom-") for each in every):
        from rldoctor.facts.named_code import misnamed_code

        yield from misnamed_code(facts)
    if any(("$" if each.form == "yaml" else "${") in str(each.value) for each in every):
        from rldoctor.facts.circles import bare, circles

        yield from circles(facts)
        yield from bare(facts)


def _once(events: Iterable[Event]) -> Iterator[Event]:
    """Yield each event, of a word that is no choice only the first: what a system's code takes counts.

    A configuration that is not there is said once, not as a name that is none too.
    """
    chosen: set[Any] = set()
    for event in events:
        if event.kind == "config_missing":
            chosen.add("--config-name")
        if event.kind != "unknown_choice":
            yield event
        elif event.fields["written"] not in chosen:
            chosen.add(event.fields["written"])
            yield event


def _launch(facts: Facts) -> Launch | None:
    table, start = facts.table, facts.start
    if table is None or table.version is None or start.command is None:
        return None
    return Launch(table.system, table.version, start.command, start.below, facts.document, table.is_told)


def _of_entry(entry: Entry, event: Event, facts: Facts, index: Index) -> Iterator[Match]:
    rule = index.rule(entry.rule)
    scope = Scope(facts, "policy", _bindings(event))
    held = hold(entry.conditions, scope)
    if held is None:
        return
    certain = replace(held, certain=held.certain and event.fields["certain"] is True)
    match = build(rule, rule.on[entry.position], scope, certain, Incident())
    proof = (_evidence(event, facts), *match.finding.evidence)
    about = event.fields
    assumed = facts.table.assumes if facts.table is not None else ()
    if about.get("guessed"):
        assumed = (f"{about['system']} {about['release']} (all other keys fit it)",)
    finding = replace(
        match.finding,
        id=f"{rule.id}:{event.fields['written']}",
        evidence=proof,
        assumes=tuple(dict.fromkeys((*match.finding.assumes, *assumed))),
        fingerprint=fingerprint(rule, facts, proof),
    )
    yield replace(match, finding=finding)


def _bindings(event: Event) -> dict[str, Any]:
    """Return the event's fields; what its detector says nothing of is a known None."""
    kind = vocabulary.load().events[event.kind]
    return {f"event.{name}": event.fields.get(name) for name in kind.fields}


def _evidence(event: Event, facts: Facts) -> Evidence:
    key, value = event.fields["written"], event.fields["value"]
    yaml = facts.document is not None and facts.document.kind == "yaml"
    line = event.lines[0] if event.lines else None
    text = key if value is None else wording.pair(key, True if value == "True" else value, yaml=yaml)
    return Evidence(
        text=text[:LONGEST],
        file=line.file if line is not None else None,
        line=line.number if line is not None else None,
        key=key,
    )
