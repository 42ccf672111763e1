"""Parts of a reward that never move while the whole does: a scorer that gives nothing to any answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from rldoctor.logs import shapes
from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

PART: Final = (
    r"['\"]?\brewards?/(?P<name>[A-Za-z]\w{1,60})(?:/mean)?['\"]? {0,3}[:=] {0,3}['\"]?"
    r"(?:np\.\w{1,12}\()?(?P<value>-?\d+\.?\d*(?:e[-+]?\d+)?)(?![\w.])"
)
WHOLE: Final = frozenset(
    {"mean", "std", "min", "max", "overall", "total", "score", "sum", "all", "avg", "average"}
    | {"chosen", "rejected", "margins", "accuracies"}
)  # names of the whole, and of pairs of preferences
DEDUCTED: Final = r"(?i)penal|overlong|length|len\b|repet|cost|neg|punish|bonus|lang|tool|error|fail"
MOST_LINES: Final = 600
FEWEST: Final = 8  # steps


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield each part that has one value at all steps of a log while another part has several."""
    lines = dict.fromkeys(sample.line for sample in seen.samples if sample.metric == "reward_mean")
    files: dict[str, dict[str, list[tuple[float, LogLine]]]] = {}
    for line in [*lines][-MOST_LINES:]:
        if "reward/" not in line.text and "rewards/" not in line.text:
            continue
        parts = files.setdefault(line.file, {})
        for found in re.finditer(PART, line.text):
            value = shapes.number(found["value"])
            if found["name"] not in WHOLE and value is not None:
                parts.setdefault(found["name"], []).append((value, line))
    for parts in files.values():
        yield from _constant(parts)


def _constant(parts: dict[str, list[tuple[float, LogLine]]]) -> Iterator[Sighting]:
    """Yield the parts of one log that stay, if others move."""
    if not any(len({value for value, _ in told}) > 1 for told in parts.values()):
        return
    for name, told in parts.items():
        value = told[0][0]
        if len(told) < FEWEST or re.search(DEDUCTED, name) or any(other != value for other, _ in told):
            continue
        first, middle, last = told[0][1], told[len(told) // 2][1], told[-1][1]
        fields: dict[str, object] = {"name": name, "value": value, "steps": len(told)}
        one = sighting("reward_part_constant", first, fields, (first.file, name))
        yield replace(one, event=replace(one.event, lines=tuple(dict.fromkeys((first, last, middle)))))
