"""Metric triggers: a condition evaluated step by step over the series that a log prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from rldoctor import expr
from rldoctor.expr import Node, names
from rldoctor.facts import Facts
from rldoctor.matching.drifts import Levels, levels
from rldoctor.matching.findings import Incident
from rldoctor.matching.scope import Scope
from rldoctor.types import UNKNOWN, LogLine, Role

if TYPE_CHECKING:
    from rldoctor.logs import LogReading

LONGEST_STREAK: Final = (
    20  # steps; a longer window looks for what was before, a shorter one is bad as a whole
)


class Step(Struct, frozen=True):
    """The values of all metrics at one step, and the line that printed the one asked for."""

    values: Mapping[str, float | None]
    line: LogLine


class SeriesScope(Scope):
    """A scope that stands at one step of a series and sees those before it."""

    def __init__(self, facts: Facts, role: Role, steps: Sequence[Step], reading: LogReading) -> None:
        super().__init__(facts, role)
        self.steps, self.reading, self.at = steps, reading, 0
        self.window = 1
        # Windows of neighbouring steps overlap: what was computed for one step serves the next.
        self.held: dict[int, dict[int, bool]] = {}
        self.columns: dict[str, list[float | None]] = {}
        self.levels: dict[str, Levels | None] = {}

    def lookup(self, name: str) -> Any:
        """Return a metric's value at this step (None where the step has none), else a fact."""
        if "." not in name and name != "system":
            return self.steps[self.at].values.get(name)
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

    def _column(self, node: Node) -> list[float | None]:
        """Return the values of a metric at all steps."""
        name = _name(node)
        if name not in self.columns:
            self.columns[name] = [step.values.get(name) for step in self.steps]
        return self.columns[name]

    def _count(self, args: Sequence[Node]) -> Any:
        here, total = self.at, 0
        held = self.held.setdefault(id(args[0]), {})
        for at in range(self._first(args[1]), here + 1):
            if at not in held:
                self.at = at
                held[at] = expr.evaluate(args[0], self) is True
            total += held[at]
        self.at = here
        return total

    def _last(self, args: Sequence[Node]) -> Any:
        values = self._column(args[0])[self._first(args[1]) : self.at + 1]
        return [value for value in values if value is not None]

    def _isnan(self, args: Sequence[Node]) -> Any:
        value = expr.evaluate(args[0], self)
        return isinstance(value, float) and math.isnan(value)

    def _absent(self, args: Sequence[Node]) -> Any:
        return all(value is None for value in self._column(args[0]))

    def _levels(self, node: Node) -> Levels | None:
        """Return from where to where a metric has gone; only its last step can tell."""
        if self.at < len(self.steps) - 1:
            return None
        name = _name(node)
        if name not in self.levels:
            self.levels[name] = levels(self._column(node))
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
        self.window = max(self.window, len(self.steps) - found.turn)
        return found.drift

    def _silent_for(self, args: Sequence[Node]) -> Any:
        kind, seconds = _name(args[0]), expr.evaluate(args[1], self)
        now = self.steps[self.at].line.time
        times = [event.time for event in self.reading.events if event.kind == kind and event.time is not None]
        began = next((step.line.time for step in self.steps if step.line.time is not None), None)
        if now is None or began is None:
            return UNKNOWN
        return now - max((time for time in times if time <= now), default=began) > seconds


SERIES: Final[Mapping[str, Callable[[SeriesScope, Sequence[Node]], Any]]] = {
    "count": SeriesScope._count,
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


def steps_of(metric: str, reading: LogReading) -> tuple[Step, ...]:
    """Return the steps that show a metric, in the log's order, with all that was printed for them."""
    return tuple(Step(values, line) for values, line in reading.series.get(metric, ()))


def streak(scope: SeriesScope, conditions: Sequence[Node | None]) -> tuple[Incident, bool] | None:
    """Return the last run of bad steps, its first line decisive, and whether all in it is certain.

    It begins with the window that first held as a whole. One that ended before the last step is recovered.
    """
    first, last, certain = -1, -1, True
    for at in range(len(scope.steps)):
        scope.at = at
        values = [expr.evaluate(condition, scope) for condition in conditions if condition is not None]
        if all(value is UNKNOWN or value for value in values):
            first = first if last == at - 1 and first >= 0 else at
            last, certain = at, all(value is not UNKNOWN for value in values)
    if first < 0:
        return None
    scope.at = last
    began = max(0, first + 1 - scope.window)
    lines = tuple(dict.fromkeys(scope.steps[at].line for at in (began, first, last)))
    bindings = {name: value for name, value in scope.steps[last].values.items() if value is not None}
    return Incident(lines, bindings, recovered=last < len(scope.steps) - 1), certain
