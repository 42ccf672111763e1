"""A run under way: looked at again and again, told as soon as it has failed, fallen ill or ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.diagnose import diagnose
from rldoctor.diagnose.writers import are_written
from rldoctor.facts import ToldFacts
from rldoctor.types import Report, RLDoctorError

EVERY: Final = 2.0  # seconds between two looks
IDLE: Final = 1800.0  # seconds of silence that are an end, unless told
SETTLED: Final = 3.0  # seconds without news before a failure counts as told to its end
LONGEST_WAIT: Final = 30.0  # of a storm that never ends
MOST_LOOKS: Final = 60.0  # seconds between two readings of a log that grows all the time, at most
SILENT: Final = "the run has ended or hangs"
GONE: Final = "the run has ended: no process writes to its logs any more"
SLOWNESS: Final = 10  # a reading may take a tenth of the time


class Clock(Struct, frozen=True):
    """How time passes; tests have their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def follow(
    paths: Sequence[str],
    config: str | None,
    told: ToldFacts,
    idle: float | None = None,
    clock: Clock | None = None,
) -> Report:
    """Return the report of a live run, once a failure is certain, it has ended or is silent for long."""
    if "-" in paths:
        raise RLDoctorError("standard input cannot be followed", hint="Name the file or folder that grows.")
    clock, limit = clock or Clock(), IDLE if idle is None else idle
    before: dict[str, int] = {}
    news = looked = first_bad = clock.now()
    bad, due, took, written = None, False, 0.0, False
    while True:
        sizes = dict(_sizes(paths))
        now = clock.now()
        if sizes != before:
            before, news, due = sizes, now, True
        if due and sizes and now - looked >= min(MOST_LOOKS, SLOWNESS * took):
            began = clock.now()
            report = diagnose(paths, config, told)
            looked, due, took = clock.now(), False, clock.now() - began
            first_bad, bad = (first_bad if bad else looked), report if is_certain(report) else None
        if bad is not None and (now - news >= SETTLED or now - first_bad >= LONGEST_WAIT) and not due:
            return bad
        if now - news >= limit:
            return _ended(paths, config, told, f"nothing was written for {limit:.0f} s: {SILENT}")
        if now - news < SETTLED or not written:
            written = written or are_written(sizes)
        elif not due and not are_written(sizes):
            return _ended(paths, config, told, GONE)
        clock.sleep(min(EVERY, limit))


def is_certain(report: Report) -> bool:
    """Say whether a root is certain, or an error that no rule knows ended something."""
    roots = [finding for finding in report.findings if finding.part == "root"]
    return any(root.confidence == "certain" or root.severity == "error" for root in roots)


def _ended(paths: Sequence[str], config: str | None, told: ToldFacts, why: str) -> Report:
    if not dict(_sizes(paths)):
        raise RLDoctorError(f"no log came: {why}", file=paths[0])
    report = diagnose(paths, config, told)
    return replace(report, notes=(why, *report.notes))


def _sizes(paths: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield the sizes of all files below the paths; what vanishes meanwhile is left out."""
    for path in paths:
        for file in _files(Path(path)):
            try:
                yield str(file), file.stat().st_size
            except OSError:  # rotated or removed between listing and looking
                continue


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for parent, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(parent, name) for name in names)
