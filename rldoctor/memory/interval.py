"""Intervals: how far a peak may lie from its estimate in nine of ten cases."""

from __future__ import annotations

from msgspec import Struct

from rldoctor.memory.layout import GIB, Setup
from rldoctor.memory.phases import Phase, Target

MOVING = {"allocated": 0.16, "reserved": 0.12, "device": 0.12}
"""Share of what comes and goes by which a peak may be off: the 90 % quantile on measured runs, each
family left out in turn (benchmarks/memory_points.py prints it)."""
FIXED_GIB = {"allocated": 0.6, "reserved": 0.6, "device": 1.0}
"""What every peak may be off by: workspaces, and for the device contexts and NCCL's buffers."""
ON_CPU_GIB = 0.02
"""The same for the data segment of a process on CPU: buffers of BLAS and of the C library."""
ENGINE = 0.12
"""Share of an engine in the trainer's own process by which it may be off: its buffers are not counted."""
WIDEST = 0.15
CALIBRATED = 1.5
"""Times the spread that a calibration left: few points say little about their own spread."""


class Interval(Struct, frozen=True):
    """A peak in bytes with the ends that hold in nine of ten cases."""

    low: float
    middle: float
    high: float

    @property
    def half(self) -> float:
        """Return half the width, as a share of the middle."""
        return (self.high - self.low) / 2 / self.middle if self.middle else 0.0


def around(setup: Setup, phase: Phase, target: Target) -> Interval:
    """Return the interval of a phase's target."""
    middle = phase.of(target)
    if setup.free.points:
        half = max(0.01, CALIBRATED * setup.free.spread) * middle
    else:
        moving = max(0.0, phase.allocated - phase.resident)
        inside = sum(term.bytes for term in phase.terms if term.name in ("KV cache", "engine weights"))
        fixed = ON_CPU_GIB if setup.on_cpu else FIXED_GIB[target]
        half = MOVING[target] * moving + ENGINE * inside + fixed * GIB
        half = min(half, max(WIDEST * middle, fixed * GIB))
    return Interval(max(phase.resident if half else middle, middle - half), middle, middle + half)
