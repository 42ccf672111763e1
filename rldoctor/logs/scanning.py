"""One pass over the bytes for all patterns of rules and detectors; Python sees matched lines only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct, field

from rldoctor.logs import coloured
from rldoctor.logs.anatomy import LONGEST, read_line
from rldoctor.logs.clock import find_year
from rldoctor.logs.matchers import Matcher
from rldoctor.logs.opening import LogFile
from rldoctor.logs.patterns import Pattern

KEEP: Final = 200  # lines kept from the front and from the back of what a pattern hits
YEAR_WITHIN: Final = 16 << 20  # bytes from the start in which a full date is looked for
HEAD: Final = 240  # bytes of a long line's start, where its prefixes stand


class RawHit(NamedTuple):
    """A matched line: which log, line number from 1, offset of its first byte, its bytes (bounded)."""

    log: int
    number: int
    offset: int
    raw: bytes


class Kept:
    """The first and the last hits of a pattern, and how many there were."""

    __slots__ = ("count", "first", "last", "limit")

    def __init__(self, limit: int = KEEP) -> None:
        self.limit, self.count = limit, 0
        self.first: list[RawHit] = []
        self.last: deque[RawHit] = deque(maxlen=limit)

    def add(self, hit: RawHit) -> None:
        """Count a hit and keep it while it is among the first or the last."""
        self.count += 1
        if self.count <= self.limit:
            self.first.append(hit)
        else:
            self.last.append(hit)

    def all(self) -> list[RawHit]:
        """Return what was kept, in order."""
        return [*self.first, *self.last]


class Scan(Struct):
    """What the pass over all logs found."""

    kept: dict[str, Kept]
    marks: list[list[tuple[int, int]]] = field(
        default_factory=list
    )  # per log: (line number, offset) of each chunk
    lines: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    years: list[int | None] = field(default_factory=list)


def scan(
    logs: Sequence[LogFile], patterns: Sequence[Pattern], matcher: Matcher, limits: Mapping[str, int]
) -> Scan:
    """Read every log once and keep the lines that patterns hit, at most 2 × limit (KEEP) a pattern."""
    result = Scan({pattern.key: Kept(limits.get(pattern.key, KEEP)) for pattern in patterns})
    for index, log in enumerate(logs):
        _scan_log(index, log, patterns, matcher, result)
    told = {year for year in result.years if year is not None}
    result.years[:] = [min(told) if len(told) == 1 else year for year in result.years]
    return result


def _scan_log(index: int, log: LogFile, patterns: Sequence[Pattern], matcher: Matcher, result: Scan) -> None:
    number, offset, year = 1, 0, None
    marks: list[tuple[int, int]] = []
    last = b"\n"
    mark = next((at for at, pattern in enumerate(patterns) if pattern.key == coloured.MARK), None)
    for data in log.chunks():
        if year is None and offset < YEAR_WITHIN:
            year = find_year(data[: 1 << 16].decode("utf-8", "replace"))
        marks.append((number, offset))
        at = 0
        for start, end, keys in _matched_lines(data, coloured.scan(matcher, data, mark)):
            number += _breaks(data[at:start])
            at = start
            place = RawHit(index, number, offset + start, data[start:end])
            _note_line(place, [patterns[key] for key in keys], matcher.exact, result.kept)
        number += _breaks(data[at:])
        offset += len(data)
        last = data[-1:]
    result.marks.append(marks)
    result.lines.append(number if last != b"\n" else number - 1)
    result.sizes.append(offset)
    result.years.append(year)


def _breaks(data: bytes) -> int:
    """Return how many line breaks there are; taking them out finds them three times faster than `count`."""
    return len(data) - len(data.replace(b"\n", b""))


def _matched_lines(data: bytes, found: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int, set[int]]]:
    """Yield start, end and candidate patterns of each line that has a match."""
    start, end = 0, -1
    keys: set[int] = set()
    for offset, pattern in found:
        if offset >= end:
            if keys:
                yield start, end, keys
            start = data.rfind(b"\n", 0, offset) + 1
            end = data.find(b"\n", offset)
            end = len(data) if end < 0 else end
            keys = set()
            if offset == end:  # the match ended with a line break: it spans lines, which no rule may mean
                end = -1
                continue
        keys.add(pattern)
    if keys:
        yield start, end, keys


def _note_line(place: RawHit, patterns: Sequence[Pattern], exact: bool, kept: Mapping[str, Kept]) -> None:
    """Check each candidate on the line itself and keep the hits; of a progress bar the last state counts."""
    line = coloured.without(place.raw)
    plain = exact and len(line) <= LONGEST and b"\r" not in line[:-1]
    segments = [line] if plain else line.rstrip(b"\r").split(b"\r")
    message: bytes | None = None
    for pattern in patterns:
        if plain and pattern.trusted:
            kept[pattern.key].add(place)
            continue
        if pattern.anchored:
            message = read_line(line).text.encode() if message is None else message
            segment = segments[-1] if pattern.search(message) is not None else None
        else:
            segment = next((part for part in reversed(segments) if pattern.search(part)), None)
        if segment is not None:
            hit = RawHit(place.log, place.number, place.offset, _bounded(line, segment, pattern))
            kept[pattern.key].add(hit)


def _bounded(line: bytes, segment: bytes, pattern: Pattern) -> bytes:
    """Return the segment, cut around the match if it is endless, behind the line's head if not the first."""
    text = segment
    if len(segment) > LONGEST:
        found = pattern.search(segment) if not pattern.is_literal else None
        at = found.start() if found else max(0, segment.find(pattern.key.encode()))
        begin = max(0, at - LONGEST // 4)
        text = segment[begin : begin + LONGEST // 2]
        if begin:
            return line[:HEAD] + b"\r" + text
    if text is line or line.startswith(text):
        return text
    return line[:HEAD] + b"\r" + text
