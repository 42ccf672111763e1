"""Timestamps at the start of a line, in the shapes that training logs have."""

from __future__ import annotations

import re
from calendar import timegm
from typing import Final

DATE: Final = re.compile(r"\b(20[12]\d)[-/](?:0\d|1[0-2])[-/][0-3]\d(?=\b|T\d)")
NEARLY_DATE: Final = re.compile(r"20[12]\d[-/]")  # a hundred times faster, because it begins with a text
CLOCK: Final = r"(?P<h>[0-2]\d):(?P<mi>[0-5]\d):(?P<s>[0-6]\d)"
FULL: Final = re.compile(
    rf"[\[(【]?(?P<y>(?:19|20)\d\d)[-/]?(?P<mo>[01]\d)[-/]?(?P<d>[0-3]\d)(?:, |[T _-]{{1,2}}){CLOCK}"
    r"(?:[.,](?P<f>\d{1,9}))?(?P<zone>Z|[+-]\d\d:?\d\d)?(?: UTC)?"
    r"(?P<tail>(?: [IWEFD] \d{1,10} \d{1,10})?(?: (?:TP|DP|PP|EP)\d+)*)[\])】]?:?(?= |$|\[|\(|\||-)[ |]{0,3}"
)
GLOG: Final = re.compile(
    r"\[?(?P<level>[IWEF])(?P<y>(?:20\d\d)?)(?P<md>\d{3,4}) "
    rf"{CLOCK}\.(?P<f>\d{{1,9}})"
    r" +(?:\d{1,10} +)?[\w./-]{1,120}:\d{1,6}\] ?"
)
VLLM: Final = re.compile(
    r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<mo>[01]\d)-(?P<d>[0-3]\d) "
    rf"{CLOCK}(?:\.\d{{1,9}})? ?"
    r"(?:\[?[\w./-]{1,100}:\d{1,6}\] ?)?"
)
EPOCH: Final = re.compile(r"\[?(?P<epoch>1[0-9]{9}(?:\.\d{1,9})?)\]?:? ")
TIME_ONLY: Final = re.compile(r"\[?[0-2]\d:[0-5]\d:[0-6]\d(?:[.,]\d{1,9})?\]? ?(?=[^\d\s])")
MONTHS: Final = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
SYSLOG: Final = re.compile(
    r"\[?(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?(?P<mon>[A-Z][a-z]{2}) {1,2}(?P<d>\d{1,2}) "
    r"(?P<h>[0-2]\d):(?P<mi>[0-5]\d):(?P<s>[0-6]\d)(?:\.\d{1,9})?(?: (?P<y>20\d\d))?\]? "
)


def read_time(text: str, at: int, year: int | None) -> tuple[float | None, int]:
    """Return the seconds since the epoch that a stamp at ``at`` tells (UTC without a zone), and its end."""
    for shape, read in SHAPES.get(text[at : at + 1], ()):
        found = shape.match(text, at)
        if found is not None:
            return read(found.groupdict(), year), found.end()
    return None, at


def find_year(text: str) -> int | None:
    """Return the year of the first full date in a text."""
    near = NEARLY_DATE.search(text)
    found = DATE.search(text, near.start()) if near else None
    return int(found[1]) if found else None


def _full(part: dict[str, str | None], _year: int | None) -> float | None:
    seconds = _seconds(int(part["y"] or 0), int(part["mo"] or 0), part)
    zone = part.get("zone")
    if seconds is not None and zone and zone != "Z":
        shift = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        seconds += -shift if zone[0] == "+" else shift
    return seconds


def _glog(part: dict[str, str | None], year: int | None) -> float | None:
    digits = part["md"] or ""
    month, day = int(digits[:-2]), digits[-2:]  # E627 is the 27th of June, E1224 Christmas Eve
    chosen = int(part["y"]) if part["y"] else year
    return _seconds(chosen, month, {**part, "d": day})


def _vllm(part: dict[str, str | None], year: int | None) -> float | None:
    return _seconds(year, int(part["mo"] or 0), part)


def _syslog(part: dict[str, str | None], year: int | None) -> float | None:
    if part["mon"] not in MONTHS:
        return None
    return _seconds(int(part["y"]) if part["y"] else year, MONTHS.index(part["mon"] or "") + 1, part)


def _epoch(part: dict[str, str | None], _year: int | None) -> float | None:
    return float(part["epoch"] or 0)


def _none(_part: dict[str, str | None], _year: int | None) -> float | None:
    return None


def _seconds(year: int | None, month: int, part: dict[str, str | None]) -> float | None:
    day = int(part["d"] or 0)
    if year is None or not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    whole = timegm((year, month, day, int(part["h"] or 0), int(part["mi"] or 0), int(part["s"] or 0)))
    fraction = part.get("f")
    return whole + (float(f"0.{fraction}") if fraction else 0.0)


_STARTS: Final = (
    (FULL, _full, "[(【12"),
    (GLOG, _glog, "[IWEF"),
    (VLLM, _vllm, "DIWEC"),
    (EPOCH, _epoch, "[1"),
    (SYSLOG, _syslog, "[IWEFDCMTSJNAO"),
    (TIME_ONLY, _none, "[012"),
)
# By first character: most lines begin with none of these, and the others need one or two looks.
SHAPES: Final = {
    start: tuple((shape, read) for shape, read, starts in _STARTS if start in starts)
    for start in "".join(starts for *_, starts in _STARTS)
}
