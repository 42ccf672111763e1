"""Whether any process still writes to files: how a run that is followed is seen to have ended."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

PROCESSES: Final = Path("/proc")
WRITES: Final = os.O_WRONLY | os.O_RDWR


def are_written(files: Collection[str]) -> bool:
    """Say whether a process of this machine, as far as it may be seen, has one of the files open to write."""
    wanted = {os.path.realpath(file) for file in files}
    return any(_writes(process, wanted) for process in _others())


def _others() -> Iterator[Path]:
    mine = str(os.getpid())
    try:
        found = list(PROCESSES.iterdir())
    except OSError:  # not Linux: nobody can be seen
        return
    yield from (process for process in found if process.name.isdigit() and process.name != mine)


def _writes(process: Path, wanted: Collection[str]) -> bool:
    try:
        numbers = list((process / "fd").iterdir())
    except OSError:  # ended meanwhile, or another user's
        return False
    return any(_leads_to(number, wanted) for number in numbers)


def _leads_to(number: Path, wanted: Collection[str]) -> bool:
    try:
        if str(number.readlink()) not in wanted:
            return False
        told = (number.parents[1] / "fdinfo" / number.name).read_text()
    except OSError:  # closed meanwhile
        return False
    flags = next((line.split()[1] for line in told.splitlines() if line.startswith("flags:")), "0")
    return bool(int(flags, 8) & WRITES)
