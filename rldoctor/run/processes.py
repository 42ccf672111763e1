"""The process tree of a run: started, asked to stop, ended to the last grandchild."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

import rldoctor
from rldoctor.types import RLDoctorError

MARK: Final = "RLDOCTOR_RUN"
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_LIBC: Final = ctypes.CDLL(None)
KILL_SECONDS: Final = 20.0
POLL: Final = 0.05

Child = subprocess.Popen[bytes]


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none can be lost."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(command: Sequence[str], folder: Path, log: Path) -> Child:
    """Start a command in a session of its own, its output in a log; it is told when this process dies."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_environment(folder),
                preexec_fn=_stop_with_parent,
            )
        except OSError as error:
            raise RLDoctorError(f"cannot start {command[0]}: {error.strerror}") from error


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of the run: marked, and able to import the trainer beside this package."""
    parts = [os.environ.get("PYTHONPATH", ""), str(Path(rldoctor.__file__).parent.parent)]
    path = os.pathsep.join(part for part in parts if part)
    return os.environ | {MARK: str(folder), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _stop_with_parent() -> None:
    """Have the kernel send SIGTERM (a checkpoint, then the end) when the supervisor is killed."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def of_run(folder: Path) -> list[psutil.Process]:
    """Return the processes of a run: all descendants, and those that carry its mark wherever they are."""
    own = os.getpid()
    found = {process.pid: process for process in psutil.Process(own).children(recursive=True)}
    for process in psutil.process_iter():
        if process.pid != own and process.pid not in found and _is_marked(process, str(folder)):
            found[process.pid] = process
    return [process for process in found.values() if _is_alive(process)]


def _is_marked(process: psutil.Process, folder: str) -> bool:
    with suppress(psutil.Error, OSError):  # ended meanwhile, or another user's
        return process.environ().get(MARK) == folder
    return False


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # ended meanwhile
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def end_all(folder: Path, child: Child | None, grace: float = 0.0) -> int:
    """End every process of a run, politely for so many seconds first; return how many had to be killed."""
    left = of_run(folder)
    if grace and left:
        _send(left, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while (left := of_run(folder)) and time.monotonic() < deadline:
            reap(child)
            time.sleep(POLL)
    killed = len(left)
    deadline = time.monotonic() + KILL_SECONDS
    while left and time.monotonic() < deadline:
        _send(left, signal.SIGKILL)
        time.sleep(POLL)
        reap(child)
        left = of_run(folder)
    return killed


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):  # ended meanwhile
            process.send_signal(number)


def reap(child: Child | None) -> None:
    """Collect orphans that ended as children of this process; the child itself keeps its exit code."""
    with suppress(ChildProcessError):  # nobody is left
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if child is not None and ended.si_pid == child.pid:
                if child.poll() is None:
                    return
            else:
                os.waitpid(ended.si_pid, os.WNOHANG)


def driver(folder: Path, fallback: int) -> int:
    """Return the process that listens to signals: the one that holds the trainer's lock, else the given."""
    lock = folder / "lock"
    words = lock.read_text(errors="replace").strip() if lock.exists() else ""
    pid = int(words) if words.isdigit() else 0
    if pid and psutil.pid_exists(pid) and _is_marked(psutil.Process(pid), str(folder)):
        return pid
    return fallback


def signal_driver(folder: Path, child: Child, number: signal.Signals) -> None:
    """Send a signal to the driver, if it still lives."""
    with suppress(ProcessLookupError):  # it ended meanwhile
        os.kill(driver(folder, child.pid), number)


def signal_group(child: Child, number: signal.Signals) -> None:
    """Send a signal to a command and all that it started in its own session."""
    with suppress(ProcessLookupError):  # it ended meanwhile
        os.killpg(child.pid, number)
