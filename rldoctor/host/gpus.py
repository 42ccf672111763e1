"""GPUs through NVML: memory, faults, and who else is on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, Final

from rldoctor.host.lines import GIB, MIB, Line, gib

MOST_USED: Final = GIB
"""More than what a driver keeps for itself on an idle GPU."""
SLOWED: Final = {0x8: "hardware slowdown", 0x40: "thermal slowdown", 0x80: "power brake"}


def lines() -> Iterator[Line]:
    """Yield what NVML tells of each GPU; one line where there is none."""
    nvml = library()
    if isinstance(nvml, str):
        yield Line("gpus", "note", f"no GPU: {nvml}", values={"count": 0})
        return
    count = int(nvml.nvmlDeviceGetCount())
    driver, cuda = _text(nvml.nvmlSystemGetDriverVersion()), _cuda(nvml)
    if not count:
        yield Line("gpus", "note", f"no GPU: driver {driver} sees none", values={"count": 0})
        return
    devices = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    names = list(dict.fromkeys(_text(nvml.nvmlDeviceGetName(device)) for device in devices))
    totals = [int(nvml.nvmlDeviceGetMemoryInfo(device).total) for device in devices]
    values = {"count": count, "driver": driver, "cuda": cuda, "names": names, "memory_bytes": min(totals)}
    mixed = len(names) > 1 or max(totals) - min(totals) > GIB
    yield Line(
        "gpus",
        "warning" if mixed else "ok",
        f"{count} × {', '.join(names)}, {gib(min(totals))} each, driver {driver}, CUDA up to {cuda}",
        "GPUs of different kinds in one job wait for the slowest and the smallest" if mixed else "",
        values,
    )
    yield from _visible(count)
    for index, device in enumerate(devices):
        yield from _device(nvml, index, device)


def library() -> Any:
    """Return NVML, started; a text that says why there is none."""
    try:
        import pynvml
    except ImportError:
        return "nvidia-ml-py is not installed, so no GPU can be seen"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return str(error)
    return pynvml


def _visible(count: int) -> Iterator[Line]:
    """Yield what CUDA_VISIBLE_DEVICES hides."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is None:
        return
    shown = [word for word in told.split(",") if word.strip() not in ("", "-1")]
    strange = [word for word in shown if word.strip().isdecimal() and int(word) >= count]
    if strange:
        text = f"CUDA_VISIBLE_DEVICES={told} names GPU {strange[0]}, there are {count}"
        yield Line("gpus visible", "error", text, "CUDA stops at the first number that is no GPU")
    elif len(shown) < count:
        yield Line("gpus visible", "note", f"CUDA_VISIBLE_DEVICES={told}: {len(shown)} of {count} GPUs")


def _device(nvml: Any, index: int, device: Any) -> Iterator[Line]:
    topic = f"gpu {index}"
    faults = [*_ecc(nvml, device), *_rows(nvml, device)]
    if faults:
        hint = "take the node out of the job and have the GPU reset or replaced"
        yield Line(topic, "error", "; ".join(faults), hint)
    if (_asked(nvml, "nvmlDeviceGetEccMode", device) or (1, 1))[0] == 0:
        yield Line(topic, "note", "ECC is off: a flipped bit goes unseen", "nvidia-smi -e 1, then a reset")
    for text in _slow(nvml, device):
        yield Line(topic, "warning", text, "the whole job waits for this GPU: look at cooling and power")
    if _asked(nvml, "nvmlDeviceGetComputeMode", device) not in (None, 0):
        yield Line(
            topic,
            "warning",
            "compute mode is exclusive: one process alone may use this GPU",
            "nvidia-smi -c DEFAULT; a trainer and an engine that share it are two processes",
        )
    yield _occupied(nvml, topic, device)


def _occupied(nvml: Any, topic: str, device: Any) -> Line:
    memory = nvml.nvmlDeviceGetMemoryInfo(device)
    used, free = int(memory.used), int(memory.free)
    others = [process for process in _processes(nvml, device) if process["pid"] != os.getpid()]
    values = {"used_bytes": used, "free_bytes": free, "processes": others}
    said = f"{gib(free)} free of {gib(int(memory.total))}"
    if not others and used <= MOST_USED:
        return Line(topic, "ok", f"{said}, no other process", values=values)
    who = ", ".join(f"{each['pid']} {each['name']} {each['memory_mib']} MiB" for each in others[:4])
    text = f"{said}; taken by {who}" if who else f"{said}; taken by processes that cannot be seen from here"
    return Line(topic, "warning", text, "end what an earlier run left (ray stop --force), or wait", values)


def _processes(nvml: Any, device: Any) -> list[dict[str, Any]]:
    import psutil

    found = []
    for process in _asked(nvml, "nvmlDeviceGetComputeRunningProcesses", device) or ():
        name = (
            psutil.Process(process.pid).name() if psutil.pid_exists(process.pid) else "(of another container)"
        )
        found.append({"pid": process.pid, "name": name, "memory_mib": int(process.usedGpuMemory or 0) // MIB})
    return found


def _ecc(nvml: Any, device: Any) -> Iterator[str]:
    count = _asked(
        nvml,
        "nvmlDeviceGetTotalEccErrors",
        device,
        nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
        nvml.NVML_VOLATILE_ECC,
    )
    if count:
        yield f"{count} uncorrectable ECC error{'s' * (count != 1)} since the driver was loaded"


def _rows(nvml: Any, device: Any) -> Iterator[str]:
    found = _asked(nvml, "nvmlDeviceGetRemappedRows", device)
    if found is None:
        return
    _, _, pending, failed = found
    if failed:
        yield "a memory row could not be remapped"
    if pending:
        yield "a memory row waits for a reset to be remapped"


def _slow(nvml: Any, device: Any) -> Iterator[str]:
    reasons = _asked(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", device) or 0
    for bit, name in SLOWED.items():
        if reasons & bit:
            yield f"the clocks are held down: {name}"


def _asked(nvml: Any, name: str, *words: Any) -> Any:
    """Return what NVML answers, None where this GPU or driver does not support the question."""
    ask: Callable[..., Any] = getattr(nvml, name)
    try:
        return ask(*words)
    except nvml.NVMLError:  # many questions are for some cards alone
        return None


def _cuda(nvml: Any) -> str:
    number = int(_asked(nvml, "nvmlSystemGetCudaDriverVersion_v2") or 0)
    return f"{number // 1000}.{number % 1000 // 10}" if number else "?"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
