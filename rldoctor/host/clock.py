"""Whether the clock is kept by a time server: logs of several nodes are put in order by it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Final

from rldoctor.host.lines import Line

UNSYNCHRONISED: Final = 0x40
_SIZE: Final = 512
_STATUS_AT: Final = 40
"""Where ``status`` stands in ``struct timex`` of 64-bit Linux."""


def lines() -> Iterator[Line]:
    """Yield whether the kernel's clock is synchronised; nothing is changed."""
    yield judged(_status())


def judged(status: int | None) -> Line:
    """Return the line for the kernel's own word on its clock."""
    if status is None:
        return Line("clock", "unknown", "the kernel does not tell whether it is synchronised")
    if status & UNSYNCHRONISED:
        text = "not synchronised: logs of several nodes cannot be put in order"
        return Line("clock", "warning", text, "start chronyd or systemd-timesyncd on the host")
    return Line("clock", "ok", "synchronised")


def _status() -> int | None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "adjtimex") or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    buffer = (ctypes.c_char * _SIZE)()  # all zero: modes 0 reads and sets nothing
    if libc.adjtimex(buffer) < 0:
        return None
    return ctypes.c_int.from_buffer(buffer, _STATUS_AT).value
