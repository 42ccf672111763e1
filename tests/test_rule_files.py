"""The examples of every rule file, each one test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rule_examples import FIXTURES, SHIPPED, Seen, edited, identify, recheck, remedy, see, siblings

from rldoctor.rules import Index, Rule
from rldoctor.rules.examples import RuleTest

EXAMPLES = [(rule, test) for rule in (*SHIPPED, *FIXTURES) for test in rule.tests]
INDEXES = {id(rules): Index.of(rules) for rules in (SHIPPED, FIXTURES)}


def index_of(rule: Rule) -> Index:
    return INDEXES[id(siblings(rule))]


@pytest.mark.parametrize(("rule", "test"), EXAMPLES, ids=[identify(rule, test) for rule, test in EXAMPLES])
def test_rule(rule: Rule, test: RuleTest, tmp_path: Path) -> None:
    seen = see(rule, test, tmp_path, index_of(rule))
    assert not seen.problems
    assert seen.confidence == test.expect, [finding.title for finding in seen.findings]
    if test.becomes is not None:
        becomes(rule, test, seen)


@pytest.mark.parametrize("rule", SHIPPED, ids=[rule.id for rule in SHIPPED])
def test_every_edit_of_a_ladder_has_an_example(rule: Rule, tmp_path: Path) -> None:
    proven = set()
    for number, test in enumerate(test for test in rule.tests if test.becomes is not None):
        folder = tmp_path / str(number)
        folder.mkdir()
        proven.add(remedy(test, see(rule, test, folder, index_of(rule)))[1].title)
    editing = [rung.title for rung in rule.remedies if rung.set or rung.unset or rung.rename]
    assert [title for title in editing if not any(map(shape(title).match, proven))] == []


def shape(title: str) -> re.Pattern[str]:
    """Return what a rung's title looks like once its holes are filled."""
    return re.compile(re.sub(r"\\\{.*?\\\}", ".*", re.escape(title)), re.DOTALL)


def becomes(rule: Rule, test: RuleTest, seen: Seen) -> None:
    assert test.becomes is not None
    before = seen.entry.read_text() if seen.entry else ""
    cured, chosen = remedy(test, seen)
    after = edited(chosen)
    if after != test.becomes:
        assert set(test.becomes.splitlines()) <= set(after.splitlines()), after
        assert not set(test.becomes.splitlines()) <= set(before.splitlines()), "nothing changed"
    if chosen.edits and seen.entry and test.log is None:
        left = recheck(rule, test, seen.entry, index_of(rule)).findings
        assert cured.role not in [finding.role for finding in left]
