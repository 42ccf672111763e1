"""The kernel's log, where it may be read: faults of GPUs (Xid), and processes that were killed for memory."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from rldoctor.host.lines import Line

BUFFER: Final = Path("/dev/kmsg")
MOST_RECORDS: Final = 100_000
_XID: Final = re.compile(r"NVRM: Xid \((?P<where>[^)]*)\): (?P<code>\d+)")
_KILLED: Final = re.compile(
    r"(?:Out of memory|Memory cgroup out of memory): Killed process \d+ \((?P<name>[^)]*)\)"
)
OF_PROGRAMS: Final = frozenset((13, 31, 43, 45, 68, 109, 154))
"""Codes that a program's own fault gives too: no word against the card."""
MEANINGS: Final = {
    48: "double-bit ECC error",
    63: "row remapping or page retirement",
    64: "row remapping failed",
    74: "NVLink error",
    79: "the GPU has fallen off the bus",
    92: "many single-bit ECC errors",
    94: "contained memory error",
    95: "uncontained memory error",
    119: "the GPU's system processor does not answer",
    120: "error of the GPU's system processor",
}


def lines(buffer: Path = BUFFER) -> Iterator[Line]:
    """Yield what the kernel said since boot of GPUs and of memory."""
    records = messages(buffer)
    if records is None:
        yield Line(
            "kernel log", "unknown", "may not be read here, so Xid errors stay unseen", "as root: dmesg -T"
        )
        return
    yield from _judged(records)


def _judged(records: list[str]) -> Iterator[Line]:
    seen: Counter[tuple[int, str]] = Counter()
    killed: Counter[str] = Counter()
    for text in records:
        if found := _XID.search(text):
            seen[int(found["code"]), found["where"]] += 1
        elif found := _KILLED.search(text):
            killed[found["name"]] += 1
    for (code, where), times in sorted(seen.items()):
        meaning = f" ({MEANINGS[code]})" if code in MEANINGS else ""
        text = f"Xid {code}{meaning} at {where}, {times} time{'s' * (times != 1)} since boot"
        if code in OF_PROGRAMS:
            yield Line("kernel log", "note", text, "a program's own fault gives this code too")
        else:
            yield Line("kernel log", "error", text, "take the node out and have the GPU reset or replaced")
    for name, times in killed.most_common(3):
        text = f"killed {name} for memory, {times} time{'s' * (times != 1)} since boot"
        yield Line("kernel log", "warning", text, "give the job more host memory, or less to hold")
    if not seen and not killed:
        yield Line("kernel log", "ok", "no Xid, nothing killed for memory since boot")


def messages(buffer: Path) -> list[str] | None:
    """Return the records of the kernel's ring buffer, None where it may not be read."""
    found: list[str] = []
    with suppress(OSError):  # no right to read it, as in most containers
        handle = os.open(buffer, os.O_RDONLY | os.O_NONBLOCK)
        try:
            _drain(handle, found)
        finally:
            os.close(handle)
        return found
    return None


def _drain(handle: int, found: list[str]) -> None:
    while len(found) < MOST_RECORDS:
        try:
            record = os.read(handle, 8192)
        except BlockingIOError:  # the end of the ring buffer
            return
        except BrokenPipeError:  # the oldest record was overwritten meanwhile
            continue
        if not record:
            return
        found += record.decode("utf-8", "replace").splitlines()
