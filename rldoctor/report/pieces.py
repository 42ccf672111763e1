"""What all texts share: lines with a style, wrapping, where a piece of evidence stands, how a cure looks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from msgspec import Struct

from rldoctor.types import Edit, Evidence, Finding, Remedy

WIDTH: Final = 100
SHOWN_ROWS: Final = 3
MOST_OF_A_WORD: Final = 100
_EVENT: Final = r'^\{"v": ?\d+, ?"t": ?[\d.]+, ?"kind": ?"(\w+)"(?:, ?)?(.*?)\}?$'

Style = Literal["plain", "error", "warning", "hint", "dim", "old", "new", "strong"]


class Line(Struct, frozen=True):
    """One line of output and how a terminal may colour it; what hangs may be broken at words.

    ``hang`` is how many characters stand before the text, and how far its further lines are indented.
    """

    text: str
    style: Style = "plain"
    hang: int | None = None


def folded(line: Line, width: int = WIDTH) -> Iterator[Line]:
    """Yield a line broken at words, so that no line is longer than ``width`` where words allow it."""
    if line.hang is None:
        yield line
        return
    head, text = line.text[: line.hang], ""
    row = head.rstrip()
    for word in line.text[line.hang :].split():
        text = f"{row or ' ' * (line.hang - 1)} {word}" if line.hang else f"{row} {word}".lstrip()
        if len(text) > width and len(row) > line.hang:
            yield Line(row, line.style)
            text = " " * line.hang + word
        row = text
    if text:
        yield Line(row, line.style)


def why(finding: Finding) -> Iterator[Line]:
    """Yield why a finding holds and what it takes for granted."""
    yield from wrapped("  why: ", finding.explanation)
    if finding.confidence == "possible" or finding.assumes:
        assumed = ", assuming " + "; ".join(finding.assumes) if finding.assumes else ""
        yield from wrapped("  ", f"{finding.confidence}{assumed}", "dim")


def remedies(offered: Iterable[Remedy], file: str | None = None) -> Iterator[Line]:
    """Yield cures with their edits, numbered; an edit in ``file`` names its line alone."""
    for number, remedy in enumerate(offered, start=1):
        yield from wrapped(f"  {number}. ", f"{remedy.title} ({remedy.safety})", "strong")
        for edit in remedy.edits:
            yield from _mini_diff(edit, file)
        if remedy.command:
            yield from (Line("     " + line, "new") for line in remedy.command.splitlines())


def _mini_diff(edit: Edit, file: str | None) -> Iterator[Line]:
    if edit.file != file:
        yield Line(f"     {edit.file}:", "dim")
    old = [line.strip() for line in edit.old.splitlines() if line.strip()]
    new = [line.strip() for line in edit.new.splitlines() if line.strip(" \\\t")]
    yield from (Line(f"{edit.line:>6} - {line}", "old") for line in old)
    yield from (Line(f"{edit.line:>6} + {line}", "new") for line in new)


def brief(head: str, remedy: Remedy) -> Iterator[Line]:
    """Yield a cure in few lines: its title cut at a word, what it changes whole."""
    change = remedy.command or "; ".join(e.new.strip(" \\\n") for e in remedy.edits if e.new.strip())
    title = f"{clip(remedy.title)} ({remedy.safety})"
    rows = [row for row in change.splitlines() if row.strip()]
    if len(rows) == 1 and len(title) + len(change) <= WIDTH:
        yield from wrapped(head, f"{title}: {change}", "dim")
        return
    yield from wrapped(head, title, "dim")
    yield from (Line(" " * len(head) + row, "dim") for row in rows[:SHOWN_ROWS])
    if len(rows) > SHOWN_ROWS:
        yield Line(f"{' ' * len(head)}… {len(rows) - SHOWN_ROWS} more lines; --verbose shows all", "dim")


def wrapped(head: str, text: str, style: Style = "plain") -> Iterator[Line]:
    """Yield a text behind a head, to be broken into lines that are indented like the first."""
    if text.strip():
        yield Line(head + " ".join(text.split()), style, len(head))


def where(piece: Evidence) -> str:
    """Return the place of a piece of evidence, as compilers write it."""
    place = f"{piece.file}:{piece.line}" if piece.file and piece.line else piece.file
    return f"{place}: " if place else ""


def shown(piece: Evidence) -> str:
    """Return a piece of evidence as a person reads it: an event of a run's own file in words."""
    return clip(re.sub(_EVENT, lambda found: f"{found[1]}: {found[2]}".replace('"', ""), piece.text))


def clip(text: str) -> str:
    """Return a text cut to two lines' length, at a word where there is one near."""
    if len(text) <= 2 * WIDTH:
        return text
    kept, _, rest = text[: 2 * WIDTH].rpartition(" ")
    return (kept if len(rest) <= MOST_OF_A_WORD else text[: 2 * WIDTH]) + "…"


def style(finding: Finding) -> Style:
    """Return the style of a finding's severity."""
    return finding.severity if finding.severity != "harmless" else "hint"
