"""What is said of a machine: one line a matter, with its status and its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct, field

Status = Literal["ok", "note", "warning", "error", "unknown"]
GIB: Final = 2**30
MIB: Final = 2**20


class Line(Struct, frozen=True):
    """One matter of the machine: ``values`` are in the units that their names say."""

    topic: str
    status: Status
    text: str
    hint: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


class Asked(Struct, frozen=True):
    """What to look at beyond the machine itself: folders to write to, and ports a run will take."""

    checkpoints: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


def gib(size: float) -> str:
    """Return a size in bytes as people read it."""
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / MIB:.0f} MiB"
