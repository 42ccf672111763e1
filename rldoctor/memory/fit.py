"""Calibration: a run's own peaks fit the free terms of that very setup, robustly and with few points."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import combinations

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.memory.layout import GIB, Batch, Free, Setup
from rldoctor.memory.phases import Target, fullest, train

SCALES = (0.5, 2.0)
"""Beyond these a measured peak does not belong to the setup."""


class Measured(Struct, frozen=True):
    """A peak that was seen: bytes of a target, and the tokens of the largest micro-batch then."""

    target: Target
    bytes: float
    tokens: int | None = None


class Calibration(Struct, frozen=True):
    """What a fit found: the free terms, and each point's relative error before and after."""

    free: Free
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def worst(self) -> float:
        """Return the largest error that is left."""
        return max((abs(error) for error in self.after), default=0.0)


def calibrate(setup: Setup, seen: Sequence[Measured]) -> Calibration:
    """Return the free terms that make a setup's estimates meet measured peaks of training.

    One scale of all that comes and goes, from medians, so that one odd step does not count; with
    different token counts also an offset (Theil and Sen's slope).
    """
    plain = replace(setup, free=replace(setup.free, scale=1.0, offset=0.0, points=0, spread=0.0))
    before = tuple(_error(plain, each) for each in seen)
    if not seen:
        return Calibration(plain.free, (), ())
    pairs = [(*_split(plain, each), each.bytes) for each in seen]
    scale, offset = _line(pairs)
    free = replace(plain.free, scale=scale, offset=offset / GIB, points=len(seen))
    fitted = replace(plain, free=free)
    after = tuple(_error(fitted, each) for each in seen)
    spread = statistics.median(abs(error) for error in after) if len(after) > 2 else 0.02
    return Calibration(replace(free, spread=max(spread, 0.01)), before, after)


def _with_tokens(setup: Setup, tokens: int | None) -> Setup:
    if tokens is None or setup.batch is None:
        return setup
    length = min(setup.batch.seq_len, tokens)
    return replace(setup, batch=Batch(tokens, length, setup.batch.micro_batches))


def estimate(setup: Setup, each: Measured) -> float:
    """Return the bytes that a setup is estimated to peak at when a measured step did."""
    at = _with_tokens(setup, each.tokens)
    return train(at, fullest(at)).of(each.target)


def _error(setup: Setup, each: Measured) -> float:
    return estimate(setup, each) / each.bytes - 1


def _split(setup: Setup, each: Measured) -> tuple[float, float]:
    """Return what stays and what comes and goes in the estimate of a target."""
    at = _with_tokens(setup, each.tokens)
    phase = train(at, fullest(at))
    whole = phase.of(each.target)
    beside = whole - phase.reserved if each.target == "device" else 0.0
    still = phase.resident + beside
    return still, max(1.0, whole - still)


def _line(pairs: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Return scale and offset: of differences where what comes and goes differs, else of the whole."""
    slopes = [
        ((b[2] - b[0]) - (a[2] - a[0])) / (b[1] - a[1])
        for a, b in combinations(pairs, 2)
        if abs(b[1] - a[1]) > 0.2 * max(a[1], b[1])
    ]
    if slopes:
        scale = _bounded(statistics.median(slopes))
    else:
        scale = _bounded(statistics.median((seen - still) / moving for still, moving, seen in pairs))
    offset = statistics.median(seen - still - scale * moving for still, moving, seen in pairs)
    return scale, offset


def _bounded(scale: float) -> float:
    return min(max(scale, SCALES[0]), SCALES[1])
