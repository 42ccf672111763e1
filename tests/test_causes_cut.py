"""A traceback whose last line is missing is told by the code on top of it."""

from __future__ import annotations

from pathlib import Path

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

FRAMES = (
    'Traceback (most recent call last):\n  File "/opt/mill/main.py", line 9, in <module>\n    mill(rows)\n'
    '  File "/opt/mill/grind.py", line 3, in mill\n    '
)


def _root(tmp_path: Path, log: str) -> Finding:
    path = tmp_path / "run.log"
    path.write_text(log)
    return diagnose([str(path)], None, ToldFacts()).findings[0]


def test_assertion_is_quoted_and_advised_though_its_name_is_missing(tmp_path: Path) -> None:
    root = _root(tmp_path, FRAMES + "assert len(rows) == len(stones)\n")
    assert any("assert len(rows) == len(stones)" in proof.text for proof in root.evidence[:3])
    assert "demands" in root.remedies[0].title


def test_raised_class_gives_a_cut_traceback_its_name(tmp_path: Path) -> None:
    assert "GrainError" in _root(tmp_path, FRAMES + 'raise GrainError(f"too hard: {grain}")\n').title


def test_last_code_of_any_cut_traceback_is_quoted(tmp_path: Path) -> None:
    root = _root(tmp_path, FRAMES + "stones[grain].turn()\n")
    assert "the log ends inside of it" in root.title
    assert any("stones[grain].turn()" in proof.text for proof in root.evidence[:3])
