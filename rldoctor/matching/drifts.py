"""Slow drifts: from which level to which a series has gone, measured in its jumps from step to step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from msgspec import Struct

FEWEST: Final = 9  # values in three thirds
FEW: Final = 15  # below, the last third has to lie wholly beyond the first
MOST: Final = 600  # newest values that count
STEADY: Final = 0.01  # share of the level that even the steadiest series jumps


class Levels(Struct, frozen=True):
    """The medians of a series' first and last third, the way between them in jumps, and where it turned."""

    early: float
    late: float
    drift: float
    turn: int


def levels(column: Sequence[float | None]) -> Levels | None:
    """Return how a series has moved over all of its steps; None where it is too short to tell."""
    at = [step for step, value in enumerate(column) if value is not None and math.isfinite(value)][-MOST:]
    values = [value for step in at if (value := column[step]) is not None]
    if len(values) < FEWEST:
        return None
    third = len(values) // 3
    first, last = values[:third], values[-third:]
    early, late = median(first), median(last)
    jump = median(abs(after - before) for before, after in pairwise(values))
    way = (late - early) / max(jump, STEADY * abs(early), 1e-12)
    if len(values) < FEW and min(last) <= max(first) and min(first) <= max(last):
        way = 0.0
    return Levels(early, late, way, at[_turn(values, (early + late) / 2, late > early)])


def _turn(values: Sequence[float], middle: float, rises: bool) -> int:
    """Return the step from which on a series is beyond its middle, single values aside."""
    for step in range(len(values) - 1, 1, -1):
        here = median(values[step - 2 : step + 1])
        if (here > middle) is not rises:
            return step
    return 0
