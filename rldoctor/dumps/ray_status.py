"""What ``ray status`` prints: resources there are, and demands that wait for some that are not there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from rldoctor.types import Event, LogLine

USAGE: Final = re.compile(r"\s*(?P<used>[\d.]{1,20})/(?P<total>[\d.]{1,20}) (?P<what>CPU|GPU)\b")
DEMAND: Final = re.compile(
    r"\s*(?P<asked>\{.{1,300}\})(?: \* \d+)?(?: \(\w+\))?: (?P<count>\d{1,9})\+? pending"
)
AMOUNT: Final = re.compile(r"'(CPU|GPU)': ([\d.]{1,20})")


def events(file: str, lines: Sequence[str]) -> tuple[Event, ...]:
    """Return an event for each demand that asks for more than is free, with the line that tells it."""
    total: dict[str, float] = {}
    free: dict[str, float] = {}
    for text in lines:
        usage = USAGE.match(text)
        if usage:
            total[usage["what"]] = _number(usage["total"])
            free[usage["what"]] = _number(usage["total"]) - _number(usage["used"])
    found = []
    for number, text in enumerate(lines, 1):
        demand = DEMAND.match(text)
        asked = {what: _number(amount) for what, amount in AMOUNT.findall(demand["asked"])} if demand else {}
        if any(amount > free.get(what, 0.0) for what, amount in asked.items()):
            line = LogLine(file, number, text.strip())
            found.append(Event("resources_missing", _fields(asked, total), lines=(line,)))
    return tuple(found[:8])


def _fields(asked: dict[str, float], total: dict[str, float]) -> dict[str, Any]:
    told = {f"asked_{what.lower()}s": amount for what, amount in asked.items()}
    return told | {f"present_{what.lower()}s": amount for what, amount in total.items()}


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"\d{1,12}(?:\.\d{0,9})?", text) else 0.0
