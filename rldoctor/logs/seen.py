"""What detectors look at: the matched lines, the exceptions, the surroundings of a line, the phase."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Final

from msgspec import Struct, field

from rldoctor.logs import phases
from rldoctor.logs.failures import Failure, Frame
from rldoctor.logs.names import numbered, placed, writer
from rldoctor.logs.phases import Table
from rldoctor.logs.progress import Progress
from rldoctor.logs.rereading import Text
from rldoctor.types import LogLine, Sample

NEAR: Final = 2000  # lines within which an exception tells the phase of something else


class Seen(Struct, frozen=True, dict=True):
    """All that one reading has found so far."""

    text: Text
    hits: Mapping[str, tuple[LogLine, ...]]
    failures: tuple[Failure, ...]
    samples: tuple[Sample, ...] = ()
    progress: Progress = field(default_factory=Progress)
    phase_rows: Table = ()
    told_phases: tuple[tuple[LogLine, str], ...] = ()

    def lines(self, *keys: str) -> Iterator[LogLine]:
        """Yield the lines that any of the patterns hit, in order, each once."""
        found = {(line.file, line.number): line for key in keys for line in self.hits.get(key, ())}
        yield from (found[place] for place in sorted(found, key=self._place))

    def after(self, line: LogLine, count: int) -> Sequence[LogLine]:
        """Return the next lines of a line's log, whoever said them."""
        log = self.text.index[line.file]
        return tuple(self.text.between(log, line.number + 1, line.number + count))

    def before(self, line: LogLine, count: int) -> Sequence[LogLine]:
        """Return the lines before a line, in order, whoever said them."""
        log = self.text.index[line.file]
        return tuple(self.text.between(log, line.number - count, line.number - 1))

    def failure_at(self, line: LogLine) -> Failure | None:
        """Return the exception one of whose links stands on a line."""
        return self._by_line.get((line.file, line.number))

    def phase(self, line: LogLine, frames: Sequence[Frame] = (), call: str | None = None) -> str | None:
        """Return the phase by stack, remote method, the driver's traceback, else by the last telling line."""
        told = phases.of_frames(frames, self.phase_rows) or phases.of_call(call)
        return told or self._phase_of_failures(line) or phases.last_told(line, self.told_phases)

    def _phase_of_failures(self, line: LogLine) -> str | None:
        """Return the phase of the nearest exception with one that ended the same step of the same log."""
        told = self._telling.get((line.file, self.segment(line)), [])
        at = bisect_right(told, (line.number, "~"))
        near = [(abs(number - line.number), phase) for number, phase in told[max(0, at - 1) : at + 1]]
        far, phase = min(near, default=(NEAR, ""))
        return phase if far < NEAR else None

    def segment(self, line: LogLine) -> int:
        """Return how many steps had finished before a line of its log."""
        return bisect_right(self._moves.get(line.file, []), line.number)

    def step(self, line: LogLine) -> int | None:
        """Return the last step that had finished before a line of its log."""
        at = self.segment(line)
        return self.main[line.file][at - 1].step if at else None

    def _place(self, place: tuple[str, int]) -> tuple[int, int]:
        return self.text.index.get(place[0], 0), place[1]

    @cached_property
    def ranks_of_logs(self) -> Mapping[str, int]:
        """Return the rank whose log a file is: by its name, or its number and its siblings' lines."""
        names = [log.name for log in self.text.logs]
        named = {name: rank for name in names if (rank := writer(name).rank) is not None}
        if len(names) == 1:
            return named
        said: dict[str, set[int]] = {}
        for line in chain.from_iterable(self.hits.values()):
            if line.who.rank is not None:
                said.setdefault(line.file, set()).add(line.who.rank)
        own = {name: ranks - {named.get(name)} for name, ranks in said.items()}
        told = {name: min(ranks) for name, ranks in own.items() if len(ranks) == 1}
        return placed(named, told) if named else numbered(names, told)

    @cached_property
    def _by_line(self) -> dict[tuple[str, int], Failure]:
        return {
            (link.line.file, link.line.number): failure for failure in self.failures for link in failure.chain
        }

    @cached_property
    def _telling(self) -> dict[tuple[str, int], list[tuple[int, str]]]:
        """Return for each step of each log the lines of the exceptions that tell a phase, in order."""
        told: dict[tuple[str, int], list[tuple[int, str]]] = {}
        for failure in self.failures:
            if failure.phase and not (failure.ignored or failure.recovered):
                place = (failure.line.file, self.segment(failure.line))
                told.setdefault(place, []).append((failure.line.number, failure.phase))
        return {place: sorted(pairs) for place, pairs in told.items()}

    @cached_property
    def _moves(self) -> dict[str, list[int]]:
        """Return per log the lines at which a further step was finished."""
        return {file: [sample.line.number for sample in samples] for file, samples in self.main.items()}

    @cached_property
    def main(self) -> dict[str, tuple[Sample, ...]]:
        """Return per log the counter of steps that moved most."""
        return self.progress.main()
