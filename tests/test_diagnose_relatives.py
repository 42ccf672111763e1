"""What the known failure that an unknown one is most like lends it."""

from __future__ import annotations

from pathlib import Path

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding


def _root(folder: Path, log: str) -> Finding:
    path = folder / "run.log"
    path.write_text(log)
    return next(f for f in diagnose([str(path)], None, ToldFacts()).findings if f.part == "root")


def test_a_line_that_no_rule_knows_gets_the_cures_of_its_relative(tmp_path: Path) -> None:
    log = "srun: error: Unable to create step for job 77: Requested node herons are not to be had\n"
    found = _root(tmp_path, log)
    assert found.rule == "unrecognised"
    lent = [
        each for each in found.remedies if each.title.startswith("Try what cures a failure much like it (")
    ]
    assert lent
    assert all(each.safety == "manual" and not each.edits and not each.set for each in lent)
    assert found.remedies[-1].title.startswith("Search the issues")


def test_an_exception_of_ones_own_words_is_like_nothing(tmp_path: Path) -> None:
    log = (
        'Traceback (most recent call last):\n  File "/app/herd/graze.py", line 9, in graze\n    chew(yak)\n'
        "herd.YakError: yak 12 will not graze before noon\n"
    )
    assert all("much like it" not in each.title for each in _root(tmp_path, log).remedies)
