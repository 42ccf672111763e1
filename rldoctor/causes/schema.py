"""The fields that a schema of pydantic refuses, each with what to do about it."""

from __future__ import annotations

import re
from typing import Final

MOST: Final = 3  # fields that are told
LONGEST: Final = 4000
_FIELD: Final = re.compile(
    r"(?:^|\n)\s*(?P<field>[\w.\[\]-]{1,120})\s*\n\s*(?P<complaint>[^\n]{1,200}?) ?\[type=(?P<type>\w{1,60})"
    r"(?:, input_value=(?P<given>[^\n]{0,200}?), input_type=)?"
)
_LONGEST_VALUE: Final = 40
_UNKNOWN: Final = ("extra_forbidden", "unexpected_keyword_argument", "no_such_attribute")


def refused(message: str) -> str | None:
    """Return what to do about the fields that a validation refuses, None where a message names none."""
    found = [_told(match) for match in _FIELD.finditer(message[:LONGEST])]
    return "; ".join(dict.fromkeys(found[:MOST])) or None


def _told(match: re.Match[str]) -> str:
    field, kind, given = match["field"], match["type"], match["given"]
    if kind in _UNKNOWN:
        return f"Leave {field} out, or move it to where this release has it (renamed, another section)"
    if kind.startswith("missing"):
        return f"Set {field}"
    now = f" (it is {given})" if given and len(given) <= _LONGEST_VALUE else ""
    return f"Give {field} another value{now}: {match['complaint'].strip().rstrip('.')}"
