"""Long places in sources: whole where they are first named, by their ends afterwards."""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from rldoctor.types import Evidence, Finding, Remedy, Report

PLACE: Final = re.compile(r"\((?P<path>/[^()\s:]{40,400})(?P<line>:\d{1,7})\)")
SHOWN: Final = 4  # pieces of evidence that one screen has room for
KEPT: Final = 2  # parts of a path that tell which file it is


def named_once(report: Report) -> Report:
    """Return a report in whose texts each long path is written out once."""
    named: set[str] = set()
    return replace(report, findings=tuple(_finding(finding, named) for finding in report.findings))


def _finding(finding: Finding, named: set[str]) -> Finding:
    shown, rest = finding.evidence[:SHOWN], finding.evidence[SHOWN:]
    evidence = (*(_evidence(piece, named) for piece in shown), *rest)
    told = _short(finding.explanation, named)
    remedies = tuple(_remedy(remedy, named) for remedy in finding.remedies)
    return replace(finding, evidence=evidence, explanation=told, remedies=remedies)


def _evidence(piece: Evidence, named: set[str]) -> Evidence:
    return piece if piece.file else replace(piece, text=_short(piece.text, named))


def _remedy(remedy: Remedy, named: set[str]) -> Remedy:
    return replace(remedy, title=_short(remedy.title, named))


def _short(text: str, named: set[str]) -> str:
    def place(found: re.Match[str]) -> str:
        path = found["path"]
        if path in named:
            return f"(…/{'/'.join(path.split('/')[-KEPT:])}{found['line']})"
        named.add(path)
        return found[0]

    return PLACE.sub(place, text) if "(/" in text else text
