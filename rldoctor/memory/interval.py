"""Intervals: how far a peak may lie from its estimate in nine of ten cases."""

from __future__ import annotations

from msgspec import Struct

from rldoctor.memory.layout import GIB, Setup
from rldoctor.memory.phases import Phase, Target

MOVING = 0.08
"""Share of what comes and goes by which a peak may be off. This and the shares below hold in nine of ten
measured runs, each setup left out in turn (benchmarks/memory_points.py prints it)."""
ROUTED = 0.15
"""The same again under expert parallelism: how many rows the fullest rank gets is up to the router."""
FP8 = 0.20
"""The same again in fp8: which tensors are kept in one byte, and which twice, hangs on the recipe."""
FRAGMENTS = 0.12
"""The same again for reserved bytes without expandable segments: what fragmentation leaves differs by run."""
ENGINE = 0.3
"""Share of the graphs of an engine in the trainer's own process: which sizes it captures is up to it."""
FIXED_GIB = {"allocated": 0.5, "reserved": 0.5, "device": 1.0}
"""What every peak may be off by: workspaces, and for the device contexts and NCCL's buffers."""
ON_CPU_GIB = 0.02
"""The same for the data segment of a process on CPU: buffers of BLAS and of the C library."""
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
        fixed = (ON_CPU_GIB if setup.on_cpu else FIXED_GIB[target]) * GIB
        half = min(_open(setup, phase, target) + fixed, max(WIDEST * middle, fixed))
    return Interval(max(phase.resident if half else middle, middle - half), middle, middle + half)


def _open(setup: Setup, phase: Phase, target: Target) -> float:
    """Return the bytes by which what is counted may be off."""
    moving = max(0.0, phase.allocated - phase.resident)
    inside = sum(term.bytes for term in phase.terms if term.name == "engine graphs")
    share = MOVING
    if setup.parallel.ep > 1 and setup.shape.num_experts:
        share += ROUTED
    if setup.kernels.fp8 and setup.kernels.stack == "te":
        share += FP8
    if target != "allocated" and not setup.expandable and not setup.on_cpu:
        share += FRAGMENTS
    return share * moving + ENGINE * inside
