"""Memory, processors, shared memory, and the limits that a process meets."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from rldoctor.host.lines import GIB, Line, gib

SHM: Final = "/dev/shm"
LEAST_SHM: Final = GIB
GOOD_SHM: Final = 16 * GIB
LEAST_FILES: Final = 4096
GOOD_FILES: Final = 65536
GOOD_PROCESSES: Final = 16384
"""Ray, NCCL and the engines start hundreds of threads a worker, and each counts."""
VERBS: Final = Path("/sys/class/infiniband")
CGROUP: Final = Path("/sys/fs/cgroup")


class Capacity(Struct, frozen=True):
    """What a process here may have of the machine, in bytes and cores."""

    memory: int
    memory_of_machine: int
    available: int
    cpus: int


def capacity(cgroup: Path = CGROUP) -> Capacity:
    """Return memory and processors, as the machine and the container's limits leave them."""
    import psutil

    memory = psutil.virtual_memory()
    limit = _number(cgroup / "memory.max") or _number(cgroup / "memory/memory.limit_in_bytes")
    whole = int(memory.total)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup / "cpu.max")
    mine = min(whole, limit) if limit else whole
    return Capacity(mine, whole, min(int(memory.available), mine), min(cpus, quota) if quota else cpus)


def lines(cgroup: Path = CGROUP) -> Iterator[Line]:
    """Yield what a process here may have."""
    yield _memory(capacity(cgroup))
    yield from shared_memory(SHM)
    yield from _open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield from _processes(resource.getrlimit(resource.RLIMIT_NPROC)[0])
    yield from _pinned(resource.getrlimit(resource.RLIMIT_MEMLOCK)[0], VERBS)
    yield from _pids(cgroup)


def _memory(found: Capacity) -> Line:
    said = f"{gib(found.memory)}, {gib(found.available)} available, {found.cpus} CPU cores"
    limited = found.memory < found.memory_of_machine
    values = {
        "memory_bytes": found.memory,
        "available_bytes": found.available,
        "memory_of_machine_bytes": found.memory_of_machine,
        "cpus": found.cpus,
    }
    if limited:
        said += f" (limited by the container; the machine has {gib(found.memory_of_machine)})"
    return Line("memory", "note" if limited else "ok", said, values=values)


def shared_memory(path: str) -> Iterator[Line]:
    """Yield how large shared memory is: NCCL, data loaders, Ray and weight transfer live in it."""
    if not Path(path).is_dir():
        yield Line("shared memory", "error", f"there is no {path}", "mount a tmpfs there")
        return
    found = os.statvfs(path)
    size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    values = {"size_bytes": size, "free_bytes": free}
    text = f"{path} has {gib(size)}, {gib(free)} free"
    hint = "docker run --shm-size=… or --ipc=host; in Kubernetes an emptyDir with medium: Memory"
    if size < LEAST_SHM or free < LEAST_SHM // 4:
        yield Line("shared memory", "error", f"{text}: NCCL and data loaders fail in it", hint, values)
    elif size < GOOD_SHM:
        yield Line(
            "shared memory", "warning", f"{text}: Ray's object store and engines want more", hint, values
        )
    else:
        yield Line("shared memory", "ok", text, values=values)


def _open_files(soft: int) -> Iterator[Line]:
    values = {"nofile": _said(soft)}
    text = f"open files: {_said(soft)}"
    if soft == resource.RLIM_INFINITY or soft >= GOOD_FILES:
        yield Line("ulimit", "ok", text, values=values)
    else:
        worse = soft < LEAST_FILES
        why = "Ray and its workers run out of them" if worse else "Ray wants 65536 on large clusters"
        yield Line("ulimit", "warning" if worse else "note", f"{text}; {why}", "ulimit -n 1048576", values)


def _processes(soft: int) -> Iterator[Line]:
    values = {"nproc": _said(soft)}
    text = f"processes and threads: {_said(soft)}"
    if soft == resource.RLIM_INFINITY or soft >= GOOD_PROCESSES:
        yield Line("ulimit", "ok", text, values=values)
    else:
        why = "threads of Ray and NCCL reach it (Resource temporarily unavailable)"
        yield Line("ulimit", "warning", f"{text}; {why}", "ulimit -u unlimited", values)


def _pinned(soft: int, verbs: Path) -> Iterator[Line]:
    values = {"memlock": _said(soft)}
    devices = sorted(each.name for each in verbs.iterdir()) if verbs.is_dir() else []
    text = f"locked memory: {_said(soft)}"
    if soft == resource.RLIM_INFINITY or not devices:
        yield Line("ulimit", "ok", text + ("" if devices else " (no RDMA device needs it)"), values=values)
    else:
        hint = "ulimit -l unlimited; docker run --ulimit memlock=-1"
        why = f"NCCL cannot register its buffers with {devices[0]}"
        yield Line("ulimit", "error", f"{text}; {why}", hint, values)


def _pids(cgroup: Path) -> Iterator[Line]:
    """Yield the number of processes and threads that the container may have."""
    for folder in (cgroup, cgroup / "pids"):
        most, now = _number(folder / "pids.max"), _number(folder / "pids.current") or 0
        if most is not None:
            values = {"most": most, "now": now}
            text = f"{now} of {most} processes and threads"
            if most - now < GOOD_PROCESSES:
                hint = "docker run --pids-limit=-1; in Kubernetes podPidsLimit of the kubelet"
                yield Line("pids of the container", "warning", text, hint, values)
            else:
                yield Line("pids of the container", "ok", text, values=values)
            return


def _quota(file: Path) -> int | None:
    """Return the whole cores that a container's share of the processors amounts to."""
    words = _text(file).split()
    if len(words) != 2 or words[0] == "max":
        return None
    return max(1, int(words[0]) // int(words[1]))


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isdecimal() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip() if file.is_file() else ""
    except OSError:  # a limit that may not be read is none that is known
        return ""


def _said(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
