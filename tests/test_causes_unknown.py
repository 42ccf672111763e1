"""Failures that no rule will ever know, as people paste them: the first evidence is what began it.

Where a case tells a cure, that stands in the first two remedies.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding


class Case(NamedTuple):
    """What a section of the file tells."""

    root: str
    cure: str
    log: str


def _case(text: str) -> Case:
    root, rest = text.split("\n", 1)
    cure, log = rest.split("\n", 1) if rest.startswith("cure: ") else ("", rest)
    return Case(root.removeprefix("root: "), cure.removeprefix("cure: "), log)


FILE = Path(__file__).parent / "unknown_failures.txt"
SECTIONS = (section.split("\n", 1) for section in FILE.read_text().split("=== ")[1:])
CASES = {name: _case(text) for name, text in SECTIONS}


def top(log: str, folder: Path) -> Finding:
    (folder / "run.log").write_text(log)
    report = diagnose([str(folder / "run.log")], None, ToldFacts())
    return next(finding for finding in report.findings if finding.part == "root")


@pytest.mark.parametrize("name", CASES)
def test_unknown(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    found = top(case.log, tmp_path)
    assert any(case.root in piece.text for piece in found.evidence[:2]), [
        (found.rule, piece.text) for piece in found.evidence
    ]
    assert found.remedies
    assert any(case.cure in remedy.title for remedy in found.remedies[:2]), [
        remedy.title for remedy in found.remedies
    ]


OUTER = '  File "/opt/venv/lib/python3.11/site-packages/cli/main.py", line 20, in entry\n    run()\n'
OWN = '  File "/home/me/zoo.py", line 3, in score\n    feed()\n'
INNER = '  File "/opt/venv/lib/python3.11/site-packages/gizmo/core.py", line 7, in turn\n    raise it\n'
STANDARD = '  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode\n    raise it\n'


@pytest.mark.parametrize(
    ("frames", "where"),
    [
        (OUTER + OWN, ""),
        (OUTER + OWN + INNER, "turn (/opt/venv/lib/python3.11/site-packages/gizmo/core.py:7)"),
        (OUTER + OWN + STANDARD, "raw_decode (/usr/lib/python3.11/json/decoder.py:355)"),
    ],
)
def test_a_library_raised_it_only_below_the_user_s_own_code(tmp_path: Path, frames: str, where: str) -> None:
    told = top(f"Traceback (most recent call last):\n{frames}zoo.ZooError: no neck\n", tmp_path).explanation
    assert "Your own code is in it: score (/home/me/zoo.py:3)." in told
    assert told.partition("The library raised it in ")[2].rstrip(".") == where


def test_ray_is_named_where_it_raised_something_itself(tmp_path: Path) -> None:
    path, head = tmp_path / "train.log", "Traceback (most recent call last):\n"
    frame = '  File "/opt/venv/lib/python3.11/site-packages/ray/{}.py", line 9, in turn\n    spin()\n'
    told = []
    for file in ("util/lathe", "_private/worker"):
        path.write_text(f"{head}{frame.format(file)}RuntimeError: the lathe lost its belt\n")
        told.append(diagnose([str(path)], None, ToldFacts()).findings[0].remedies[0].title)
    assert ["Upgrade ray," in title for title in told] == [True, False]
