"""One rank's flight-recorder dump: the last collectives of each process group, and where they were called."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, Final

from msgspec import Struct, convert

KEPT: Final = 16  # collectives of a group kept at the end, and of those that did not finish
FRAMES: Final = 24
MOST_GROUPS: Final = 256
RANK: Final = re.compile(r"rank[_.-]?(\d{1,6})(?!.*rank[_.-]?\d)|(\d{1,6})(?:\.[A-Za-z]\w*)*$", re.IGNORECASE)


class Call(Struct, frozen=True):
    """A collective as one rank called it; ``frames`` are outermost first."""

    group: str
    seq: int
    op: str
    state: str
    retired: bool
    sizes: list[list[int]]
    out_sizes: list[list[int]]
    dtypes: list[str]
    created: float
    p2p: bool = False
    timeout_ms: int | None = None
    frames: list[str] = []


class Trace(Struct, frozen=True):
    """What one rank's dump says: calls in order, members and names of its groups, the last numbers."""

    calls: list[Call]
    members: dict[str, list[int]]
    last: dict[str, dict[str, int]]


def is_trace(value: Any) -> bool:
    """Say whether plain data is a flight-recorder dump."""
    return isinstance(value, Mapping) and isinstance(value.get("entries"), list | tuple) and (
        "pg_config" in value or "pg_status" in value or _has_calls(value["entries"])
    )  # fmt: skip


def _has_calls(entries: Any) -> bool:
    return bool(entries) and isinstance(entries[0], Mapping) and "profiling_name" in entries[0]


def rank_of(path: str) -> int | None:
    """Return the rank that a dump's file name tells: nccl_trace_rank_3, flight_recorder_rank3.json."""
    found = RANK.search(PurePath(path).name)
    return int(found[1] or found[2]) if found else None


def reduce(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a dump that is compared between ranks, as JSON-able values."""
    calls: dict[str, list[dict[str, Any]]] = {}
    for entry in value["entries"]:
        if isinstance(entry, Mapping):
            call = _call(entry)
            if len(calls) < MOST_GROUPS or call["group"] in calls:
                calls.setdefault(call["group"], []).append(call)
    kept = [call for group in calls.values() for call in _ends(group)]
    kept.sort(key=lambda call: call["created"])
    return {"calls": kept, "members": _members(value), "last": _last(value)}


def trace(reduced: Any) -> Trace:
    """Return a reduced dump as a noun."""
    return convert(reduced, Trace)


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON dump, None where it is broken."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _ends(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last calls of a group and the first of those that did not finish."""
    open_ones = [number for number, call in enumerate(calls) if call["state"] != "completed"]
    wanted = {*range(max(0, len(calls) - KEPT), len(calls)), *open_ones[:KEPT]}
    return [calls[number] for number in sorted(wanted)]


def _call(entry: Mapping[str, Any]) -> dict[str, Any]:
    p2p = entry.get("is_p2p") is True
    seq = entry.get("p2p_seq_id" if p2p else "collective_seq_id", entry.get("seq_id"))
    return {
        "group": _group(entry),
        "seq": _int(seq) or 0,
        "op": str(entry.get("profiling_name", "?"))[:120],
        "state": str(entry.get("state", "scheduled"))[:20],
        "retired": entry.get("retired") is True,
        "sizes": _sizes(entry.get("input_sizes")),
        "out_sizes": _sizes(entry.get("output_sizes")),
        "dtypes": [str(each)[:40] for each in _list(entry.get("input_dtypes"))[:8]],
        "created": (_int(entry.get("time_created_ns")) or 0) / 1e9,
        "p2p": p2p,
        "timeout_ms": _int(entry.get("timeout_ms")),
        "frames": _frames(entry.get("frames")),
    }


def _group(entry: Mapping[str, Any]) -> str:
    told = entry.get("process_group")
    if isinstance(told, list | tuple) and told:
        name, described = str(told[0])[:80], str(told[-1])[:80]
        return described if described not in ("", "undefined") else f"group {name}"
    return f"group {entry.get('pg_name', entry.get('pg_id', 0))}"[:80]


def _frames(told: Any) -> list[str]:
    frames = [frame for frame in _list(told)[:FRAMES] if isinstance(frame, Mapping)]
    return [
        f"{str(f.get('name', '?'))[:200]} ({str(f.get('filename', '?'))[:300]}:{_int(f.get('line')) or 0})"
        for f in reversed(frames)
    ]


def _members(value: Mapping[str, Any]) -> dict[str, list[int]]:
    told = value.get("pg_config")
    found: dict[str, list[int]] = {}
    for key, group in told.items() if isinstance(told, Mapping) else ():
        if isinstance(group, Mapping):
            numbers = [int(number) for number in re.findall(r"\d{1,6}", str(group.get("ranks", ""))[:65536])]
            for name in (group.get("desc"), f"group {group.get('name', key)}", f"group {key}"):
                if isinstance(name, str) and numbers:
                    found.setdefault(name[:80], numbers)
    return found


def _last(value: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    told = value.get("pg_status")
    return {
        str(key)[:80]: {str(name)[:80]: number for name, number in status.items() if isinstance(number, int)}
        for key, status in list(told.items() if isinstance(told, Mapping) else ())[:MOST_GROUPS]
        if isinstance(status, Mapping)
    }


def _sizes(told: Any) -> list[list[int]]:
    return [_ints(size) for size in _list(told)[:8]]


def _ints(told: Any) -> list[int]:
    return [number for number in _list(told)[:16] if isinstance(number, int)]


def _list(told: Any) -> list[Any]:
    return list(told) if isinstance(told, list | tuple) else []


def _int(told: Any) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) and abs(told) < 1 << 63 else None


def elements(sizes: Iterable[list[int]]) -> int:
    """Return how many elements tensors of these sizes have together."""
    total = 0
    for size in sizes:
        count = 1
        for length in size:
            count *= length
        total += count
    return total
