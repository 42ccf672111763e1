"""CUDA memory snapshots: what held the memory at the peak, and how much of it was only fragments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rldoctor.dumps.nouns import line
from rldoctor.types import Event, Identity

TOP: Final = 5
FRAMES: Final = 24
LONGEST: Final = 300
NOISE: Final = ("torch/csrc", "c10/", "??", "torch/nn/modules/module.py", "torch/_ops.py", ".cpp", ".h:")
GIB: Final = 1 << 30
Blocks = dict[tuple[int, int], tuple[int, tuple[str, ...]]]


def is_snapshot(value: Any) -> bool:
    """Say whether plain data is a memory snapshot of torch."""
    return isinstance(value, Mapping) and isinstance(value.get("segments"), list | tuple) and (
        "device_traces" in value or "allocator_settings" in value
    )  # fmt: skip


def reduce(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fullest device's numbers and stacks at its peak, as JSON-able values."""
    segments = [segment for segment in value["segments"] if isinstance(segment, Mapping)]
    traces = value.get("device_traces")
    traces = (
        [trace for trace in traces if isinstance(trace, list | tuple)] if isinstance(traces, list) else []
    )
    devices = {_int(segment.get("device")) for segment in segments} | {n for n, t in enumerate(traces) if t}
    told = [_device(number, segments, traces) for number in sorted(devices)]
    return max(told, key=lambda each: (each["asked"] is not None, each["peak"]), default=_nothing())


def _nothing() -> dict[str, Any]:
    return {"device": 0, "asked": None, "free": None, "peak": 0, "reserved": 0, "allocated": 0,
            "largest_free": 0, "holders": [], "frames": [], "recorded": False}  # fmt: skip


def _device(number: int, segments: Sequence[Mapping[str, Any]], traces: Sequence[Any]) -> dict[str, Any]:
    mine = [segment for segment in segments if _int(segment.get("device")) == number]
    trace = [entry for entry in traces[number] if isinstance(entry, Mapping)] if number < len(traces) else []
    live = _live(mine, number)
    allocated = sum(size for size, _ in live.values())
    at, peak = _peak(trace, allocated)
    asked = next((entry for entry in reversed(trace) if entry.get("action") == "oom"), None)
    free = [_int(block.get("size")) for block in _blocks(mine) if block.get("state") == "inactive"]
    return {
        "device": number,
        "asked": _int(asked.get("size")) if asked else None,
        "free": _int(asked.get("device_free", asked.get("addr"))) if asked else None,
        "peak": peak,
        "reserved": sum(_int(segment.get("total_size")) for segment in mine),
        "allocated": allocated,
        "largest_free": max(free, default=0),
        "holders": _holders(_rewound(live, trace[at:])),
        "frames": _stack(asked.get("frames")) if asked else [],
        "recorded": bool(trace),
    }


def _blocks(segments: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for segment in segments:
        blocks = segment.get("blocks")
        for block in blocks if isinstance(blocks, list | tuple) else ():
            if isinstance(block, Mapping):
                yield block


def _live(segments: Sequence[Mapping[str, Any]], device: int) -> Blocks:
    """Return the blocks in use, by address, with their sizes and stacks."""
    live: Blocks = {}
    for segment in segments:
        at = _int(segment.get("address"))
        for block in _blocks([segment]):
            size = _int(block.get("size"))
            address = _int(block.get("address")) or at
            if str(block.get("state", "")).startswith("active"):
                live[device, address] = (size, tuple(_stack(_frames_of(block))))
            at = address + size
    return live


def _frames_of(block: Mapping[str, Any]) -> Any:
    history = block.get("history")
    last = history[0] if isinstance(history, list | tuple) and history else {}
    return block.get("frames") or (last.get("frames") if isinstance(last, Mapping) else None)


def _peak(trace: Sequence[Mapping[str, Any]], allocated: int) -> tuple[int, int]:
    """Return where in the history most was in use, and how much: replayed backwards from the end."""
    best, at, now = allocated, len(trace), allocated
    for number in range(len(trace) - 1, -1, -1):
        entry = trace[number]
        size = _int(entry.get("size"))
        if entry.get("action") == "alloc":
            now -= size
        elif entry.get("action") == "free_completed":
            now += size
        elif entry.get("action") == "oom" and now >= best:
            best, at = now, number
        if now > best:
            best, at = now, number
    return at, best


def _rewound(live: Blocks, undone: Sequence[Mapping[str, Any]]) -> Blocks:
    """Return what was in use before the given end of the history."""
    blocks = dict(live)
    for entry in reversed(undone):
        key = (next(iter(live), (0, 0))[0], _int(entry.get("addr")))
        if entry.get("action") == "alloc":
            blocks.pop(key, None)
        elif entry.get("action") == "free_completed":
            blocks[key] = (_int(entry.get("size")), tuple(_stack(entry.get("frames"))))
    return blocks


def _holders(blocks: Blocks) -> list[list[Any]]:
    """Return the stacks that hold most: bytes, number of blocks, where."""
    by_stack: dict[tuple[str, ...], list[int]] = {}
    for size, stack in blocks.values():
        held = by_stack.setdefault(stack, [0, 0])
        held[0] += size
        held[1] += 1
    top = sorted(by_stack.items(), key=lambda item: -item[1][0])[:TOP]
    return [[size, count, _telling(stack)] for stack, (size, count) in top]


def _telling(stack: Sequence[str]) -> str:
    """Return the two innermost frames that say something, innermost first."""
    said = [frame for frame in reversed(stack) if not any(word in frame for word in NOISE)]
    return " < ".join((said or list(reversed(stack)))[:2]) or "no stack was recorded"


def _stack(told: Any) -> list[str]:
    """Return frames outermost first."""
    frames = [f for f in (told if isinstance(told, list | tuple) else ())[:FRAMES] if isinstance(f, Mapping)]
    said = (
        f"{f.get('name', '?')} ({f.get('filename', '?')}:{_int(f.get('line'))})" for f in reversed(frames)
    )
    return [text[:LONGEST] for text in said]


def _int(told: Any) -> int:
    return told if isinstance(told, int) and 0 <= told < 1 << 63 else 0


def event(found: Mapping[str, Any], file: str, rank: int | None) -> Event:
    """Return an out-of-memory event with what a snapshot shows, the holders at the peak as its lines."""
    reserved, allocated, asked = found["reserved"], found["allocated"], found["asked"]
    fields = {
        "device": "gpu",
        "gpu": found["device"],
        "bytes_asked": asked,
        "bytes_free": found["free"],
        "bytes_allocated": allocated,
        "bytes_reserved": reserved,
        "frames": found["frames"] or None,
        "frame": next(iter(found["frames"][-1:]), None),
        "fragmented": _fragmented(found) if asked else None,
    }
    told = {name: value for name, value in fields.items() if value is not None}
    first = f"{_gib(allocated)} allocated of {_gib(reserved)} reserved, {_gib(found['peak'])} at the peak"
    if asked:
        first = f"asked for {_gib(asked)}: {first}; largest free piece {_gib(found['largest_free'])}"
    texts = [first, *(_held(*holder) for holder in found["holders"])]
    lines = tuple(line(file, text, rank) for text in texts)
    who = Identity(rank=rank)
    return Event("out_of_memory", told, who, None, None, lines, (who,) if rank is not None else ())


def _fragmented(found: Mapping[str, Any]) -> bool:
    """Say whether the free pieces together would have been enough, but no single one was."""
    unused = found["reserved"] - found["allocated"]
    return bool(found["asked"] <= unused and found["asked"] > found["largest_free"])


def _held(size: int, count: int, where: str) -> str:
    return f"held {_gib(size)} in {count} block{'s' * (count != 1)}: {where}"


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB // 10 else f"{size / 2**20:.1f} MiB"
