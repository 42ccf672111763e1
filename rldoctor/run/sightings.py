"""What the supervisor itself sees of a run's end, as events like the trainer's own."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from rldoctor.run.watch import End

FILE: Final = Path("logs/supervisor/events.jsonl")
RESERVE: Final = Path("logs/supervisor/reserve")
FULL_BYTES: Final = 1 << 16
_OOM_COUNTS: Final = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


def kernel_kills() -> int:
    """Return how many processes the kernel has killed for want of memory in this control group."""
    for path in _OOM_COUNTS:
        with suppress(OSError):  # not this version of control groups
            words = dict(line.split(maxsplit=1) for line in path.read_text().splitlines() if " " in line)
            return int(words.get("oom_kill", 0))
    return 0


def keep_reserve(folder: Path) -> None:
    """Keep a little room on the disk, so that a full one does not take the last words, too."""
    path = folder / RESERVE
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # full already: then there is none
        path.write_bytes(b"\0" * FULL_BYTES)


def free_reserve(folder: Path) -> None:
    """Give the room back."""
    (folder / RESERVE).unlink(missing_ok=True)


def of_end(end: End, folder: Path, kernel_killed: bool) -> Iterator[Mapping[str, Any]]:
    """Yield events of an end that the trainer did not explain itself."""
    where = {"phase": end.phase, "step": end.step}
    if end.hung is not None:
        yield _event("hang", seconds=round(end.hung, 1), last_event=end.last.get("kind"), **where)
        return
    if kernel_killed:
        yield _event("out_of_memory", device="host", process="trainer", **where)
        return
    if end.spoke:
        return
    free = shutil.disk_usage(folder).free
    if end.code > 0 and free < FULL_BYTES:
        yield _event("disk_full", path=str(folder), bytes_free=free, **where)
    elif end.signal:
        yield _event("process_death", signal=end.signal, process="trainer", **where)


def _event(kind: str, **fields: Any) -> Mapping[str, Any]:
    known = {name: value for name, value in fields.items() if value is not None}
    return {"v": 1, "t": round(time.time(), 6), "kind": kind, **known}


def write(folder: Path, events: list[Mapping[str, Any]]) -> list[str]:
    """Append events to the supervisor's file; return its path where there is one to read."""
    path = folder / FILE
    if events:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(event) + "\n" for event in events)
    return [str(path)] if path.exists() else []
