"""Out of memory, whichever allocator said it: the GPU's, the host's, or a limit on a process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from rldoctor.logs import phases
from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.failures import Failure
from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

GPU: Final = (
    "out of memory. Tried to allocate",
    "/(?:CUDA|HIP) (?:driver )?[Ee]rror: out of memory|Triton Error \\[(?:CUDA|HIP)\\]: out of memory/",
    "/Error: (?:CUDA|HIP|NPU|XPU) out of memory/",
    "hipErrorOutOfMemory",
    "/(?:torch|torch\\.cuda|cuda)\\.OutOfMemoryError/",
    "RayTaskError(OutOfMemoryError)",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "cudaErrorMemoryAllocation",
    "/Cuda failure '?(?:2 )?'?out of memory/",
    "/EL0004: |\\[Error\\]: Failed to apply for memory/",
)
HOST: Final = (
    "/(?:was|were) killed due to the node running low on memory/",
    "/Killing \\d+ worker\\(s\\), kill details: Memory on the node/",
    "exceeds the memory usage threshold of",
    "/[1-9]\\d* Workers \\(tasks / actors\\) killed due to memory pressure/",
    "/[Oo]ut of memory: Kill(?:ed)? process/",
    "Memory cgroup out of memory",
    "/[Dd]etected [1-9]\\d* oom[_-]kill event/",
    "invoked oom-killer",
    "exceeded K8s pod memory limits",
    "/[Rr]eason:? OOMKilled/",
    "/(?:OSError: )?\\[Errno 12\\] Cannot allocate memory/",
)
LIMIT: Final = (
    "/can't allocate memory: you tried to allocate \\d+ bytes/",
    "/(?:^|[^A-Za-z.])MemoryError(?::|$)/",
)
PATTERNS: Final = (*GPU, *HOST, *LIMIT)

NEAR: Final = 6  # lines around a bare message in which a torn stack may tell the phase
UNITS: Final = {"": 1, "B": 1, "BYTES": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
UNITS.update({"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40})
SIZE: Final = r"(?P<{0}>\d[\d.]{{0,20}}) ?(?P<{0}_unit>[KMGT]i?B|bytes|B)"
AMOUNTS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        "[Tt]ried to allocate " + SIZE.format("bytes_asked"),
        SIZE.format("bytes_total") + r" total capacity|total capacity of " + SIZE.format("total2"),
        r"of which " + SIZE.format("bytes_free") + r" is free|; " + SIZE.format("free2") + r" free;",
        SIZE.format("bytes_allocated") + r" (?:is allocated by PyTorch|already allocated)",
        SIZE.format("unallocated") + r" is reserved by PyTorch but unallocated",
        SIZE.format("bytes_reserved") + r" reserved in total",
    )
)
ALIASES: Final = {"total2": "bytes_total", "free2": "bytes_free"}
DEVICE: Final = re.compile(r"\bGPU (\d{1,4})\b|\(GPU (\d{1,4});")
RAY_TASK: Final = re.compile(r"where the task \((?:[^()]{0,200}, )?name=([\w.]{1,200})")
RAY_USED: Final = re.compile(r"was (?P<used>[\d.]+)GB (?:used )?/ (?P<total>[\d.]+)GB (?:limit )?\([\d.]+\)")


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield each sighting of an allocator that could not give what was asked for."""
    for device, patterns in (("gpu", GPU), ("host", HOST), ("cpu_limit", LIMIT)):
        for line in seen.lines(*patterns):
            if device == "gpu" and "ray.exceptions.OutOfMemoryError" in line.text:
                continue
            yield _sighting(seen, line, device)


def _sighting(seen: Seen, line: LogLine, device: str) -> Sighting:
    failure = seen.failure_at(line)
    text = _whole(seen, line, failure)
    fields: dict[str, Any] = {"device": device, **amounts(text)}
    if device == "host":
        fields.update(_ray_amounts(text))
    frames = failure.frames if failure else ()
    task = RAY_TASK.search(text)
    near = [] if frames else [line, *reversed(seen.before(line, NEAR)), *seen.after(line, NEAR)]
    pieces = [other.text for other in near if other.who == line.who]
    torn = phases.of_text(pieces)
    fields["phase"] = torn or seen.phase(line, frames, task[1] if task else failure.call if failure else None)
    fields["step"] = seen.step(line)
    if frames:
        fields["frames"] = [str(frame) for frame in frames]
        fields["frame"] = str((failure.user_frame if failure else None) or frames[-1])
    elif torn:
        fields["frame"] = next(text.strip() for text in pieces if phases.of_text([text]) == torn)
    who = failure.who if failure else line.who
    return sighting("out_of_memory", line, fields, (device, _family(fields["phase"])), who)


def _family(phase: str | None) -> str | None:
    """Return the main phase: a driver names train what a worker names train.backward."""
    return None if phase is None else phase.partition(".")[0]


def _whole(seen: Seen, line: LogLine, failure: Failure | None) -> str:
    """Return the message with the lines on which it goes on."""
    if failure is not None:
        told = next(
            (
                link.message
                for link in failure.chain
                if link.line.number == line.number and link.line.file == line.file
            ),
            "",
        )
        if len(told) > 40:
            return told
    return "\n".join([line.text, *(other.text for other in seen.after(line, 2))])


def amounts(text: str) -> dict[str, Any]:
    """Return the bytes that an allocator's message tells, and the GPU."""
    found: dict[str, Any] = {}
    for pattern in AMOUNTS:
        match = pattern.search(text)
        for name, value in (match.groupdict() if match else {}).items():
            if value is not None and not name.endswith("_unit"):
                assert match is not None
                found[ALIASES.get(name, name)] = _bytes(value, match[f"{name}_unit"])
    rest = found.pop("unallocated", None)
    if rest is not None and "bytes_allocated" in found:
        found["bytes_reserved"] = found["bytes_allocated"] + rest
    device = DEVICE.search(text)
    if device:
        found["gpu"] = int(device[1] or device[2])
    return {name: value for name, value in found.items() if value is not None}


def _ray_amounts(text: str) -> dict[str, Any]:
    used = RAY_USED.search(text)
    if used is None:
        return {}
    total = _bytes(used["total"], "GiB")
    taken = _bytes(used["used"], "GiB")
    if total is None or taken is None:
        return {}
    return {"bytes_total": total, "bytes_allocated": taken, "bytes_free": max(0, total - taken)}


def _bytes(number: str, unit: str) -> int | None:
    try:
        return round(float(number) * UNITS[unit.upper()])
    except ValueError:  # 1.2.3 is no number
        return None
