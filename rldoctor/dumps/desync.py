"""Flight-recorder dumps of many ranks side by side: who did not come, and who called something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from rldoctor.dumps.flight import Call, Trace, elements
from rldoctor.dumps.nouns import line, ranks
from rldoctor.types import Event, Identity, LogLine

SAME_SHAPE: Final = ("all_reduce", "allreduce", "broadcast", "all_gather", "allgather", "reduce_scatter")
MOST_EVENTS: Final = 8


class Dump(Struct, frozen=True):
    """A rank with its trace and the file it stands in."""

    rank: int
    trace: Trace
    file: str


class Stuck(Struct, frozen=True):
    """A collective of a group that some ranks wait in; ``missing`` ranks did not call it."""

    group: str
    seq: int
    waiting: dict[int, Call]
    missing: list[int]
    silent: list[int]  # members without a dump


def events(dumps: Sequence[Dump]) -> tuple[Event, ...]:
    """Return an event for each group that is stuck by itself, not because of another one, first one first."""
    stuck = sorted(_stuck(dumps), key=lambda one: min(call.created for call in one.waiting.values()))
    roots = [one for one in stuck if _is_root(one, stuck)] or stuck
    by_rank = {dump.rank: dump for dump in dumps}
    return tuple(_event(one, by_rank, stuck) for one in roots[:MOST_EVENTS])


def _stuck(dumps: Sequence[Dump]) -> Iterator[Stuck]:
    calls: dict[str, dict[int, dict[int, Call]]] = {}
    for dump in dumps:
        for call in dump.trace.calls:
            if not call.p2p:
                calls.setdefault(call.group, {}).setdefault(dump.rank, {})[call.seq] = call
    have = {dump.rank for dump in dumps}
    for group, by_rank in calls.items():
        members = set(_members(group, dumps)) or set(by_rank)
        seq = _where(by_rank, members & have)
        if seq is None:
            continue
        at = {rank: mine[seq] for rank, mine in by_rank.items() if seq in mine}
        waiting = {rank: call for rank, call in at.items() if call.state != "completed"}
        missing = sorted(rank for rank in members & have if rank not in at and _last(by_rank.get(rank)) < seq)
        if waiting:
            yield Stuck(group, seq, waiting, missing, sorted(members - have))


def _members(group: str, dumps: Sequence[Dump]) -> list[int]:
    return next((dump.trace.members[group] for dump in dumps if group in dump.trace.members), [])


def _where(by_rank: Mapping[int, Mapping[int, Call]], members: set[int]) -> int | None:
    """Return the first collective of a group that did not finish or that not all members called.

    What a back end does not follow to its end (Gloo) is open only where a member did not come.
    """
    last = {rank: _last(by_rank.get(rank)) for rank in members}
    behind = min(last.values(), default=0)
    open_ones = [
        call.seq
        for mine in by_rank.values()
        for call in mine.values()
        if call.state != "completed"
        and (not call.retired or call.seq > behind or _differs(by_rank, call.seq))
    ]
    return min(open_ones, default=None)


def _differs(by_rank: Mapping[int, Mapping[int, Call]], seq: int) -> bool:
    return _mismatch([mine[seq] for mine in by_rank.values() if seq in mine]) is not None


def _last(mine: Mapping[int, Call] | None) -> int:
    return max(mine, default=0) if mine else 0


def _is_root(one: Stuck, stuck: Sequence[Stuck]) -> bool:
    """Say whether a group hangs by itself: its missing ranks do not wait in another group that hangs."""
    if _mismatch(list(one.waiting.values())):
        return True
    elsewhere = {rank for other in stuck if other is not one for rank in other.waiting}
    return not one.missing or any(rank not in elsewhere for rank in one.missing)


def _mismatch(calls: Sequence[Call]) -> str | None:
    """Return in what calls of one collective differ: op, dtype or shape."""
    if len({_name(call) for call in calls}) > 1:
        return "op"
    if len({tuple(call.dtypes) for call in calls if call.dtypes}) > 1:
        return "dtype"
    same = calls and any(word in _name(calls[0]) for word in SAME_SHAPE)
    whole = "gather" not in (_name(calls[0]) if calls else "")
    sizes = {elements(call.sizes if whole or call.sizes else call.out_sizes) for call in calls}
    return "shape" if same and len(sizes) > 1 else None


def _name(call: Call) -> str:
    return call.op.rpartition(":")[2].lower()


def _op(call: Call) -> str:
    """Return the operation as the watchdog spells it."""
    return call.op.rpartition(":")[2].upper().replace("ALL_", "ALL").replace("_BASE", "").lstrip("_")


def _event(one: Stuck, dumps: Mapping[int, Dump], stuck: Sequence[Stuck]) -> Event:
    kind = _mismatch(list(one.waiting.values()))
    odd = _odd(one.waiting) if kind else {}
    first = min(one.waiting, key=lambda rank: (rank in odd, rank))
    call = one.waiting[first]
    fields: dict[str, Any] = {
        "op": _op(call),
        "group": one.group,
        "seq": one.seq,
        "elements": elements(call.sizes),
        "timeout_ms": call.timeout_ms,
        "ranks_waiting": sorted(one.waiting),
        "ranks_missing": one.missing,
        "flight_recorder": True,
        "frames": call.frames,
        "frame": _outer(call.frames),
        "mismatch": kind,
    }
    if odd:
        other = odd[min(odd)]
        fields |= {"other_op": _op(other) if kind == "op" else None, "other": _said(other)}
    if one.missing:
        fields["missing_last"] = _doing(dumps[one.missing[0]], stuck)
    told = {name: value for name, value in fields.items() if value is not None}
    spread = tuple(Identity(rank=rank) for rank in sorted(one.waiting))
    lines = tuple(_lines(one, odd, first, dumps, stuck))
    return Event("collective_timeout", told, Identity(rank=first), call.created, None, lines, spread)


def _odd(waiting: Mapping[int, Call]) -> dict[int, Call]:
    """Return the ranks whose call is not that of most."""

    def shape(call: Call) -> tuple[str, ...]:
        return (_name(call), str(call.dtypes), str(call.sizes))

    usual = Counter(shape(call) for call in waiting.values()).most_common(1)[0][0]
    return {rank: call for rank, call in waiting.items() if shape(call) != usual}


def _lines(
    one: Stuck, odd: Mapping[int, Call], first: int, dumps: Mapping[int, Dump], stuck: Sequence[Stuck]
) -> Iterator[LogLine]:
    call = one.waiting[first]
    usual = sorted(set(one.waiting) - set(odd))
    who = f"{ranks(usual)} wait{'s' * (len(usual) == 1)}"
    yield line(dumps[first].file, f"{who} in {_said(call)}, collective {one.seq} of {one.group}", first)
    for rank, other in sorted(odd.items())[:4]:
        yield line(dumps[rank].file, f"rank {rank} called {_said(other)} there{_at(other)}", rank)
    for rank in one.missing[:4]:
        text = f"rank {rank} did not come to it; it {_doing(dumps[rank], stuck)}"
        yield line(dumps[rank].file, text, rank)
    if one.silent:
        text = f"no dump of {ranks(one.silent)}, which belong{'s' * (len(one.silent) == 1)} to the group"
        yield line(dumps[first].file, text)


def _doing(dump: Dump, stuck: Sequence[Stuck]) -> str:
    """Return what a rank that is missed does instead, else what it did last."""
    for other in stuck:
        call = other.waiting.get(dump.rank)
        if call is not None:
            return f"waits in {_said(call)}, collective {other.seq} of {other.group}{_at(call)}"
    if not dump.trace.calls:
        return "called no collective at all"
    call = dump.trace.calls[-1]
    ended = "finished" if call.state == "completed" else "called"
    return f"last {ended} {_said(call)}, collective {call.seq} of {call.group}{_at(call)}"


def _said(call: Call) -> str:
    sizes = "×".join(map(str, call.sizes[0])) if call.sizes else "?"
    kind = f" {call.dtypes[0]}" if call.dtypes else ""
    return f"{_op(call)} of {sizes}{kind}"


def _at(call: Call) -> str:
    frame = _outer(call.frames)
    return f", at {frame}" if frame else ""


def _outer(frames: Sequence[str]) -> str | None:
    """Return the innermost frame outside of torch.distributed, else the innermost."""
    outside = [frame for frame in frames if "torch/distributed" not in frame and "(??" not in frame]
    return next(iter([*outside[-1:], *frames[-1:]]), None)
