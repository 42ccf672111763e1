"""``rldoctor explain RULE`` and ``rldoctor rules``: what the rules know, for people."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from rldoctor import dialects, vocabulary
from rldoctor.rules import Rule, Trigger, index
from rldoctor.types import RLDoctorError
from rldoctor.vocabulary import Concept
from rldoctor.wording import usual_row

WIDTH = 100
MOST = 30
_WORD = re.compile(r"[^\W_]+")
_HOLE = re.compile(r"\{(?:key\(([^{}()]*)\)|([^{}]*))\}")


def explain(name: str) -> str:
    """Return what a rule knows, a concept means or a group has, else the rules that have the words.

    RLDoctorError for words that none has.
    """
    concepts = vocabulary.load().concepts
    if name in concepts:
        return "\n".join(_concept(name)) + "\n"
    group = [each for each in concepts if each.startswith(f"{name.rstrip('.')}.")]
    if group:
        width = max(map(len, group))
        return "".join(f"{each:<{width}}  {concepts[each].meaning}\n" for each in group)
    if name not in index().ids:
        found = _about(_WORD.findall(name.lower()))
        if found:
            return found
        near = vocabulary.nearest(name, (*index().ids, *concepts))
        message = f"unknown rule, concept or group {name}" + (f", did you mean {near}?" if near else "")
        raise RLDoctorError(message, hint="`rldoctor rules` lists the rules")
    return "\n".join(_lines(index().rule(name))) + "\n"


def _about(words: Sequence[str]) -> str:
    """Return a line for each rule whose name or title has all the words, nothing where none has."""
    every = [index().rule(name) for name in index().ids] if words else []
    titles = {rule.id: readable(rule.title) for rule in every}
    told = {name: set(_WORD.findall(f"{name} {title}".lower())) for name, title in titles.items()}
    found = [name for name, has in told.items() if has.issuperset(words)][:MOST]
    width = max(map(len, found), default=0)
    return "".join(f"{name:<{width}}  {titles[name]}\n" for name in found)


def _concept(name: str) -> Iterator[str]:
    """Yield what a concept means and how each system spells it."""
    concept = vocabulary.load().concepts[name]
    kind = " or ".join(concept.choices) if concept.choices else concept.type
    yield f"{name}  ({kind}{', ' + concept.unit if concept.unit else ''})"
    yield from _wrapped("", concept.meaning)
    said = [(system, usual_row(system, name, "policy")) for system in dialects.NAMES]
    known = [(system, row.key) for system, row in said if row is not None]
    if known:
        yield ""
        yield "written as:"
        width = max(len(system) for system, _ in known)
        yield from (f"  {system:<{width}}  {key}" for system, key in known)
    yield ""
    yield f"told by:  --set {name}={_sample(concept)}"


def _sample(concept: Concept) -> str:
    sizes = {"tokens": "8192", "GiB": "80", "seconds": "600"}
    kinds = {"int": "8", "float": "0.5", "bool": "true", "list": "[a, b]"}
    return concept.choices[0] if concept.choices else sizes.get(concept.unit) or kinds.get(concept.type, "…")


def overview() -> str:
    """Return a line for every rule, by phase."""
    rules = index()
    every = [rules.rule(name) for name in rules.ids]
    width = max((len(rule.id) for rule in every), default=0)
    lines = []
    for phase in dict.fromkeys(sorted(rule.phase for rule in every)):
        lines.append(f"{phase}:")
        for rule in every:
            if rule.phase == phase:
                lines.append(f"  {rule.id:<{width}}  {rule.severity:<8}  {readable(rule.title)}")
    return "\n".join(lines) + "\n"


def readable(template: str) -> str:
    """Return a template with its holes as words: a concept's meaning, else the expression itself."""
    concepts = vocabulary.load().concepts

    def word(found: re.Match[str]) -> str:
        name = (found[1] or found[2]).strip()
        return f"<{concepts[name].meaning if name in concepts else name}>"

    return " ".join(_HOLE.sub(word, template).split())


def _lines(rule: Rule) -> Iterator[str]:
    yield f"{rule.id}  ({rule.severity}, {rule.phase}, family {rule.family}, verdict {rule.verdict})"
    yield from _wrapped("", readable(rule.title))
    yield ""
    yield from _wrapped("  ", readable(rule.explanation))
    yield ""
    yield "seen in:"
    yield from (f"  {_trigger(trigger)}" for trigger in rule.on)
    if rule.explains:
        yield f"then only consequences: {', '.join(rule.explains)}"
    if rule.remedies:
        yield "remedies, in the order to try them:"
    for number, rung in enumerate(rule.remedies, start=1):
        safety = rung.safety if isinstance(rung.safety, str) else "safe or unsafe, as the configuration says"
        yield from _wrapped(f"  {number}. ", f"{readable(rung.title)} ({safety})")
        for concept in (*rung.set, *rung.unset):
            yield f"     {concept}: {_meaning(concept)}"
    yield "references:"
    yield from (f"  {reference}" for reference in rule.references)


def _trigger(trigger: Trigger) -> str:
    if trigger.kind == "log":
        near = f", near {' and '.join(trigger.near)}" if trigger.near else ""
        return f"a log line with {' or '.join(trigger.find)}{near}"
    if trigger.kind == "event":
        return f"an event {trigger.event}"
    if trigger.kind == "metric":
        return f"the metric {trigger.metric}"
    return "the configuration, before launch"


def _meaning(name: str) -> str:
    if name.startswith("env."):
        return "environment variable"
    concept = name.split(".", 1)[-1] if name.split(".", 1)[0] in vocabulary.load().roles else name
    known = vocabulary.load().concepts.get(concept)
    return known.meaning if known else ""


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
