"""Steps as signs of life: when a run finished a further step, and whether it went on after a line."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property
from typing import Final

from msgspec import Struct, field

from rldoctor.types import LogLine, Sample

ENOUGH: Final = (
    2  # further steps of one counter that prove a run went on: one may be under way on other ranks
)
ANSWERED: Final = 6  # lines behind what a server says of a request in which it answers that request
RESTART: Final = 2  # a counter that falls by as much has begun again
SKEW: Final = 5.0  # seconds that clocks of two files may differ

Series = tuple[str, ...]


class Progress(Struct, frozen=True, dict=True):
    """For each counter of steps the samples at which it moved on.

    ``restarts`` tells for a log the line where the last of several runs in it begins, ``served`` for a log of
    a server the lines that show it at work, ``refused`` those in which it turns a request away.
    """

    moves: dict[Series, tuple[Sample, ...]] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    served: dict[str, tuple[int, ...]] = field(default_factory=dict)
    refused: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def went_on(self, line: LogLine, time: float | None = None, enough: int = ENOUGH) -> bool:
        """Say whether further steps or a further run came after a line, whose time may be known."""
        if self.began_anew(line):
            return True
        if self._served_after(line):
            return True
        when = line.time if time is None else time
        return any(self._after(series, line, when) >= enough for series in self.moves)

    def began_anew(self, line: LogLine) -> bool:
        """Say whether a further run came after a line, which says nothing of what a run lives through."""
        return line.number < self.restarts.get(line.file, 0)

    def main(self) -> dict[str, tuple[Sample, ...]]:
        """Return for each log the counter that moved most."""
        best: dict[str, tuple[Sample, ...]] = {}
        for series, samples in self.moves.items():
            if len(samples) > len(best.get(series[0], ())):
                best[series[0]] = samples
        return best

    def _served_after(self, line: LogLine) -> bool:
        """Say whether a server went on serving; where steps are counted it is these that tell."""
        numbers = self.served.get(line.file, ())
        if len(numbers) - bisect_right(numbers, line.number) < ENOUGH:
            turned = self.refused.get(line.file, ())
            if not any(0 < number - line.number <= ANSWERED for number in turned):
                return False
        return not any(series[0] == line.file for series in self.moves)

    def _after(self, series: Series, line: LogLine, time: float | None) -> int:
        """Return how many samples of a counter come after a line of its log, or after a time."""
        file, numbers, times = self._sorted[series]
        if file == line.file:
            return len(numbers) - bisect_right(numbers, line.number)
        return len(times) - bisect_right(times, time + SKEW) if time is not None else 0

    @cached_property
    def _sorted(self) -> dict[Series, tuple[str, list[int], list[float]]]:
        return {
            series: (
                samples[0].line.file,
                sorted(sample.line.number for sample in samples),
                sorted(sample.line.time or 0.0 for sample in samples),
            )
            for series, samples in self.moves.items()
        }


def follow(counts: Iterable[tuple[Series, Sample]]) -> Progress:
    """Return when each counter moved on; a counter that starts anew after a restart moves too."""
    moves: dict[Series, list[Sample]] = {}
    last: dict[Series, int] = {}
    for series, sample in counts:
        step = sample.step or 0
        before = last.get(series)
        if before is None or step > before or step <= before - RESTART:
            last[series] = step
            moves.setdefault(series, []).append(sample)
    return Progress({series: tuple(samples) for series, samples in moves.items()})
