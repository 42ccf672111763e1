"""What a rank's memory is, and where it ends: the device's on CUDA, a limit on the data segment on CPU."""

from __future__ import annotations

import ctypes
import os
import resource
import threading
from pathlib import Path
from typing import Protocol

import torch

from trainer_core.types import Memory, UserError

GIB = 1 << 30
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.002
MAPPED_FROM_BYTES, KEPT_BYTES = 1 << 25, 1 << 24
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Meter(Protocol):
    """Reads a rank's memory."""

    def sample(self) -> None:
        """Look once; call it where much is held."""

    def reset_peak(self) -> None:
        """Begin a new peak."""

    def read(self) -> Memory:
        """Return what is held now, and the peak since the last reset."""

    def close(self) -> None:
        """End the sampling."""


def data_bytes() -> int:
    """Return the private writable memory of this process: what ``RLIMIT_DATA`` limits."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - read thousands of times
        return int(file.read().split()[5]) * PAGE


class NoMeter:
    """Reads nothing."""

    def sample(self) -> None:
        """Do nothing."""

    def reset_peak(self) -> None:
        """Do nothing."""

    def read(self) -> Memory:
        """Return zeros."""
        return Memory()

    def close(self) -> None:
        """Do nothing."""


class CpuMeter:
    """Samples the data segment above its size at the start; with a limit the allocator fails beyond it."""

    def __init__(self, limit_gib: float | None) -> None:
        if limit_gib is not None:
            _return_freed_memory()
        self._start = data_bytes()
        self._limit = int(limit_gib * GIB) if limit_gib is not None else 0
        self._peak = self._start
        if self._limit:
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (self._start + self._limit, hard))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.sample()

    def close(self) -> None:
        """End the sampling."""
        self._ended.set()
        self._thread.join()

    def sample(self) -> None:
        """Look once."""
        self._peak = max(self._peak, data_bytes())

    def reset_peak(self) -> None:
        """Begin a new peak."""
        self._peak = data_bytes()

    def read(self) -> Memory:
        """Return bytes above the start; a data segment has no reserve apart from what it holds."""
        now = data_bytes()
        peak = max(self._peak, now) - self._start
        return Memory(now - self._start, peak, peak, self._limit)


class CudaMeter:
    """Reads the caching allocator of the current device."""

    def __init__(self, limit_gib: float | None) -> None:
        self._total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        if limit_gib is not None:
            torch.cuda.set_per_process_memory_fraction(min(1.0, limit_gib * GIB / self._total))
            self._total = min(self._total, int(limit_gib * GIB))

    def sample(self) -> None:
        """Do nothing: the allocator knows its own peak."""

    def reset_peak(self) -> None:
        """Begin a new peak."""
        torch.cuda.reset_peak_memory_stats()

    def read(self) -> Memory:
        """Return what the allocator says."""
        return Memory(
            torch.cuda.memory_allocated(),
            torch.cuda.max_memory_allocated(),
            torch.cuda.max_memory_reserved(),
            self._total,
        )

    def close(self) -> None:
        """Do nothing: nothing samples."""


def _return_freed_memory() -> None:
    """Let glibc map large tensors one by one and keep little else, so that freed memory leaves."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def meter(device: torch.device, limit_gib: float | None) -> Meter:
    """Return the meter of a device, its limit in force."""
    if device.type == "cuda":
        return CudaMeter(limit_gib)
    if Path("/proc/self/statm").exists():
        return CpuMeter(limit_gib)
    if limit_gib is not None:
        raise UserError(
            "cluster.worker_memory_limit_gib: only Linux can limit the memory of a process on CPU"
        )
    return NoMeter()
