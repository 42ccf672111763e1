"""Cross-validation: constants and the width of intervals fitted without what they are tried on."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from memory_reading import Point, error, phase_of
from msgspec.structs import replace

from rldoctor.memory import interval
from rldoctor.memory.layout import GIB, Free

TRIED = {
    "compiled": (1.0, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 2.0),
    "imbalance": (1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5),
    "expandable": (0.0, 0.01, 0.02, 0.04, 0.08),
}
"""Values of each constant that a fold may choose from; one after the other, the others as they are."""
BOUND = 0.3
"""An error counts no more than this: one odd point must not choose a constant."""
COVERAGE = 0.9

Key = Callable[[Point], str]


def by_family(point: Point) -> str:
    """Return the family that is left out with a point."""
    return point.family


def by_setup(point: Point) -> str:
    """Return the settings that are left out with a point: the same on other hardware go with it."""
    return point.setting


class Folds:
    """The points that have a training setup, each predicted with constants from the other folds."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.points = [point for point in points if point.kind == "train" and point.setup is not None]
        self._loss = cache(self._loss_of)
        self._error = cache(self._error_of)

    def _error_of(self, number: int, free: Free) -> float:
        return error(self.points[number], free)

    def _loss_of(self, number: int, name: str, value: float) -> float:
        found = self._error(number, replace(Free(), **{name: value}))
        return min(abs(found), BOUND)

    def fitted(self, seen: Sequence[int]) -> Free:
        """Return the constants that points choose: each from its list, nearest to what is stated if alike."""
        chosen = {}
        for name, values in TRIED.items():
            stated = getattr(Free(), name)
            costs = {value: sum(self._loss(number, name, value) for number in seen) for value in values}
            chosen[name] = min(values, key=lambda value: (round(costs[value], 6), abs(value - stated)))
        return replace(Free(), **chosen)

    def errors(self, key: Key) -> dict[str, float]:
        """Return the error of each point with constants that its own fold did not choose."""
        found = {}
        for seen, left in self._split(key):
            free = self.fitted(seen)
            found |= {self.points[number].id: self._error(number, free) for number in left}
        return found

    def _split(self, key: Key) -> Iterator[tuple[list[int], list[int]]]:
        names = [key(point) for point in self.points]
        for name in sorted(set(names)):
            yield (
                [number for number, own in enumerate(names) if own != name],
                [number for number, own in enumerate(names) if own == name],
            )

    def held(self, key: Key, wanted: Callable[[Point], bool]) -> tuple[float, float, float]:
        """Return how often intervals hold whose width the other folds chose, and their half-widths.

        A fold scales all stated widths by one factor, so that they hold in nine of ten of its points.
        """
        inside, halves = [], []
        for seen, left in self._split(key):
            free = self.fitted(seen)
            times = self._quantile(
                [self._strain(number, free) for number in seen if wanted(self.points[number])]
            )
            for number in left:
                if wanted(self.points[number]):
                    half = self._half(number, free) * times
                    inside.append(self._strain(number, free) <= times)
                    halves.append(half)
        if not inside:
            return (0.0, 0.0, 0.0)
        return (sum(inside) / len(inside), statistics.median(halves), max(halves))

    def _quantile(self, strains: list[float]) -> float:
        if not strains:
            return 1.0
        return sorted(strains)[min(len(strains) - 1, round(COVERAGE * len(strains)))]

    def _half(self, number: int, free: Free) -> float:
        point = self.points[number]
        assert point.setup is not None
        setup = replace(point.setup, free=free)
        return interval.around(setup, phase_of(point, free), point.target).half

    def _strain(self, number: int, free: Free) -> float:
        """Return a point's error in stated half-widths."""
        point = self.points[number]
        off = abs(self._error(number, free) * point.seen)
        return off / max(1e-9, self._half(number, free) * phase_of(point, free).of(point.target) / GIB)
