"""Gloo collectives that were waited for in vain: which one by each rank's stack, and who did less."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from rldoctor.logs.detect.absent import absent, last_lines
from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.failures import Failure
from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

WAITED: Final = "/Timed out waiting \\d+ms for (?:recv|send) operation/"
LOADED: Final = "/[Ll]oaded \\d+ (?:rows|samples|examples|records|prompts|batches)/"
REFUSED: Final = "/Ranks? [\\d, ]{1,400}failed to pass monitoredBarrier in \\d+ ms/"
PATTERNS: Final = (WAITED, LOADED, REFUSED)

TIMEOUT: Final = re.compile(r"Timed out waiting (\d{1,12})ms")
NUMBER: Final = re.compile(r"[Ll]oaded (\d{1,12}) ")
COLLECTIVES: Final = "torch/distributed/distributed_c10d.py"
BACKWARD: Final = "_engine_run_backward"
OF_GRADIENTS: Final = "all_reduce of gradients"
BARRIER: Final = re.compile(
    r"Ranks? (?P<ranks>[\d, ]{1,400}?) failed to pass monitoredBarrier in (?P<timeout>\d{1,12}) ms"
)


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield a sighting for each rank whose exception says that Gloo waited too long."""
    waiting = {line: seen.failure_at(line) for line in seen.lines(WAITED)}
    ops = {line: _op(failure) for line, failure in waiting.items() if failure is not None}
    odd = _odd_ones(ops)
    missing = absent(seen, {failure.who.rank for failure in waiting.values() if failure is not None})
    ends = last_lines(seen, missing)
    for line, op in ops.items():
        failure = waiting[line]
        assert failure is not None
        rank, found = failure.who.rank, TIMEOUT.search(line.text)
        fields = {
            "op": op,
            "other_op": next((other for other in ops.values() if op and other and other != op), None),
            "timeout_ms": int(found[1]) if found else None,
            "ranks_waiting": [rank] if rank is not None else None,
            "ranks_missing": missing or None,
            "missing_last": ends[0].text.strip() if ends else None,
            "frames": [str(frame) for frame in failure.frames] or None,
            "frame": str(failure.user_frame) if failure.user_frame else None,
            "phase": seen.phase(line, failure.frames),
            "step": seen.step(line),
        }
        told = sighting("collective_timeout", line, fields, ("gloo",), failure.who)
        yield _with(told, [*(_uneven(seen, rank) if line in odd else ()), *ends])
    for line in seen.lines(REFUSED):
        yield from _at_barrier(seen, line)


def _at_barrier(seen: Seen, line: LogLine) -> Iterator[Sighting]:
    """Yield what a monitored barrier says, which names the ranks that did not come."""
    found = BARRIER.search(line.text)
    failure = seen.failure_at(line)
    if found is None:
        return
    missing = [int(number) for number in re.findall(r"\d+", found["ranks"])]
    ends = last_lines(seen, missing)
    fields = {
        "op": "monitored_barrier",
        "timeout_ms": int(found["timeout"]),
        "ranks_missing": missing,
        "missing_last": ends[0].text.strip() if ends else "its own log tells",
        "frames": [str(frame) for frame in failure.frames] or None if failure else None,
        "phase": seen.phase(line, failure.frames if failure else ()),
        "step": seen.step(line),
    }
    yield _with(sighting("collective_timeout", line, fields, ("monitored",)), ends)


def _op(failure: Failure) -> str | None:
    """Return the collective that a stack waits in, as torch names it; DDP's has no frame of its own."""
    inner = (frame.function for frame in reversed(failure.frames) if COLLECTIVES in frame.file)
    backward = failure.frames and failure.frames[-1].function == BACKWARD
    return next((name for name in inner if name != "wrapper"), OF_GRADIENTS if backward else None)


def _odd_ones(ops: Mapping[LogLine, str | None]) -> set[LogLine]:
    """Return the lines of those who wait in something else than most do."""
    counted = Counter(op for op in ops.values() if op)
    if len(counted) < 2:
        return set()
    usual = counted.most_common(1)[0][0]
    return {line for line, op in ops.items() if op and op != usual}


def _uneven(seen: Seen, rank: int | None) -> Iterable[LogLine]:
    """Return the line in which a rank tells that it loaded another number of items than most."""
    lines = {line.who.rank: line for line in seen.lines(LOADED)}
    counts = {who: int(found[1]) for who, line in lines.items() if (found := NUMBER.search(line.text))}
    usual = Counter(counts.values()).most_common(1)
    if rank in counts and len(counts) > 2 and counts[rank] != usual[0][0]:
        return (lines[rank],)
    return ()


def _with(told: Sighting, others: Iterable[LogLine]) -> Sighting:
    return replace(told, event=replace(told.event, lines=(*told.event.lines, *others)))
