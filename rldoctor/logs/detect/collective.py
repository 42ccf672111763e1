"""Collectives that did not finish: which one, which group, which ranks wait, where they stand."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor.logs.detect import late
from rldoctor.logs.detect.absent import last_lines, logged_ranks
from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.failures import Frame
from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

TIMEOUT: Final = "/WorkNCCL\\(.{0,300}\\) (?:ran for \\d+ milliseconds|timed out)/"
ENQUEUED: Final = "/last enqueued (?:NCCL )?work: ?-?\\d+/"
STACK: Final = "Stack trace of the failed collective"
NO_RECORDER: Final = "because FlightRecorder is disabled"
PATTERNS: Final = (TIMEOUT, ENQUEUED, STACK, NO_RECORDER, *late.PATTERNS)

WORK: Final = (
    r"WorkNCCL\((?:SeqNum=(?P<seq>\d{1,12}), )?OpType=(?P<op>\w{1,40})(?:, NumelIn=(?P<elements>\d{1,15}))?"
    r"(?:, NumelOut=\d{1,15})?.{0,80}?Timeout\(ms\)=(?P<timeout>\d{1,12})\)"
    r"(?: ran for (?P<elapsed>\d{1,12}) milli)?"
)
GROUP: Final = (
    r"\[PG (?:ID )?(?P<id>\w{1,40}) (?:PG )?GUID (?P<guid>[\w.-]{1,60})"
    r"(?:\((?P<name>[\w.:-]{1,80})\))? Rank (?P<rank>\d{1,6})\]"
)
AT_WORK: Final = r"(?:work sequence id: ?|at (?:NCCL )?work: ?)(?P<seq>\d{1,12})"
LAST: Final = (
    r"last enqueued (?:NCCL )?work: ?(?P<enqueued>-?\d{1,12}), "
    r"last completed (?:NCCL )?work: ?(?P<completed>-?\d{1,12})"
)
FAILED_FRAME: Final = (
    r"(?:^|\s)#\d{1,4} (?P<function>[\w.<>]{1,200}) from (?P<file>\S{1,400}):(?P<line>\d{1,7})\s*$"
)
MOST_FRAMES: Final = 80
SYMMETRIC: Final = ("ALLREDUCE", "ALLGATHER", "_ALLGATHER_BASE", "REDUCE_SCATTER", "_REDUCE_SCATTER_BASE")


class _Waiting(Struct):
    """What one rank told about the collective it waits in."""

    line: LogLine
    op: str
    seq: int | None
    fields: dict[str, Any]
    group: str | None = None
    others: list[LogLine] = field(default_factory=list)


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield a sighting for each rank that waits in a collective that timed out."""
    waiting = _waiting(seen)
    _add_groups(waiting, seen.lines(ENQUEUED))
    _add_stacks(waiting, seen)
    without = {line.who.rank for line in seen.lines(NO_RECORDER)}
    _add_others(waiting)
    _add_missing(waiting, seen)
    _add_progress(waiting, seen)
    for one in waiting:
        rank = one.line.who.rank
        fields = {**one.fields, "op": one.op, "seq": one.seq, "group": one.group}
        fields["ranks_waiting"] = [rank] if rank is not None else None
        fields["step"] = seen.step(one.line)
        fields.setdefault("flight_recorder", False if rank in without else None)
        fields.setdefault("phase", seen.phase(one.line))
        told = sighting("collective_timeout", one.line, fields, (one.group, one.seq, one.op))
        yield _with_lines(told, one.others)


def _waiting(seen: Seen) -> list[_Waiting]:
    """Return what each rank waits in, each once although the watchdog says it twice."""
    found: dict[tuple[Any, ...], _Waiting] = {}
    for line in seen.lines(TIMEOUT):
        work = re.search(WORK, line.text)
        if work is None:
            continue
        seq = int(work["seq"]) if work["seq"] else None
        group = _group(line)
        key = (line.file if line.who.rank is None else None, line.who.rank, seq, work["op"])
        known = found.get(key)
        if known is not None:
            known.group = known.group or group
            continue
        fields = {
            "elements": _number(work["elements"]),
            "timeout_ms": _number(work["timeout"]),
            "elapsed_ms": _number(work["elapsed"]),
        }
        found[key] = _Waiting(
            line, work["op"], seq, {k: v for k, v in fields.items() if v is not None}, group
        )
    return list(found.values())


def _by_rank(waiting: Iterable[_Waiting]) -> dict[int | None, list[_Waiting]]:
    ranks: dict[int | None, list[_Waiting]] = {}
    for one in waiting:
        ranks.setdefault(one.line.who.rank, []).append(one)
    return ranks


def _add_groups(waiting: Collection[_Waiting], lines: Iterable[LogLine]) -> None:
    """Add group and last works from the status lines, to the rank that says them."""
    by_seq: dict[int, set[str]] = {}
    ranks = _by_rank(waiting)
    for line in lines:
        group, seq, last = _group(line), re.search(AT_WORK, line.text), re.search(LAST, line.text)
        number = int(seq["seq"]) if seq else None
        if group is not None and number is not None:
            by_seq.setdefault(number, set()).add(group)
        for one in ranks.get(line.who.rank, ()):
            if number in (None, one.seq):
                one.group = one.group or group
                one.others.append(line)
                if last is not None:
                    one.fields.setdefault("last_enqueued", int(last["enqueued"]))
                    one.fields.setdefault("last_completed", int(last["completed"]))
    for one in waiting:
        told = by_seq.get(one.seq) if one.seq is not None else None
        if one.group is None and told is not None and len(told) == 1:
            one.group = next(iter(told))


def _add_stacks(waiting: Collection[_Waiting], seen: Seen) -> None:
    """Add the Python frames that the flight recorder kept, and the phase that they tell."""
    ranks = _by_rank(waiting)
    for line in seen.lines(STACK):
        mine = ranks.get(line.who.rank, [])
        frames = _frames(seen, line) if mine and "not found" not in line.text else ()
        if not frames:
            continue
        before = [one for one in mine if one.line.file == line.file and one.line.number <= line.number]
        one = before[-1] if before else mine[0]
        outer = [frame for frame in frames if "torch/distributed" not in frame.file]
        one.fields["flight_recorder"] = True
        one.fields["frames"] = [str(frame) for frame in frames]
        one.fields["frame"] = str((outer or frames)[-1])
        one.fields["phase"] = seen.phase(one.line, frames)
        one.others.append(line)


def _frames(seen: Seen, line: LogLine) -> tuple[Frame, ...]:
    """Return the frames after a line, outermost first."""
    frames: list[Frame] = []
    for other in seen.after(line, MOST_FRAMES):
        found = re.search(FAILED_FRAME, other.text)
        if found is not None and other.who.rank in (None, line.who.rank):
            frames.append(Frame(found["file"], int(found["line"]), found["function"]))
        elif found is None and frames and other.text.strip() and other.who.rank in (None, line.who.rank):
            break
    return tuple(reversed(frames))


def _add_others(waiting: Collection[_Waiting]) -> None:
    """Tell each rank's event what other ranks of the same group wait in instead."""
    ops: dict[str | None, dict[str, LogLine]] = {}
    for one in waiting:
        ops.setdefault(one.group, {}).setdefault(one.op, one.line)
    for one in waiting:
        others = (op for op, line in ops[one.group].items() if op != one.op and _near(one.line, line))
        other = next(others, None)
        if other is not None:
            one.fields["other_op"] = other
        else:
            one.fields |= _other_size(one, waiting)


def _other_size(one: _Waiting, waiting: Iterable[_Waiting]) -> dict[str, Any]:
    """Return with how many elements another rank waits in the same symmetric operation of the group."""
    mine = one.fields.get("elements")
    for other in waiting if mine and one.op in SYMMETRIC else ():
        size = other.fields.get("elements")
        same = (other.group, other.op) == (one.group, one.op) and other.line.who.rank != one.line.who.rank
        if same and size and size != mine and _near(one.line, other.line):
            number = f", number {other.seq}" if other.seq != one.seq else ""
            return {"mismatch": "shape", "other": f"{other.op} of {size} elements{number}"}
    return {}


def _add_missing(waiting: Collection[_Waiting], seen: Seen) -> None:
    """Name the ranks of the default group that spoke but do not wait, where all that wait are told."""
    ranks = {line.who.rank for lines in seen.hits.values() for line in lines} | logged_ranks(seen)
    ranks -= {one.line.who.rank for one in waiting}
    groups: dict[tuple[Any, ...], list[_Waiting]] = {}
    for one in waiting:
        groups.setdefault((one.group, one.seq, one.op), []).append(one)
    for (group, _, _), members in groups.items():
        mine = {one.line.who.rank for one in members}
        if group != "default_pg" or None in mine or any(one.line.repeated > 1 for one in members):
            continue
        missing = sorted(rank for rank in ranks if rank is not None)
        if 0 < len(missing) <= len(mine):  # else most of the group is merely not quoted
            ends = last_lines(seen, missing)
            members[0].others[:0] = ends
            for one in members:
                one.fields["ranks_missing"] = missing
                one.fields["missing_last"] = ends[0].text.strip() if ends else None


def _add_progress(waiting: Collection[_Waiting], seen: Seen) -> None:
    """Say of the first that waits whether the others were at work meanwhile: they are late, not missing."""
    ranks = {one.line.who.rank for one in waiting}
    first = min(waiting, key=lambda one: one.line.number, default=None)
    if first is None or any("other_op" in one.fields for one in waiting):
        return
    busy = late.workers(seen, first.line, first.fields.get("elapsed_ms"), ranks)
    proof = [*busy.values(), *late.slow_saves(seen, first.line, first.fields.get("timeout_ms"))]
    missing = set(first.fields.get("ranks_missing") or ())
    if proof and not missing - busy.keys():
        first.others[:0] = proof[:2]
        for one in waiting:
            one.fields |= {"progress": True, "ranks_missing": []}


def _with_lines(told: Sighting, others: list[LogLine]) -> Sighting:
    return replace(told, event=replace(told.event, lines=(*told.event.lines, *others[:3])))


def _near(one: LogLine, other: LogLine) -> bool:
    """Say whether two lines may speak of one incident."""
    if one.time is not None and other.time is not None:
        return abs(one.time - other.time) < 3600
    return one.file != other.file or abs(one.number - other.number) < 2000


def _group(line: LogLine) -> str | None:
    found = re.search(GROUP, line.text)
    if found is None:
        return None
    return found["name"] or f"PG {found['id']} {found['guid']}"


def _number(text: str | None) -> int | None:
    return int(text) if text else None
