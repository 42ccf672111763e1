"""The report as people read it: check as compilers write it, diagnose with the root on one screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from rldoctor.report.pieces import WIDTH, Line, clip, folded, remedies, style, where, why, wrapped
from rldoctor.report.redact import redact
from rldoctor.types import Evidence, Finding, Report, Safety

CONTROLS: Final = {code: None for code in (*range(32), *range(127, 160)) if chr(code) != "\t"}
"""What a terminal would obey rather than show: it may come from a log that somebody else has written."""
LONGEST_SOURCE: Final = 16 * 2**20


def as_text(report: Report, verbose: bool = False) -> str:
    """Return the report as plain text, without secrets."""
    return "".join(line.text + "\n" for line in lines(report, verbose))


def lines(report: Report, verbose: bool = False, width: int = WIDTH) -> Iterator[Line]:
    """Yield the report line by line, redacted; of a diagnosis one screen unless all is asked for."""
    for line in _diagnosis(report, verbose) if report.command == "diagnose" else _check(report):
        yield from folded(replace(line, text=redact(line.text).translate(CONTROLS)), width)


def _diagnosis(report: Report, verbose: bool) -> Iterator[Line]:
    from rldoctor.report.diagnosis import diagnosis  # a check is to start fast

    return diagnosis(report, verbose)


def _check(report: Report) -> Iterator[Line]:
    sources = _sources(report.findings)
    common = _common(report.findings)
    said: set[tuple[str, str]] = set()
    for finding in report.findings:
        known = (finding.rule, finding.explanation) in said
        said.add((finding.rule, finding.explanation))
        own = tuple(text for text in finding.assumes if text not in common)
        short = replace(finding, assumes=own, explanation="as above" if known else finding.explanation)
        yield from _compiler_style(short, sources)
        yield Line("")
    yield from wrapped("assumed: ", "; ".join(common), "dim")
    for note in report.notes:
        yield from wrapped("note: ", note, "dim")
    yield Line(report.summary, "strong")
    yield from wrapped("", _on_edits(report.findings), "dim")


def _on_edits(findings: Iterable[Finding]) -> str:
    """Return which options make how many of the edits that are offered, nothing where there are none."""
    best = [_best(finding) for finding in findings if finding.confidence == "certain"]
    safe, unsafe = best.count("safe"), best.count("unsafe")
    if not safe and not unsafe:
        return ""
    if not safe:
        return f"--unsafe-fixes mends {unsafe}, which may change results or costs; with --diff it only shows."
    more = f"; --unsafe-fixes {unsafe} more, which may change results or costs" if unsafe else ""
    return f"--fix mends {safe}{more}; --diff only shows."


def _best(finding: Finding) -> Safety | None:
    offered = [remedy.safety for remedy in finding.remedies if remedy.edits]
    return min(offered, default=None)  # "safe" comes before "unsafe"


def _common(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return what several findings take for granted: said once, at the end."""
    times = Counter(text for finding in findings for text in dict.fromkeys(finding.assumes))
    return tuple(text for text, number in times.items() if number > 1)


def _compiler_style(finding: Finding, sources: Mapping[str, list[str]]) -> Iterator[Line]:
    placed = next((piece for piece in finding.evidence if piece.file and piece.line), None)
    source = _source_line(placed, sources)
    column = _column(placed, source)
    place = f"{placed.file}:{placed.line}:{column}" if placed else finding.subject
    yield Line(f"{place}: {finding.severity}: {finding.title} [{finding.rule}]", style(finding))
    marked = placed is not None and source is not None
    if placed is not None and source is not None:
        yield from _marked(placed.line or 0, source, column, placed)
    file = placed.file if placed is not None else finding.subject
    yield from _further([piece for piece in finding.evidence if piece is not placed or not marked], file)
    yield from why(finding)
    yield from remedies(finding.remedies, file)


def _further(pieces: Sequence[Evidence], file: str | None) -> Iterator[Line]:
    """Yield the other settings beside their lines, then what stands in no file together."""
    for piece in pieces:
        if piece.file is not None and piece.file == file and piece.line:
            yield Line(f"{piece.line:>6} | {clip(piece.text)}", "dim")
        elif piece.file is not None:
            yield Line(f"    {where(piece)}{clip(piece.text)}", "dim")
    placeless = [clip(piece.text) for piece in pieces if piece.file is None]
    yield from wrapped(" " * 7 + "= ", "; ".join(placeless), "dim")


def _marked(number: int, source: str, column: int, piece: Evidence) -> Iterator[Line]:
    """Yield the source line with a marker below the setting, as compilers do."""
    head = source[column - 1 :]
    width = len(piece.text) if head.startswith(piece.text) else len(head.split()[0]) if head.split() else 1
    start = max(0, column - 1 - 60) if len(source) > WIDTH else 0
    shown = source[start : start + WIDTH].rstrip()
    yield Line(f"{number:>6} | {shown}")
    yield Line(f"{'':>6} | {' ' * (column - 1 - start)}^{'~' * max(0, min(width, WIDTH) - 1)}", "hint")


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
