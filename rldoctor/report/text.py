"""The report as people read it: check as compilers write it, diagnose with the root on one screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from rldoctor.report.redact import redact
from rldoctor.types import Edit, Evidence, Finding, Remedy, Report

WIDTH: Final = 100
SHOWN_LINES: Final = 4
SHOWN_HINTS: Final = 8
LONGEST_SOURCE: Final = 16 * 2**20

Style = Literal["plain", "error", "warning", "hint", "dim", "old", "new", "strong"]


class Line(Struct, frozen=True):
    """One line of output and how a terminal may colour it."""

    text: str
    style: Style = "plain"


def as_text(report: Report) -> str:
    """Return the report as plain text, without secrets."""
    return "".join(line.text + "\n" for line in lines(report))


def lines(report: Report) -> Iterator[Line]:
    """Yield the report line by line, redacted."""
    body = _diagnosis(report) if report.command == "diagnose" else _check(report)
    for line in body:
        yield Line(redact(line.text), line.style)


def _check(report: Report) -> Iterator[Line]:
    sources = _sources(report.findings)
    for finding in report.findings:
        yield from _compiler_style(finding, sources)
        yield Line("")
    yield from _notes(report)
    yield Line(report.summary, "strong")


def _compiler_style(finding: Finding, sources: Mapping[str, list[str]]) -> Iterator[Line]:
    placed = next((piece for piece in finding.evidence if piece.file and piece.line), None)
    source = _source_line(placed, sources)
    column = _column(placed, source)
    place = f"{placed.file}:{placed.line}:{column}" if placed else finding.subject
    yield Line(f"{place}: {finding.severity}: {finding.title} [{finding.rule}]", _style(finding))
    if placed is not None and source is not None:
        yield from _marked(placed.line or 0, source, column, placed)
    for piece in finding.evidence:
        if piece is not placed:
            yield Line(f"    {_where(piece)}{_clip(piece.text)}", "dim")
    yield from _why(finding)
    yield from _remedies(finding.remedies)


def _marked(number: int, source: str, column: int, piece: Evidence) -> Iterator[Line]:
    """Yield the source line with a marker below the setting, as compilers do."""
    head = source[column - 1 :]
    width = len(piece.text) if head.startswith(piece.text) else len(head.split()[0]) if head.split() else 1
    start = max(0, column - 1 - 60) if len(source) > WIDTH else 0
    shown = source[start : start + WIDTH].rstrip()
    yield Line(f"{number:>6} | {shown}")
    yield Line(f"{'':>6} | {' ' * (column - 1 - start)}^{'~' * max(0, min(width, WIDTH) - 1)}", "hint")


def _diagnosis(report: Report) -> Iterator[Line]:
    roots = [finding for finding in report.findings if finding.part == "root"]
    yield Line(report.summary, "strong")
    for root in roots:
        yield Line("")
        yield from _root(root, [f for f in report.findings if f.explained_by == root.id])
    yield from _hints([finding for finding in report.findings if finding.part == "hint"])
    yield from _notes(report)


def _root(root: Finding, consequences: Iterable[Finding]) -> Iterator[Line]:
    yield Line(f"{root.severity}: {root.title} [{root.rule}]", _style(root))
    seen = [piece for piece in root.evidence if piece.key is None][:SHOWN_LINES]
    for piece in (*seen, *(piece for piece in root.evidence if piece.key is not None)):
        yield Line(f"    {_where(piece)}{_clip(piece.text)}", "dim")
    yield from _why(root)
    yield from _remedies(root.remedies)
    for finding in consequences:
        yield from _wrapped("  explains ", f"{finding.explanation}: {finding.title} [{finding.rule}]", "dim")


def _hints(hints: list[Finding]) -> Iterator[Line]:
    if hints:
        yield Line("")
        yield Line("hints:")
    for finding in hints[:SHOWN_HINTS]:
        first = next((piece for piece in finding.evidence), None)
        where = _where(first) if first else ""
        yield from _wrapped("  - ", f"{where}{finding.title} [{finding.rule}]", "hint")
        for remedy in finding.remedies[:1]:
            yield from _wrapped("      ", _offer(remedy), "dim")
    if len(hints) > SHOWN_HINTS:
        yield Line(f"  … {len(hints) - SHOWN_HINTS} more with --format json", "dim")


def _why(finding: Finding) -> Iterator[Line]:
    yield from _wrapped("  why: ", finding.explanation)
    if finding.confidence == "possible" or finding.assumes:
        assumed = ", assuming " + "; ".join(finding.assumes) if finding.assumes else ""
        yield from _wrapped("  ", f"{finding.confidence}{assumed}", "dim")


def _remedies(remedies: Iterable[Remedy]) -> Iterator[Line]:
    for number, remedy in enumerate(remedies, start=1):
        yield from _wrapped(f"  {number}. ", f"{remedy.title} ({remedy.safety})", "strong")
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


def _offer(remedy: Remedy) -> str:
    change = "; ".join(edit.new.strip(" \\\n") for edit in remedy.edits if edit.new.strip())
    return f"{remedy.title} ({remedy.safety})" + (
        f": {remedy.command or change}" if remedy.command or change else ""
    )


def _notes(report: Report) -> Iterator[Line]:
    for note in report.notes:
        yield from _wrapped("note: ", note, "dim")


def _wrapped(head: str, text: str, style: Style = "plain") -> Iterator[Line]:
    line = head.rstrip()
    for word in text.split():
        if len(line) + len(word) >= WIDTH and len(line) > len(head):
            yield Line(line, style)
            line = ""
        line = f"{line or ' ' * (len(head) - 1)} {word}"
    if text.strip():
        yield Line(line, style)


def _where(piece: Evidence) -> str:
    return (
        f"{piece.file}:{piece.line}: "
        if piece.file and piece.line
        else f"{piece.file}: "
        if piece.file
        else ""
    )


def _clip(text: str) -> str:
    return text if len(text) <= 2 * WIDTH else text[: 2 * WIDTH] + "…"


def _style(finding: Finding) -> Style:
    return finding.severity if finding.severity != "harmless" else "hint"


def _column(piece: Evidence | None, source: str | None) -> int:
    """Return where a setting begins in its line, from 1."""
    if piece is None or source is None:
        return 1
    for wanted in (piece.text, piece.key or "", (piece.key or "").split(".")[-1]):
        if wanted and wanted in source:
            return source.index(wanted) + 1
    return len(source) - len(source.lstrip()) + 1


def _source_line(piece: Evidence | None, sources: Mapping[str, list[str]]) -> str | None:
    if piece is None or piece.file is None or not piece.line:
        return None
    text = sources.get(piece.file, [])
    return text[piece.line - 1] if piece.line <= len(text) else None


def _sources(findings: Iterable[Finding]) -> dict[str, list[str]]:
    names = {piece.file for finding in findings for piece in finding.evidence if piece.file}
    paths = {name: Path(name) for name in names}
    small = {n: p for n, p in paths.items() if p.is_file() and p.stat().st_size <= LONGEST_SOURCE}
    return {name: path.read_bytes().decode(errors="replace").splitlines() for name, path in small.items()}
