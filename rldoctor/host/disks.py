"""Room where a run writes: checkpoints, and what Ray keeps while it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from rldoctor.host.lines import GIB, Line, Status, gib

RAY_STOPS: Final = 0.95
"""Share of a disk in use at which Ray refuses to write objects there."""
FEW_INODES: Final = 0.02
LEAST: Final = {"checkpoints": 100 * GIB, "Ray": 20 * GIB}


def lines(checkpoints: tuple[str, ...]) -> Iterator[Line]:
    """Yield the room in each folder for checkpoints and in Ray's own."""
    if not checkpoints:
        yield from (_quieter(line) for line in _folder("checkpoints", "."))
    for name in checkpoints:
        yield from _folder("checkpoints", name)
    yield from _folder("Ray", os.environ.get("RAY_TMPDIR", "/tmp/ray"))


def _quieter(line: Line) -> Line:
    """Return what is said of a folder that nobody asked for: it need not be the one that is written to."""
    return (
        line
        if line.status == "ok"
        else replace(line, status="note", hint="--checkpoints DIR names the folder")
    )


def _folder(what: str, name: str) -> Iterator[Line]:
    topic = f"disk for {what}"
    path = Path(name).expanduser().absolute()
    here = next(each for each in (path, *path.parents) if each.exists())
    shown = str(path) if here == path else f"{path} (now {here})"
    if not os.access(here, os.W_OK):
        yield Line(topic, "error", f"{shown} may not be written to", values={"path": str(path)})
        return
    found = os.statvfs(here)
    size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    inodes, left = found.f_files, found.f_favail
    values = {
        "path": str(path),
        "size_bytes": size,
        "free_bytes": free,
        "inodes": inodes,
        "inodes_free": left,
    }
    text = f"{shown}: {gib(free)} free of {gib(size)}"
    if inodes and left < FEW_INODES * inodes:
        said = f"{shown}: {left} of {inodes} inodes are left"
        yield Line(topic, "error" if left == 0 else "warning", said, "remove many small files", values)
    if what == "Ray" and size and 1 - free / size >= RAY_STOPS:
        hint = "RAY_TMPDIR=… on a disk with room, or ray start --temp-dir"
        yield Line(topic, "error", f"{text}: Ray stops at {RAY_STOPS:.0%} in use", hint, values)
    elif free < LEAST[what]:
        status: Status = "error" if free < GIB else "warning"
        yield Line(topic, status, text, f"{what}: less than {gib(LEAST[what])} is soon full", values)
    else:
        yield Line(topic, "ok", text, values=values)
