"""The report as JSON, exactly as docs/contracts/report.md says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from rldoctor.report.redact import redact_all
from rldoctor.types import UNKNOWN, Edit, Evidence, Fact, Finding, Remedy, Report, Suppressed

VERSION: Final = 1


def as_json(report: Report) -> str:
    """Return the report as a JSON text, without secrets."""
    return json.dumps(redact_all(as_dict(report)), ensure_ascii=False, indent=2, allow_nan=False)


def as_dict(report: Report) -> dict[str, Any]:
    """Return the report as JSON-able values in the contract's order."""
    return {
        "version": VERSION,
        "command": report.command,
        "subjects": list(report.subjects),
        "verdict": report.verdict,
        "summary": report.summary,
        "findings": [finding_as_dict(finding) for finding in report.findings],
        "facts": [_fact(fact) for fact in report.facts],
        "memory": plain(report.memory),
        "timings": plain(report.timings),
        "notes": list(report.notes),
        "suppressed": [_suppressed(each) for each in report.suppressed],
    }


def finding_as_dict(finding: Finding) -> dict[str, Any]:
    """Return one finding as JSON-able values."""
    return {
        "id": finding.id,
        "rule": finding.rule,
        "subject": finding.subject,
        "title": finding.title,
        "severity": finding.severity,
        "part": finding.part,
        "confidence": finding.confidence,
        "phase": finding.phase,
        "explanation": finding.explanation,
        "evidence": [_evidence(piece) for piece in finding.evidence],
        "remedies": [_remedy(remedy) for remedy in finding.remedies],
        "assumes": list(finding.assumes),
        "explained_by": finding.explained_by,
        "fingerprint": finding.fingerprint,
    }


def _suppressed(answered: Suppressed) -> dict[str, Any]:
    names = ("reason", "file", "line", "until")
    return {
        "finding": finding_as_dict(answered.finding),
        **{name: getattr(answered, name) for name in names},
    }


def _evidence(piece: Evidence) -> dict[str, Any]:
    names = ("text", "file", "line", "key", "rank", "time")
    return {name: plain(getattr(piece, name)) for name in names}


def _remedy(remedy: Remedy) -> dict[str, Any]:
    return {
        "title": remedy.title,
        "safety": remedy.safety,
        "set": plain(remedy.set),
        "edits": [_edit(edit) for edit in remedy.edits],
        "command": remedy.command,
    }


def _edit(edit: Edit) -> dict[str, Any]:
    names = ("file", "line", "start", "end", "kind", "old", "new")
    return {name: getattr(edit, name) for name in names}


def _fact(fact: Fact) -> dict[str, Any]:
    origin, place = fact.origin, fact.origin.place
    return {
        "role": fact.role,
        "concept": fact.concept,
        "value": plain(fact.value),
        "state": fact.state,
        "system": fact.system,
        "origin": {
            "kind": origin.kind,
            "text": origin.text,
            "key": origin.key,
            "file": place.file if place else None,
            "line": place.line if place else None,
        },
        "depends": list(fact.depends),
        "assumes": list(fact.assumes),
    }


def plain(value: Any) -> Any:
    """Return a value as JSON can say it; unknown is null, NaN and infinities are words."""
    if value is UNKNOWN or value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)
