"""Carrying out what check proposes: the edits of a round, again and again until nothing more is to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from rldoctor import edits
from rldoctor.check import Checked, check
from rldoctor.edits import Applied
from rldoctor.facts import ToldFacts
from rldoctor.types import Edit, Finding, Remedy, Safety

if TYPE_CHECKING:
    from rldoctor.suppress.choice import Choice

MOST_ROUNDS: Final = 10


class Fixed(Struct, frozen=True):
    """The report on what is left, the files that were changed, and why the rest was left alone."""

    checked: Checked
    applied: tuple[Applied, ...] = ()
    left: tuple[str, ...] = ()


def fix(
    paths: Sequence[str], told: ToldFacts, *, unsafe: bool = False, choice: Choice | None = None
) -> Fixed:
    """Apply the edits that are allowed and check again, until stable; nothing else is touched."""
    applied: list[Applied] = []
    done: set[tuple[str, str, str]] = set()
    checked = check(paths, told, choice)
    for _ in range(MOST_ROUNDS):
        wanted = [edit for edit in chosen(checked, unsafe=unsafe) if _mark(edit) not in done]
        if not wanted:
            break
        backed_up = {change.file for change in applied}
        applied += _apply(wanted, checked, backed_up)
        done |= {_mark(edit) for edit in wanted}
        checked = check(paths, told, choice)
    return Fixed(checked, tuple(applied), tuple(_left(checked.report.findings, unsafe)))


def preview(checked: Checked, *, unsafe: bool = False) -> str:
    """Return the next edits as a unified diff."""
    return edits.diff(chosen(checked, unsafe=unsafe), checked.files)


def chosen(checked: Checked, *, unsafe: bool) -> tuple[Edit, ...]:
    """Return the edits of each finding's first allowed remedy, those left out that overlap an earlier one."""
    taken: list[Edit] = []
    for finding in checked.report.findings:
        remedy = _allowed(finding, unsafe)
        if remedy is not None and not any(_collide(edit, other) for edit in remedy.edits for other in taken):
            taken += remedy.edits
    return tuple(taken)


def _allowed(finding: Finding, unsafe: bool) -> Remedy | None:
    allowed: tuple[Safety, ...] = ("safe", "unsafe") if unsafe else ("safe",)
    if finding.confidence != "certain":
        return None
    return next((remedy for remedy in finding.remedies if remedy.edits and remedy.safety in allowed), None)


def _collide(one: Edit, other: Edit) -> bool:
    same = one.file == other.file and (one.start, one.end, one.new) != (other.start, other.end, other.new)
    return same and one.start <= other.end and other.start <= one.end


def _mark(edit: Edit) -> tuple[str, str, str]:
    return edit.file, edit.old, edit.new


def _apply(wanted: Sequence[Edit], checked: Checked, backed_up: Collection[str]) -> Iterator[Applied]:
    """Yield the files changed; a backup keeps the text from before the first round."""
    fresh = [edit for edit in wanted if edit.file not in backed_up]
    again = [edit for edit in wanted if edit.file in backed_up]
    yield from edits.apply(fresh, checked.files)
    yield from edits.apply(again, checked.files, backup=False)


def _left(findings: Sequence[Finding], unsafe: bool) -> Iterator[str]:
    for finding in findings:
        if finding.severity == "hint":
            continue
        if not unsafe and any(remedy.edits and remedy.safety == "unsafe" for remedy in finding.remedies):
            yield f"{finding.rule}: its edit may change results or costs; --unsafe-fixes applies it"
        else:
            yield f"{finding.rule}: left for a person"
