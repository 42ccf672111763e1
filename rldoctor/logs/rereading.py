"""Surroundings of a line, read again from its log: nothing but a few pieces of a log is ever held."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Final

from msgspec import Struct

from rldoctor.logs.anatomy import LONGEST, merge, read_line
from rldoctor.logs.names import writer
from rldoctor.logs.opening import Forward, LogFile
from rldoctor.logs.scanning import RawHit, Scan
from rldoctor.types import Identity, LogLine

BLOCKS: Final = 24  # pieces of a log that are kept: with fewer a storm of errors has them read over and over
WINDOWS: Final = 2000  # surroundings that are kept: many triggers ask for those of the same lines
FARTHEST: Final = 2500  # lines looked at on each side for lines of the same process
PROCESS: Final = re.compile(rb"(?:\x1b\[\d{1,3}m)?\((?:[^ ()]{1,120} )?pid=(\d{1,10})[,)]")
RANK: Final = re.compile(rb"\[(?:rank|default)(\d{1,6})\]")


Window = tuple[str, int, Identity, int, str]


class _Block(Struct, dict=True):
    first: int
    raw: list[bytes]
    lines: dict[int, LogLine]

    @cached_property
    def pids(self) -> Mapping[int | None, list[int]]:
        """Return the numbers of the lines that plainly belong to a process, None for those of nobody."""
        return self._numbers(PROCESS, b"(\x1b")

    @cached_property
    def ranks(self) -> Mapping[int | None, list[int]]:
        """Return the numbers of the lines that plainly belong to a rank, None for those of nobody."""
        return self._numbers(RANK, b"[")

    def _numbers(self, owner: re.Pattern[bytes], starts: bytes) -> Mapping[int | None, list[int]]:
        numbers: dict[int | None, list[int]] = defaultdict(list)
        for number, raw in enumerate(self.raw, self.first):
            found = owner.match(raw) if raw[:1] in starts else None
            numbers[int(found[1]) if found else None].append(number)
        return numbers

    def here(self, numbers: range) -> range:
        """Return which of the numbers are here, in their order."""
        end = self.first + len(self.raw)
        if numbers.step > 0:
            return range(max(numbers.start, self.first), min(numbers.stop, end))
        return range(min(numbers.start, end - 1), max(numbers.stop, self.first - 1), -1)

    def near(self, numbers: range, who: Identity, same: str) -> Sequence[int]:
        """Return which of the numbers are here and not plainly those of others, in their order."""
        here = self.here(numbers)
        owners, mine = self._owners(who, same)
        if mine is None or not here:
            return here
        low, high = min(here[0], here[-1]), max(here[0], here[-1])
        known = [
            held[bisect_left(held, low) : bisect_right(held, high)]
            for held in map(owners.get, (None, mine))
            if held
        ]
        return sorted(chain(*known), reverse=here.step < 0)

    def _owners(self, who: Identity, same: str) -> tuple[Mapping[int | None, list[int]], int | None]:
        """Return what tells lines of others plainly apart, and what it is for a line's own."""
        if same == "process" and who.pid is not None:
            return self.pids, who.pid
        return (self.ranks, who.rank) if same in ("process", "rank") else ({}, None)


class Text:
    """Random access to the lines of all logs."""

    def __init__(self, logs: Sequence[LogFile], scan: Scan) -> None:
        self.logs, self.scan = logs, scan
        self.index = {log.name: number for number, log in enumerate(logs)}
        self.blocks: OrderedDict[tuple[int, int], _Block] = OrderedDict()
        self.windows: OrderedDict[Window, tuple[tuple[LogLine, ...], tuple[LogLine, ...]]] = OrderedDict()
        self.seen: dict[tuple[int, int], tuple[bytes, LogLine]] = {}
        self.readers: dict[int, Forward] = {}

    def line_of(self, hit: RawHit) -> LogLine:
        """Return a hit as a line with its wrapping taken off."""
        key = (hit.log, hit.number)
        known = self.seen.get(key)
        if known is None or known[0] != hit.raw:
            known = self.seen[key] = (hit.raw, self._line(hit.log, hit.number, hit.raw))
        return known[1]

    def between(self, log: int, first: int, last: int) -> Iterator[LogLine]:
        """Yield the lines from number first to last, both included."""
        number = max(1, first)
        while number <= min(last, self.scan.lines[log]):
            block = self._block(log, number)
            end = block.first + len(block.raw)
            if number >= end:
                return
            for at in range(number, min(end, last + 1)):
                yield self._in_block(log, block, at)
            number = end

    def window(self, line: LogLine, lines: int, same: str) -> tuple[LogLine, ...]:
        """Return up to ``lines`` lines of the same process, rank, node or run before and after a line."""
        key = (line.file, line.number, line.who, lines, same)
        if key not in self.windows:
            while len(self.windows) >= WINDOWS:
                self.windows.popitem(last=False)
            self.windows[key] = self._around(line, lines, same)
        before, after = self.windows[key]
        return (*before, line, *after)

    def _around(
        self, line: LogLine, lines: int, same: str
    ) -> tuple[tuple[LogLine, ...], tuple[LogLine, ...]]:
        log = self.index.get(line.file)
        if log is None:
            return (), ()
        last = min(self.scan.lines[log], line.number + FARTHEST)
        back = range(line.number - 1, max(0, line.number - 1 - FARTHEST), -1)
        before = self._alike(log, back, line.who, same, lines)
        after = self._alike(log, range(line.number + 1, last + 1), line.who, same, lines)
        return tuple(reversed(before)), tuple(after)

    def _alike(self, log: int, numbers: range, who: Identity, same: str, most: int) -> list[LogLine]:
        """Return up to ``most`` lines of the same origin; what is plainly another's is not taken apart."""
        found: list[LogLine] = []
        while numbers:
            block = self._block(log, numbers[0])
            for number in block.near(numbers, who, same):
                line = self._in_block(log, block, number)
                if same == "run" or _agree(line.who, who, same):
                    found.append(line)
                    if len(found) == most:
                        return found
            left = numbers[len(block.here(numbers)) :]
            if left == numbers:
                break
            numbers = left
        return found

    def whole(self, line: LogLine) -> str:
        """Return a line as it stands in its log, with its level and all else that it wears."""
        log = self.index.get(line.file)
        if log is None:
            return line.text
        block = self._block(log, line.number)
        return block.raw[line.number - block.first][:LONGEST].decode("utf-8", "replace")

    def _line(self, log: int, number: int, raw: bytes) -> LogLine:
        part = read_line(raw, self.scan.years[log])
        name = self.logs[log].name
        return LogLine(name, number, part.text, merge(part.who, writer(name)), part.time, part.repeated)

    def _in_block(self, log: int, block: _Block, number: int) -> LogLine:
        line = block.lines.get(number)
        if line is None:
            line = block.lines[number] = self._line(log, number, block.raw[number - block.first])
        return line

    def _forward(self, log: int) -> Forward:
        if log not in self.readers:
            self.readers = {log: self.logs[log].forward()}  # one at a time: each holds a piece of its log
        return self.readers[log]

    def _block(self, log: int, number: int) -> _Block:
        marks = self.scan.marks[log]
        at = max(0, bisect_right(marks, (number, 1 << 62)) - 1)
        key = (log, at)
        block = self.blocks.get(key)
        if block is None:
            start = marks[at][1]
            end = marks[at + 1][1] if at + 1 < len(marks) else self.scan.sizes[log]
            data = self._forward(log).take(start, end)
            raw = data.split(b"\n")
            block = self.blocks[key] = _Block(
                marks[at][0], raw[:-1] if raw[-1] == b"" and len(raw) > 1 else raw, {}
            )
            while len(self.blocks) > BLOCKS:
                self.blocks.popitem(last=False)
        self.blocks.move_to_end(key)
        return block


def _agree(one: Identity, other: Identity, same: str) -> bool:
    """Say whether nothing that is known of both lines speaks against one origin."""
    if same == "node":
        return one.node is None or other.node is None or one.node == other.node
    if one.rank is not None and other.rank is not None and one.rank != other.rank:
        return False
    if same == "rank":
        return True
    pids = one.pid is None or other.pid is None or one.pid == other.pid
    return pids and (one.node is None or other.node is None or one.node == other.node)
