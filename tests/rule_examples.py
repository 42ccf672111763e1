"""Runs the examples that rule files carry through the real check and diagnose."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from rldoctor import check, diagnose, edits, facts, logs
from rldoctor.facts import ToldFacts
from rldoctor.matching import examine_config, examine_log
from rldoctor.rules import Index, Rule, load_all
from rldoctor.rules.examples import RuleTest
from rldoctor.types import Finding, Remedy

SHIPPED = load_all()
FIXTURES = load_all(Path(__file__).parent / "fixtures" / "rules")


@dataclass(frozen=True, slots=True)
class Seen:
    """What an example gave: the findings of its rule, and the file whose text an edit changes."""

    findings: tuple[Finding, ...]
    entry: Path | None
    problems: tuple[str, ...] = ()

    @property
    def confidence(self) -> str:
        found = {finding.confidence for finding in self.findings}
        return "certain" if "certain" in found else "possible" if found else "none"


def siblings(rule: Rule) -> tuple[Rule, ...]:
    """Return the set of rules that a rule belongs to."""
    return FIXTURES if any(rule is other for other in FIXTURES) else SHIPPED


def identify(rule: Rule, test: RuleTest) -> str:
    """Return the test's id; its start says which cell of which row it proves."""
    command = "diagnose" if test.log is not None else "check"
    words = "-".join(re.findall(r"\w+", test.name))
    return f"{test.row.lower() or 'rule'}_{command}_{rule.id}_{words}"


def see(rule: Rule, test: RuleTest, folder: Path, index: Index) -> Seen:
    """Run one example with the rules of an index."""
    entry = _written(test, folder)
    told = told_by(test)
    with patch.object(check, "index", lambda: index), patch.object(diagnose, "index", lambda: index):
        if rule.severity == "harmless":
            return _matched(rule, test, folder, index)
        if test.log is not None:
            return _diagnosed(rule, test, folder, entry, told)
        if entry is None:
            return _by_facts(rule, told, index)
        return again(rule, entry, told)


def again(rule: Rule, entry: Path, told: ToldFacts) -> Seen:
    checked = check.check([str(entry)], told)
    problems = [*map(str, checked.errors), *_broken(checked.report.notes)]
    return Seen(_own(rule, checked.report.findings), entry, tuple(problems))


def recheck(rule: Rule, test: RuleTest, entry: Path, index: Index) -> Seen:
    """Check a file once more after it was edited."""
    with patch.object(check, "index", lambda: index):
        return again(rule, entry, told_by(test))


def _diagnosed(rule: Rule, test: RuleTest, folder: Path, entry: Path | None, told: ToldFacts) -> Seen:
    report = diagnose.diagnose([_log_file(test, folder)], str(entry) if entry else None, told)
    return Seen(_own(rule, report.findings), entry, _broken(report.notes))


def _log_file(test: RuleTest, folder: Path) -> str:
    text = test.log or ""
    path = folder / ("events.jsonl" if text.startswith('{"v": ') else "run.log")
    path.write_text(text)
    return str(path)


def _by_facts(rule: Rule, told: ToldFacts, index: Index) -> Seen:
    outcomes = [examine_config(world, index) for world in facts.walk(None, told)]
    findings = [match.finding for outcome in outcomes for match in outcome.matches]
    return Seen(_own(rule, findings), None, tuple(text for outcome in outcomes for text in outcome.broken))


def _matched(rule: Rule, test: RuleTest, folder: Path, index: Index) -> Seen:
    """Run an example of a harmless rule, which makes no finding: its match counts."""
    reading = logs.read([_log_file(test, folder)], index.patterns)
    world, _ = diagnose.known_facts(reading, None, told_by(test))
    outcome = examine_log(reading, world, index)
    return Seen(_own(rule, [match.finding for match in outcome.matches]), None, outcome.broken)


def _own(rule: Rule, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.rule == rule.id)


def _broken(notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(note for note in notes if "could not be evaluated" in note)


def told_by(test: RuleTest) -> ToldFacts:
    """Return the facts that an example gives as a person would tell them."""
    given = {**test.facts, **test.set}
    texts = {name: _text(value) for name, value in given.items()}
    return ToldFacts(
        set={name: text for name, text in texts.items() if _group(name) not in ("env", "version", "system")},
        system=test.system or texts.get("system"),
        versions={name.partition(".")[2]: text for name, text in texts.items() if _group(name) == "version"},
        env={name.partition(".")[2]: text for name, text in texts.items() if _group(name) == "env"},
    )


def _group(name: str) -> str:
    return name.partition(".")[0]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _written(test: RuleTest, folder: Path) -> Path | None:
    """Write what an example gives; return the file that is checked."""
    for name, text in test.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if test.entry:
        return folder / test.entry
    if test.config is None:
        return None
    path = folder / ("config.yaml" if is_yaml(test.config) else "launch.sh")
    path.write_text(test.config)
    return path


def is_yaml(text: str) -> bool:
    """Say whether a config is YAML rather than a launch script: a mapping of plain words."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return isinstance(data, Mapping) and all(re.fullmatch(r"[\w.-]+", str(key)) for key in data)


def remedy(test: RuleTest, seen: Seen) -> tuple[Finding, Remedy]:
    """Return the remedy that an example speaks of, the N-th that is offered, and the finding it cures."""
    offered = [(finding, remedy) for finding in seen.findings for remedy in finding.remedies]
    assert len(offered) >= test.rung, [remedy.title for _, remedy in offered]
    return offered[test.rung - 1]


def edited(chosen: Remedy) -> str:
    """Apply the edits; return the text of the changed files, or the words to add where there are none."""
    names = list(edits.by_file(chosen.edits))
    for name, changes in edits.by_file(chosen.edits).items():
        Path(name).write_bytes(edits.splice(Path(name).read_bytes(), changes))
    return "".join(Path(name).read_text() for name in names) if names else chosen.command or ""
