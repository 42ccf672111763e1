"""Failures that no rule will ever know, as people paste them: the first evidence is what began it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

FILE = Path(__file__).parent / "unknown_failures.txt"
SECTIONS = FILE.read_text().split("=== ")[1:]
CASES = {
    name: (root.removeprefix("root: "), log)
    for name, root, log in (section.split("\n", 2) for section in SECTIONS)
}


def top(log: str, folder: Path) -> Finding:
    (folder / "run.log").write_text(log)
    report = diagnose([str(folder / "run.log")], None, ToldFacts())
    return next(finding for finding in report.findings if finding.part == "root")


@pytest.mark.parametrize("name", CASES)
def test_unknown(name: str, tmp_path: Path) -> None:
    root, log = CASES[name]
    found = top(log, tmp_path)
    assert any(root in piece.text for piece in found.evidence[:2]), [
        (found.rule, piece.text) for piece in found.evidence
    ]
    assert found.remedies
