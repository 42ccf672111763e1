"""Each rule's own examples must notice when its condition is turned round: that is what they are for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from rule_examples import FIXTURES, SHIPPED, see, siblings

from rldoctor.expr import Node
from rldoctor.rules import Index, Rule, Trigger


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """Yield the rule with one condition negated; where it has none, with one context dropped."""
    if rule.when is not None:
        yield "when", replace(rule, when=negated(rule.when))
    for position, trigger in enumerate(rule.on):
        for what, changed in changed_triggers(trigger, has_condition=rule.when is not None):
            on = (*rule.on[:position], changed, *rule.on[position + 1 :])
            yield f"on-{position}-{what}", replace(rule, on=on)


def changed_triggers(trigger: Trigger, *, has_condition: bool) -> Iterator[tuple[str, Trigger]]:
    if trigger.when is not None:
        yield "when", replace(trigger, when=negated(trigger.when))
    elif not has_condition:
        if trigger.near:
            yield "near", replace(trigger, near=())
        if trigger.not_near:
            yield "not_near", replace(trigger, not_near=())
        if trigger.match:
            yield "match", replace(trigger, match=None)


def negated(node: Node) -> Node:
    return ["not", node]


PATTERNS = {id(rules): Index.of(rules).patterns for rules in (SHIPPED, FIXTURES)}
MUTANTS = [(rule, what, mutant) for rule in (*SHIPPED, *FIXTURES) for what, mutant in mutants(rule)]


@pytest.mark.parametrize(
    ("rule", "mutant"),
    [(rule, mutant) for rule, _, mutant in MUTANTS],
    ids=[f"{rule.id}-{what}" for rule, what, _ in MUTANTS],
)
def test_the_examples_notice(rule: Rule, mutant: Rule, tmp_path: Path) -> None:
    index = Index.of(mutant if other is rule else other for other in siblings(rule))
    index.patterns = PATTERNS[id(siblings(rule))]  # those of the whole set, which is compiled once
    examples = sorted(rule.tests, key=lambda test: test.expect == "none")
    for number, test in enumerate(examples):
        folder = tmp_path / str(number)
        folder.mkdir()
        if see(mutant, test, folder, index).confidence != test.expect:
            return
    pytest.fail("all examples pass with this condition turned round")
