"""A small process that outlives the driver and ends what a Ray cluster of its own left behind."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

MARK = "TRAINER_CORE_CLUSTER"
GRACE_SECONDS, ROUNDS = 2.0, 5


def watch(folder: Path) -> subprocess.Popen[bytes]:
    """Mark processes started from now on, and have them ended after this one ends, however it does."""
    mark = secrets.token_hex(8)
    code = f"from trainer_core.cluster.guard import keep; keep({mark!r}, {str(folder)!r})"
    path = os.pathsep.join(part for part in [str(Path.cwd()), *sys.path] if part)
    guard = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    os.environ[MARK] = mark
    return guard


def keep(mark: str, folder: str) -> None:
    """Wait for the end of the driver, who holds stdin's other end; end its cluster, remove its folder."""
    driver = os.getppid()  # it has files of the folder open, too, while it ends in order
    sys.stdin.read()
    for _ in range(ROUNDS):
        if not members(mark, folder) - {driver}:
            break
        time.sleep(GRACE_SECONDS)
        for pid in members(mark, folder) - {driver}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def members(mark: str, folder: str) -> set[int]:
    """Return the processes of a cluster, this one left out."""
    found = (entry for entry in Path("/proc").glob("[0-9]*") if _is_member(entry, mark, folder))
    return {int(entry.name) for entry in found} - {os.getpid()}


def _is_member(entry: Path, mark: str, folder: str) -> bool:
    """Say whether a process carries the mark, or has a file of the folder open.

    Ray's agents write their titles over their environment.
    """
    with suppress(OSError):  # it ended meanwhile, or is somebody else's
        if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
            return True
        return any(str(file.readlink()).startswith(f"{folder}/") for file in (entry / "fd").iterdir())
    return False
