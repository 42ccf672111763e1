"""Every edit that a rule proposes for its own examples is applied, and the file is checked again.

The first cure with an edit is what --fix takes: its finding is gone. Those below it are for when that did
not help; they may leave the finding, but never bring another error, and never touch another byte.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rule_examples import SHIPPED, _written, identify, told_by

from rldoctor import edits
from rldoctor.check import Checked, check
from rldoctor.rules import Rule
from rldoctor.rules.examples import RuleTest
from rldoctor.types import Edit, Finding, Remedy

LOUD = ("error", "warning")
EXAMPLES = [
    (rule, test)
    for rule in SHIPPED
    for test in rule.tests
    if any(trigger.kind == "config" for trigger in rule.on)
    and any(rung.set or rung.unset or rung.rename for rung in rule.remedies)
    and test.log is None
    and test.expect != "none"
    and (test.config is not None or test.entry)
]


@pytest.mark.parametrize(("rule", "test"), EXAMPLES, ids=[identify(rule, test) for rule, test in EXAMPLES])
def test_an_edit_ends_its_finding_and_changes_nothing_else(
    rule: Rule, test: RuleTest, tmp_path: Path
) -> None:
    entry = written(test, tmp_path / "before")
    before = check([str(entry)], told_by(test))
    for number, (finding, remedy, is_first) in enumerate(proposals(rule, before)):
        folder = tmp_path / f"after-{number}"
        shutil.copytree(tmp_path / "before", folder)
        moved = [_moved(edit, tmp_path / "before", folder) for edit in remedy.edits]
        edits.apply(moved, {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
        for edit in moved:
            assert _others_stay(edit, moved, tmp_path / "before", folder)
        after = check([str(folder / entry.relative_to(tmp_path / "before"))], told_by(test))
        left = [(each.rule, each.role, each.title) for each in after.report.findings]
        assert not is_first or (finding.rule, finding.role, finding.title) not in left, remedy.title
        assert errors(after) <= errors(before), remedy.title


def written(test: RuleTest, folder: Path) -> Path:
    folder.mkdir()
    entry = _written(test, folder)
    assert entry is not None
    return entry


def proposals(rule: Rule, checked: Checked) -> Iterator[tuple[Finding, Remedy, bool]]:
    """Yield the cures with edits that may be carried out, and which is the first of its finding."""
    for finding in checked.report.findings:
        if finding.rule == rule.id and finding.confidence == "certain":
            own = [each for each in finding.remedies if each.edits and each.safety != "manual"]
            yield from ((finding, each, number == 0) for number, each in enumerate(own))


def errors(checked: Checked) -> set[tuple[str, str]]:
    return {(each.rule, each.role) for each in checked.report.findings if each.severity == "error"}


def _moved(edit: Edit, old: Path, new: Path) -> Edit:
    file = str(new / Path(edit.file).relative_to(old))
    return Edit(file, edit.line, edit.start, edit.end, edit.kind, edit.old, edit.new)


def _others_stay(edit: Edit, every: Sequence[Edit], old: Path, new: Path) -> bool:
    """Say whether a file is what it was but for the spans of its edits."""
    path = Path(edit.file).relative_to(new)
    before, after = (old / path).read_bytes(), (new / path).read_bytes()
    at = 0
    mine = dict.fromkeys((each.start, each.end, each.new) for each in every if each.file == edit.file)
    for start, end, text in sorted(mine, key=lambda span: span[:2]):
        kept = before[at:start]
        if not after.startswith(kept + text.encode()):
            return False
        after, at = after[len(kept) + len(text.encode()) :], end
    return after == before[at:]
