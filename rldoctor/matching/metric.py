"""Metric triggers: a condition evaluated step by step over the series that a log prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from rldoctor import expr
from rldoctor.expr import Node, names
from rldoctor.facts import Facts
from rldoctor.matching.drifts import Levels, levels
from rldoctor.matching.findings import Incident
from rldoctor.matching.ruled_out import is_metric, never
from rldoctor.matching.scope import Scope
from rldoctor.types import UNKNOWN, Role

if TYPE_CHECKING:
    from rldoctor.logs import LogReading
    from rldoctor.logs.series import Series

LONGEST_STREAK: Final = (
    20  # steps; a longer window looks for what was before, a shorter one is bad as a whole
)


class SeriesScope(Scope):
    """A scope that stands at one step of a series and sees those before it."""

    def __init__(self, facts: Facts, role: Role, series: Series, reading: LogReading) -> None:
        super().__init__(facts, role)
        self.series, self.reading, self.at = series, reading, 0
        self.window = 1
        # Windows of neighbouring steps overlap: for each condition, at how many steps before each it held.
        self.held: dict[int, list[int]] = {}
        self.levels: dict[str, Levels | None] = {}

    def lookup(self, name: str) -> Any:
        """Return a metric's value at this step (None where the step has none), else a fact."""
        if is_metric(name):
            return self.series.steps[self.at].values.get(name)
        return super().lookup(name)

    def call(self, function: str, args: Sequence[Node], keywords: Mapping[str, Node]) -> Any:
        """Return the value of a series function, else of what every scope knows."""
        series = SERIES.get(function)
        return series(self, args) if series is not None else super().call(function, args, keywords)

    def _first(self, node: Node) -> int:
        """Return the first step of a window of so many that ends here."""
        number = int(node[1]) if node[0] == "const" else int(expr.evaluate(node, self))
        if number <= LONGEST_STREAK:
            self.window = max(self.window, number)
        return max(0, self.at + 1 - number)

    def _count(self, args: Sequence[Node]) -> Any:
        here, first = self.at, self._first(args[1])
        before = self.held.setdefault(id(args[0]), [0])
        for self.at in range(len(before) - 1, here + 1):
            before.append(before[-1] + (expr.evaluate(args[0], self) is True))
        self.at = here
        return before[here + 1] - before[first]

    def _turns(self, args: Sequence[Node]) -> Any:
        """Return how often a condition has begun to hold up to here: noise does it again and again."""
        self._count([args[0], ["const", 1]])
        held = [after > before for before, after in pairwise(self.held[id(args[0])][: self.at + 2])]
        return sum(now and not (at and held[at - 1]) for at, now in enumerate(held))

    def _last(self, args: Sequence[Node]) -> Any:
        return self.series.column(_name(args[0])).known(self._first(args[1]), self.at)

    def _isnan(self, args: Sequence[Node]) -> Any:
        value = expr.evaluate(args[0], self)
        return isinstance(value, float) and math.isnan(value)

    def _absent(self, args: Sequence[Node]) -> Any:
        return self.series.column(_name(args[0])).known() == []

    def _levels(self, node: Node) -> Levels | None:
        """Return from where to where a metric has gone over all steps."""
        name = _name(node)
        if name not in self.levels:
            self.levels[name] = levels(self.series.column(name).values)
        return self.levels[name]

    def _early(self, args: Sequence[Node]) -> Any:
        found = self._levels(args[0])
        return found.early if found is not None else None

    def _late(self, args: Sequence[Node]) -> Any:
        found = self._levels(args[0])
        return found.late if found is not None else None

    def _drift(self, args: Sequence[Node]) -> Any:
        found = self._levels(args[0])
        if found is None:
            return None
        self.window = max(self.window, len(self.series.steps) - found.turn)
        return found.drift

    def _silent_for(self, args: Sequence[Node]) -> Any:
        kind, seconds = _name(args[0]), expr.evaluate(args[1], self)
        now, began = self.series.steps[self.at].line.time, self.series.began
        times = [event.time for event in self.reading.events if event.kind == kind and event.time is not None]
        if now is None or began is None:
            return UNKNOWN
        return now - max((time for time in times if time <= now), default=began) > seconds


OF_ALL_STEPS: Final = frozenset({"early", "late", "drift"})  # what only the last step can tell
SERIES: Final[Mapping[str, Callable[[SeriesScope, Sequence[Node]], Any]]] = {
    "count": SeriesScope._count,
    "turns": SeriesScope._turns,
    "last": SeriesScope._last,
    "early": SeriesScope._early,
    "late": SeriesScope._late,
    "drift": SeriesScope._drift,
    "isnan": SeriesScope._isnan,
    "absent": SeriesScope._absent,
    "silent_for": SeriesScope._silent_for,
}


def _name(node: Node) -> str:
    return str(node[1]) if node[0] == "name" else names(node)[0]


def streak(scope: SeriesScope, conditions: Sequence[Node | None]) -> tuple[Incident, bool] | None:
    """Return the last run of bad steps, its first line decisive, and whether all in it is certain.

    It begins with the window that first held as a whole. One that ended before the last step is recovered.
    """
    steps, asked = scope.series.steps, [condition for condition in conditions if condition is not None]
    if any(never(condition, scope.series) for condition in asked):
        return None
    first, last, certain = -1, -1, True
    of_all = any(OF_ALL_STEPS.intersection(expr.functions(condition)) for condition in asked)
    for at in range(len(steps) - 1 if of_all else 0, len(steps)):
        scope.at = at
        values = [expr.evaluate(condition, scope) for condition in asked]
        if all(value is UNKNOWN or value for value in values):
            first = first if last == at - 1 and first >= 0 else at
            last, certain = at, all(value is not UNKNOWN for value in values)
    if first < 0:
        return None
    scope.at = last
    began = max(0, first + 1 - scope.window)
    lines = tuple(dict.fromkeys(steps[at].line for at in (began, first, last)))
    bindings = {name: value for name, value in steps[last].values.items() if value is not None}
    return Incident(lines, bindings, recovered=last < len(steps) - 1), certain
