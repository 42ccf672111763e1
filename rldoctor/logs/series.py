"""The metrics of a run as series: what was printed step by step, in columns that windows are cut from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from rldoctor.types import LogLine, Sample


class Step(NamedTuple):
    """The values of all metrics at one step, and the line that printed the one asked for."""

    values: Mapping[str, float | None]
    line: LogLine


class Column:
    """The values of one metric at all steps, None where a step has none."""

    def __init__(self, values: Sequence[float | None]) -> None:
        self.values = values
        self._known = [value for value in values if value is not None]
        self._before = [0, *accumulate(value is not None for value in values)]

    def known(self, first: int = 0, last: int = -1) -> list[float]:
        """Return the values that there are from one step to another, both included."""
        return self._known[self._before[first] : self._before[last + 1 or len(self.values)]]

    def is_full(self) -> bool:
        """Say whether each step has a value."""
        return len(self._known) == len(self.values)


class Series:
    """The steps that show one metric, in order, with all that was printed for them."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self._columns: dict[str, Column] = {}

    def column(self, metric: str) -> Column:
        """Return the values of any metric at these steps."""
        if metric not in self._columns:
            self._columns[metric] = Column([step.values.get(metric) for step in self.steps])
        return self._columns[metric]

    @cached_property
    def began(self) -> float | None:
        """Return when the first step was told that has a time."""
        return next((step.line.time for step in self.steps if step.line.time is not None), None)


def by_metric(samples: Iterable[Sample]) -> dict[str, Series]:
    """Return the series of each metric.

    What two lines tell of one step, one after the other, is one step; a number that a metric comes back to
    is a step of a further epoch.
    """
    together: dict[tuple[object, ...], dict[str, float | None]] = {}
    series: dict[str, list[Step]] = {}
    known = tuple(samples)
    files = {name: at for at, name in enumerate(dict.fromkeys(sample.line.file for sample in known))}
    for sample in sorted(known, key=lambda one: (files[one.line.file], one.line.number)):
        line = sample.line
        moment = (line.file, sample.step) if sample.step is not None else (line.file, "line", line.number)
        values, told = together.setdefault(moment, {}), series.setdefault(sample.metric, [])
        if sample.metric in values and told[-1].values is not values:
            values = together[moment] = {}
        values[sample.metric] = sample.value
        told.append(Step(values, line))
    return {metric: Series(_each_once(told)) for metric, told in series.items()}


def _each_once(told: Sequence[Step]) -> list[Step]:
    return [step for at, step in enumerate(told) if at == 0 or step.values is not told[at - 1].values]
