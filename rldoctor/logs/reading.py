"""All that logs say, and what can be asked of it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Final

from msgspec import Struct, field

from rldoctor.logs import configs, survival
from rldoctor.logs.configs import PrintedConfig
from rldoctor.logs.failures import Failure
from rldoctor.logs.progress import Progress
from rldoctor.logs.rereading import Text
from rldoctor.logs.series import Series, by_metric
from rldoctor.types import Event, LogLine, Sample

DATED_WITHIN: Final = 300  # lines behind a line without a time
IDENTIFYING: Final = 100  # characters of a line that is said of one happening only
TOLERATED: Final = 3  # times that a run survived an exception, until it counts as one that ends nothing


class LogReading(Struct, frozen=True, dict=True):
    """All that logs say, in the words of the vocabulary; lines can be looked at again."""

    subjects: tuple[str, ...]
    hits: Mapping[str, tuple[LogLine, ...]]
    counts: Mapping[str, int]
    events: tuple[Event, ...] = ()
    samples: tuple[Sample, ...] = ()
    configs: tuple[PrintedConfig, ...] = ()
    failures: tuple[Failure, ...] = ()
    progress: tuple[LogLine, ...] = ()
    steps: tuple[Sample, ...] = ()
    systems: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    total_lines: int = 0
    total_bytes: int = 0
    text: Text | None = None
    moves: Progress = field(default_factory=Progress)

    def window(self, line: LogLine, lines: int, same: str) -> tuple[LogLine, ...]:
        """Return up to ``lines`` lines before and after, of the same process, rank, node or run."""
        return self.text.window(line, lines, same) if self.text is not None else (line,)

    def went_on(self, line: LogLine) -> bool:
        """Say whether the run finished further steps after a line, or survives what it says all the time."""
        twins = (twin for twin in self._twins.get(line.text, ()) if twin.file != line.file)
        place = line.file, line.number
        over = place in self._tolerated or self.moves.went_on(line, self._latest(line))
        return over or any(map(self.moves.went_on, twins))

    def _latest(self, line: LogLine) -> float | None:
        """Return when a line was said, at the latest, each asked for once."""
        place = line.file, line.number
        if place not in self._said:
            self._said[place] = said_at(line, self.text, self.moves)
        return self._said[place]

    @cached_property
    def _said(self) -> dict[tuple[str, int], float | None]:
        return {}

    def took_another_way(self, line: LogLine) -> bool:
        """Say whether a line is no more than a warning and tells itself what is done instead."""
        return self.text is not None and survival.tells_another_way(line, self.text.whole(line))

    @cached_property
    def series(self) -> Mapping[str, Series]:
        """Return for each metric the steps that show it, in order."""
        return by_metric(self.samples)

    @cached_property
    def _twins(self) -> Mapping[str, Sequence[LogLine]]:
        """Return by text the long lines of logs that count steps: others may keep the same without a time."""
        counting = {series[0] for series in self.moves.moves} if len(self.subjects) != 1 else ()
        found: dict[str, list[LogLine]] = {}
        for line in chain.from_iterable(self.hits.values()):
            if line.file in counting and len(line.text) >= IDENTIFYING:
                found.setdefault(line.text, []).append(line)
        return found

    @cached_property
    def _tolerated(self) -> frozenset[tuple[str, int]]:
        """Return the lines of exceptions that the run survived several times, such as those of tools."""
        survived: Counter[tuple[str, str, str]] = Counter()
        for failure in self.failures:
            outlived = failure.recovered and not self.moves.began_anew(failure.line)
            survived[_kind(failure)] += failure.line.repeated * outlived
        return frozenset(
            (link.line.file, link.line.number)
            for failure in self.failures
            if failure.ignored or survived[_kind(failure)] >= TOLERATED
            for link in failure.chain
        )

    def config_for(self, line: LogLine) -> PrintedConfig | None:
        """Return the printed configuration nearest above a line, else the next best."""
        return configs.config_for(self.configs, line)


def said_at(line: LogLine, text: Text | None, moves: Progress) -> float | None:
    """Return when a line was said, where steps are counted elsewhere by the next time that its log tells."""
    alone = text is None or len(text.logs) == 1 or any(series[0] == line.file for series in moves.moves)
    if line.time is not None or text is None or alone:
        return line.time
    later = text.between(text.index[line.file], line.number + 1, line.number + DATED_WITHIN)
    return next((one.time for one in later if one.time is not None), None)


def _kind(failure: Failure) -> tuple[str, str, str]:
    """Return what makes two exceptions the same to the run: types and first line of the message."""
    return failure.exception, failure.outermost, failure.message.partition("\n")[0]
