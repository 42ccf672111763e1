"""What all texts share: lines with a style, wrapping, where a piece of evidence stands, how a cure looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from msgspec import Struct

from rldoctor.types import Edit, Evidence, Finding, Remedy

WIDTH: Final = 100

Style = Literal["plain", "error", "warning", "hint", "dim", "old", "new", "strong"]


class Line(Struct, frozen=True):
    """One line of output and how a terminal may colour it."""

    text: str
    style: Style = "plain"


def why(finding: Finding) -> Iterator[Line]:
    """Yield why a finding holds and what it takes for granted."""
    yield from wrapped("  why: ", finding.explanation)
    if finding.confidence == "possible" or finding.assumes:
        assumed = ", assuming " + "; ".join(finding.assumes) if finding.assumes else ""
        yield from wrapped("  ", f"{finding.confidence}{assumed}", "dim")


def remedies(offered: Iterable[Remedy], first: int = 1) -> Iterator[Line]:
    """Yield cures with their edits, numbered from ``first``."""
    for number, remedy in enumerate(offered, start=first):
        yield from wrapped(f"  {number}. ", f"{remedy.title} ({remedy.safety})", "strong")
        for edit in remedy.edits:
            yield from _mini_diff(edit)
        if remedy.command:
            yield from (Line("     " + line, "new") for line in remedy.command.splitlines())


def _mini_diff(edit: Edit) -> Iterator[Line]:
    yield Line(f"     {edit.file}:{edit.line}", "dim")
    yield from (Line(f"     - {line.strip()}", "old") for line in edit.old.splitlines() if line.strip())
    yield from (
        Line(f"     + {line.strip()}", "new") for line in edit.new.splitlines() if line.strip(" \\\t")
    )


def offer(remedy: Remedy) -> str:
    """Return a cure with what it changes in one line."""
    change = remedy.command or "; ".join(e.new.strip(" \\\n") for e in remedy.edits if e.new.strip())
    return f"{remedy.title} ({remedy.safety})" + (f": {change}" if change else "")


def wrapped(head: str, text: str, style: Style = "plain") -> Iterator[Line]:
    """Yield a text behind a head, broken into lines that are indented like the first."""
    line = head.rstrip()
    for word in text.split():
        if len(line) + len(word) >= WIDTH and len(line) > len(head):
            yield Line(line, style)
            line = ""
        line = f"{line or ' ' * (len(head) - 1)} {word}"
    if text.strip():
        yield Line(line, style)


def where(piece: Evidence) -> str:
    """Return the place of a piece of evidence, as compilers write it."""
    place = f"{piece.file}:{piece.line}" if piece.file and piece.line else piece.file
    return f"{place}: " if place else ""


def clip(text: str) -> str:
    """Return a text cut to two lines' length."""
    return text if len(text) <= 2 * WIDTH else text[: 2 * WIDTH] + "…"


def style(finding: Finding) -> Style:
    """Return the style of a finding's severity."""
    return finding.severity if finding.severity != "harmless" else "hint"
