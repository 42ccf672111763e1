"""Findings where a code review shows them: SARIF 2.1.0, and annotations of GitHub's workflows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from rldoctor import __version__
from rldoctor.report.redact import redact, redact_all
from rldoctor.types import Evidence, Finding, Report

PROJECT: Final = ".rldoctor.yaml"
SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: Final = {"error": "error", "warning": "warning", "hint": "note", "harmless": "none"}
COMMANDS: Final = {"error": "error", "warning": "warning", "hint": "notice", "harmless": "debug"}


def as_sarif(report: Report) -> str:
    """Return the report as one run of SARIF, without secrets; what the user has answered is suppressed."""
    results = [_result(finding) for finding in report.findings]
    for answered in report.suppressed:
        kind = "external" if answered.file.endswith(PROJECT) else "inSource"
        why = [{"kind": kind, "justification": answered.reason}]
        results.append({**_result(answered.finding), "suppressions": why})
    every = (*report.findings, *(answered.finding for answered in report.suppressed))
    rules = {finding.rule: finding for finding in every}
    driver = {"name": "rldoctor", "version": __version__, "rules": [_rule(each) for each in rules.values()]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(redact_all(log), ensure_ascii=False, indent=2)


def as_annotations(report: Report) -> str:
    """Return a workflow command for each finding, and the summary as the last line, without secrets."""
    return "".join(redact(line) + "\n" for line in (*_annotations(report), report.summary))


def _annotations(report: Report) -> Iterator[str]:
    for finding in report.findings:
        piece = _placed(finding)
        file = piece.file if piece is not None else finding.subject
        line = f",line={piece.line}" if piece is not None and piece.line else ""
        cure = f"\n1. {finding.remedies[0].title}" if finding.remedies else ""
        text = _escaped(f"{finding.title}\n{finding.explanation}{cure}")
        place = f"file={_property(str(file))}{line},title={_property(finding.rule)}"
        yield f"::{COMMANDS[finding.severity]} {place}::{text}"


def _placed(finding: Finding) -> Evidence | None:
    return next((piece for piece in finding.evidence if piece.file and piece.line), None)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def _rule(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.rule,
        "help": {"text": f"rldoctor explain {finding.rule}"},
        "properties": {"tags": [word for word in (finding.phase, finding.family) if word]},
    }


def _result(finding: Finding) -> dict[str, Any]:
    cures = [
        f"{number}. {each.title} ({each.safety})" for number, each in enumerate(finding.remedies, start=1)
    ]
    return {
        "ruleId": finding.rule,
        "level": LEVELS[finding.severity],
        "message": {"text": "\n".join([finding.title, finding.explanation, *cures])},
        "locations": [_location(_placed(finding), finding.subject)],
        "partialFingerprints": {"rldoctor/v1": finding.fingerprint or finding.id},
        "properties": {"confidence": finding.confidence, "part": finding.part},
    }


def _location(piece: Evidence | None, subject: str) -> dict[str, Any]:
    file = piece.file if piece is not None and piece.file else subject
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(file)}}
    if piece is not None and piece.line:
        place["region"] = {"startLine": piece.line, "snippet": {"text": piece.text}}
    return {"physicalLocation": place}


def _uri(file: str) -> str:
    from urllib.parse import quote

    return f"file://{quote(file)}" if file.startswith("/") else quote(file)
