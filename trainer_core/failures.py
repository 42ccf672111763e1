"""From an exception to the event that says what happened."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator
from typing import Any

from trainer_core.types import Failure, Memory, UserError

UNITS = {"B": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
CPU_ASKED = re.compile(r"can't allocate memory: you tried to allocate (\d+) bytes")
CUDA_ASKED = re.compile(r"CUDA out of memory\. Tried to allocate ([\d.]+) (\w+)")
NO_MEMORY = re.compile(
    r"can't allocate memory|Cannot allocate memory|bad_alloc|can't start new thread|out of memory"
)
TIMED_OUT = re.compile(
    r"Timed out waiting (\d+)\s*ms|Watchdog caught collective operation timeout.*?Timeout\(ms\)=(\d+)", re.S
)
TIMED_OUT_WORDS = re.compile(
    r"[Tt]imed out after (\d+) seconds|wait timeout after (\d+)\s*ms|[Cc]ollective.*timed out"
)
LOST = re.compile(
    r"Connection (reset|closed) by|Broken pipe|Connection refused|NCCL error.*remote|socket closed", re.I
)
PORT = re.compile(r"address already in use|EADDRINUSE", re.I)
NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded", re.I)
DECISIVE = ("process_death", "worker_died", "out_of_memory", "disk_full", "nan", "port_in_use", "exception")


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and everything that it came from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        now = waiting.pop()
        if now is None or id(now) in seen:
            continue
        seen.add(id(now))
        yield now
        waiting += [now.__cause__, now.__context__, *getattr(now, "exceptions", ())]


def describe(error: BaseException, *, rank: int | None = None, memory: Memory | None = None) -> Failure:
    """Return what an exception means, as an event's kind and fields."""
    if isinstance(error, UserError):
        return Failure("user_error", str(error), rank=rank)
    text = "\n".join(str(one) for one in causes(error))
    for recognise in (_out_of_memory, _disk_full, _port_in_use, _collective_timeout, _connection_lost):
        found = recognise(error, text, memory or Memory())
        if found:
            kind, fields = found
            break
    else:
        kind, fields = (
            "exception",
            {"type": type(error).__name__, "message": str(error)[:1000], "frame": _frame(error)},
        )
    trace = "".join(traceback.format_exception(error))
    return Failure(kind, f"{type(error).__name__}: {str(error)[:2000]}", fields, trace, rank)


def most_decisive(failures: list[Failure]) -> Failure:
    """Return the failure that the others follow from: a rank that lost its peer only says so."""
    return min(failures, key=lambda f: DECISIVE.index(f.kind) if f.kind in DECISIVE else len(DECISIVE))


def _out_of_memory(error: BaseException, text: str, memory: Memory) -> tuple[str, dict[str, Any]] | None:
    memory_error = any(
        isinstance(e, MemoryError) or getattr(e, "errno", None) == errno.ENOMEM for e in causes(error)
    )
    if not memory_error and not NO_MEMORY.search(text):
        return None
    gpu = CUDA_ASKED.search(text)
    cpu = CPU_ASKED.search(text)
    asked = int(float(gpu[1]) * UNITS.get(gpu[2], 1)) if gpu else int(cpu[1]) if cpu else None
    device = "gpu" if "CUDA" in text else "cpu_limit" if memory.total else "host"
    total = memory.total or None
    fields = {
        "device": device,
        "bytes_asked": asked,
        "bytes_allocated": memory.peak or None,
        "bytes_reserved": memory.reserved or None,
        "bytes_total": total,
        "bytes_free": max(0, total - memory.peak) if total else None,
        "frame": _frame(error),
    }
    return "out_of_memory", fields


def _disk_full(error: BaseException, text: str, _: Memory) -> tuple[str, dict[str, Any]] | None:
    numbers = {getattr(one, "errno", None) for one in causes(error)}
    if numbers & {errno.ENOSPC, errno.EDQUOT} or NO_SPACE.search(text):
        path = next((name for one in causes(error) if (name := getattr(one, "filename", None))), None)
        return "disk_full", {"path": path}
    return None


def _port_in_use(error: BaseException, text: str, _: Memory) -> tuple[str, dict[str, Any]] | None:
    if not PORT.search(text) and errno.EADDRINUSE not in {
        getattr(one, "errno", None) for one in causes(error)
    }:
        return None
    port = re.search(r"port:? (\d+)|:(\d+)\b", text)
    return "port_in_use", {"port": int(port[1] or port[2]) if port else None}


def _collective_timeout(error: BaseException, text: str, _: Memory) -> tuple[str, dict[str, Any]] | None:
    found = TIMED_OUT.search(text)
    if found:
        return "collective_timeout", {"timeout_ms": int(found[1] or found[2]), "frame": _frame(error)}
    words = TIMED_OUT_WORDS.search(text)
    if not words:
        return None
    milliseconds = int(words[1]) * 1000 if words[1] else int(words[2]) if words[2] else None
    return "collective_timeout", {"timeout_ms": milliseconds, "frame": _frame(error)}


def _connection_lost(error: BaseException, text: str, _: Memory) -> tuple[str, dict[str, Any]] | None:
    return ("connection_lost", {"reason": str(error)[:300]}) if LOST.search(text) else None


def _frame(error: BaseException) -> str | None:
    """Return the innermost frame of our own, ``file:line in function``."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "trainer_core" in frame.filename] or list(frames)
    return (
        f"{own[-1].filename.rpartition('trainer_core/')[2]}:{own[-1].lineno} in {own[-1].name}"
        if own
        else None
    )
