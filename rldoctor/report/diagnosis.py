"""A diagnosis as text: what, where, why and what to do on one screen; all the rest where it is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor.report.pieces import Line, brief, clip, remedies, shown, style, where, why, wrapped
from rldoctor.report.places import named_once
from rldoctor.types import Evidence, Finding, Report

SHOWN_LINES: Final = 4
SHOWN_ROOTS: Final = 2
SHOWN_CONSEQUENCES: Final = 3
SHOWN_HINTS: Final = 3
SHOWN_REMEDIES: Final = 3
SHOWN_NOTES: Final = 3
VERDICT: Final = "verdict: "
FOLLOWS: Final = ("(computed)", "(of the model)")  # what follows from the settings that are shown
MOST_PLACES: Final = 6  # at which else a line is said to stand
SURVIVED: Final = "The run went on after it."
DIFFERS: Final = "differs-from-good-run"  # what was asked for is shown whole
POINTERS: Final = ("worker-failed-without-its-error",)  # what only says that the cause stands elsewhere
NUMBER: Final = re.compile(r"\b(?:0x)?[0-9a-f]*\d[0-9a-f.,:]*\b")
MORE: Final = "--verbose shows all"


def diagnosis(report: Report, verbose: bool) -> Iterator[Line]:
    """Yield a diagnosis: brief, or whole with every finding, note, and the incident's timeline."""
    report = named_once(report)
    roots = [finding for finding in report.findings if finding.part == "root"]
    compared = [finding for finding in report.findings if finding.rule == DIFFERS]
    hints = [finding for finding in report.findings if finding.part == "hint" and finding not in compared]
    hints = [finding for finding in hints if not (roots and finding.rule in POINTERS)]
    notes = [note for note in report.notes if not note.startswith(VERDICT)]
    led = bool(roots) and roots[0].title.rstrip(".") in report.summary  # it need not be said twice
    if not led:
        yield Line(report.summary, "strong")
    for number, root in enumerate(roots):
        follow = [finding for finding in report.findings if finding.explained_by == root.id]
        lesser = number > 0 and root.severity != roots[0].severity
        if not verbose and (number >= SHOWN_ROOTS or lesser):
            yield from _short("  - also: ", root)
            continue
        if number or not led:
            yield Line("")
        yield Line(_headline(root, report.summary if led and not number else None), style(root))
        yield from _whole(root, follow) if verbose else _brief(root, follow)
    for finding in compared:
        yield Line("")
        yield Line(f"{finding.title}:", "hint")
        yield from _proof(finding.evidence)
    yield from _all_hints(hints) if verbose else _few_hints(hints, roots)
    if verbose:
        yield from _timeline(report.timeline)
    yield from _notes(notes if verbose else notes[:SHOWN_NOTES])
    if not verbose and len(notes) > SHOWN_NOTES:
        left = len(notes) - SHOWN_NOTES
        yield Line(f"… {left} more note{'s' * (left > 1)}; {MORE}", "dim")
    for note in report.notes:
        if note.startswith(VERDICT):
            yield from wrapped(VERDICT, note.removeprefix(VERDICT), "strong")


def _headline(root: Finding, summary: str | None) -> str:
    """Return a root's title, behind the words of the summary that lead to it."""
    lead = summary.partition(root.title.rstrip("."))[0] if summary is not None else f"{root.severity}: "
    return f"{lead}{root.title} [{root.rule}]"


def _brief(root: Finding, consequences: Sequence[Finding]) -> Iterator[Line]:
    """Yield where, why, and the first thing to do."""
    seen = [piece for piece in root.evidence if piece.key is None and not piece.text.endswith(FOLLOWS)]
    logged = _once(_telling(seen))[: SHOWN_LINES - 1]
    settings = [piece for piece in root.evidence if piece.key is not None][:SHOWN_LINES]
    yield from _proof((*logged, *settings))
    yield from why(root)
    yield from remedies(root.remedies[:1])
    for number, remedy in enumerate(root.remedies[1:SHOWN_REMEDIES], start=2):
        yield from brief(f"  {number}. ", remedy)
    if len(root.remedies) > SHOWN_REMEDIES:
        left = len(root.remedies) - SHOWN_REMEDIES
        yield Line(f"  … {left} more cure{'s' * (left > 1)}; {MORE}", "dim")
    told = [finding for finding in consequences if finding.rule not in POINTERS]
    yield from _explained(told[:SHOWN_CONSEQUENCES])
    if len(told) > SHOWN_CONSEQUENCES:
        yield Line(f"  explains {len(told) - SHOWN_CONSEQUENCES} more; {MORE}", "dim")


def _whole(root: Finding, consequences: Sequence[Finding]) -> Iterator[Line]:
    yield from _proof(root.evidence)
    yield from why(root)
    yield from remedies(root.remedies)
    yield from _explained(consequences)


def _proof(pieces: Sequence[Evidence]) -> Iterator[Line]:
    yield from (Line(f"    {where(piece)}{shown(piece)}", "dim") for piece in pieces)


def _telling(pieces: Sequence[Evidence]) -> Sequence[Evidence]:
    """Return the lines without those that only announce the next ones."""
    return [piece for piece in pieces if not piece.text.rstrip().endswith(":")] or pieces


def _once(pieces: Sequence[Evidence]) -> list[Evidence]:
    """Return lines with the same words as one, with the places of the others behind it.

    Numbers count for nothing: ranks, addresses and times differ where many say the same.
    """
    alike: dict[str, list[Evidence]] = {}
    for piece in pieces:
        alike.setdefault(NUMBER.sub("#", piece.text), []).append(piece)
    return [_with_places(same) for same in alike.values()]


def _with_places(same: Sequence[Evidence]) -> Evidence:
    others = [_shortly(piece, same[0].file) for piece in same[1:] if piece.line]
    if not others:
        return same[0]
    if len(others) > MOST_PLACES:
        others = [*others[:MOST_PLACES], f"{len(others) - MOST_PLACES} more"]
    return replace(same[0], text=f"{clip(same[0].text)} (also {', '.join(others)})")


def _shortly(piece: Evidence, file: str | None) -> str:
    """Return a line's number, behind the end of its file's path where that is another one."""
    if piece.file == file or piece.file is None:
        return str(piece.line)
    return f"{'/'.join(piece.file.split('/')[-2:])}:{piece.line}"


def _explained(consequences: Sequence[Finding]) -> Iterator[Line]:
    for finding in consequences:
        yield from wrapped("  explains ", f"{finding.explanation}: {finding.title} [{finding.rule}]", "dim")


def _few_hints(hints: Sequence[Finding], roots: Sequence[Finding]) -> Iterator[Line]:
    """Yield the first hints; another reading of a line that a root stands on is left to --verbose."""
    decided = {_place(root) for root in roots}
    shown = [finding for finding in hints if _place(finding) is None or _place(finding) not in decided]
    shown = shown[:SHOWN_HINTS]
    if shown:
        yield Line("")
        yield Line("hints:")
    for finding in shown:
        survived = finding.explanation.startswith(SURVIVED)
        yield from _short("  - survived: " if survived else "  - ", finding)
        for remedy in finding.remedies[:1] if not survived else ():
            yield from brief("      ", remedy)
    if shown and len(hints) > len(shown):
        yield Line(f"  … {len(hints) - len(shown)} more; {MORE}", "dim")


def _place(finding: Finding) -> tuple[str, int] | None:
    piece = finding.evidence[0] if finding.evidence else None
    return (piece.file, piece.line) if piece is not None and piece.file and piece.line else None


def _all_hints(hints: Sequence[Finding]) -> Iterator[Line]:
    for finding in hints:
        yield Line("")
        yield from _short("hint: ", finding)
        yield from _proof(finding.evidence)
        yield from why(finding)
        yield from remedies(finding.remedies)


def _short(head: str, finding: Finding) -> Iterator[Line]:
    place = where(finding.evidence[0]) if finding.evidence else ""
    yield from wrapped(head, f"{place}{finding.title} [{finding.rule}]", style(finding))


def _timeline(rows: Sequence[str]) -> Iterator[Line]:
    if rows:
        yield Line("")
        yield Line("timeline:", "strong")
    yield from (Line(f"  {clip(row)}") for row in rows)
    if rows:
        yield Line("")


def _notes(notes: Sequence[str]) -> Iterator[Line]:
    for note in notes:
        yield from wrapped("note: ", note, "dim")
