"""A log to which several runs were appended: what ended an earlier one is not what ended the last."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from rldoctor.logs.printed import COMMAND
from rldoctor.logs.progress import ENOUGH
from rldoctor.logs.reading import LogReading
from rldoctor.types import LogLine, Sample

TABLE: Final = "Root Cause (first observed failure):"
RAY: Final = "Started a local Ray instance"
SUCCEEDED: Final = "/Job '[\\w.-]{1,80}' succeeded|Final validation metrics: /"
CANCELLED: Final = "/error: \\*\\*\\* (?:JOB|STEP) \\d{1,10}/"
PATTERNS: Final = (RAY, SUCCEEDED, CANCELLED)
ATTEMPT: Final = (
    r"(?s)(?P<before>(?:.*/)?logs/trainer_|.*/attempt_)(?P<number>\d{1,4})"
    r"(?P<after>\.log|/\d{1,5}/std(?:out|err)(?:\.log)?)"
)
TRACED: Final = (
    r"\+{1,3} (?P<program>.{0,200}?(?:(?<= -m )[\w.]+|[\w./-]+\.py|torchrun|accelerate|deepspeed)(?= |$))"
)

JOB: Final = re.compile(r"error: \*\*\* (?:JOB|STEP) (\d{1,10})")
AGAIN: Final = (
    r"(?i)\b(?:re-?start|re-?launch|re-?try|re-?run|attempt|try|trial)(?:ing|ed|s)?(?: count| no\.?| number)?"
    r"[ #:(\[=]{0,3}\d|\b(?:restarting|relaunching|retrying|resubmitting|re-?queue(?:ing|d)?)\b"
    r"|will restart worker group|^\s*\+{1,3} .{0,200}(?:python|torchrun)"
)  # what a wrapper says when it starts a program once more
BEHIND: Final = 60  # lines behind a failure in which it does
LONGEST: Final = 1000  # characters of a line that evidence quotes
NUMBERS: Final = r"0x[0-9a-f]+|\d+"


def times(reading: LogReading, file: str | None, words: str) -> int:
    """Return how many runs of one log ended with the same words, by what a wrapper says between them."""
    text = reading.text
    if text is None or file not in text.index:
        return 1
    told = [line for lines in reading.hits.values() for line in lines]
    told += [failure.line for failure in reading.failures if not failure.ignored]
    alike = {line.number for line in told if line.file == file and _same(line.text, words)}
    between = (
        text.between(text.index[file], one + 1, min(other - 1, one + BEHIND))
        for one, other in pairwise(sorted(alike))
    )
    return 1 + sum(any(re.search(AGAIN, line.text) for line in lines) for lines in between)


def _same(text: str, words: str) -> bool:
    return re.sub(NUMBERS, "0", text.strip()[:LONGEST]) == re.sub(NUMBERS, "0", words.strip())


def last_starts(hits: Mapping[str, tuple[LogLine, ...]], ends: Iterable[LogLine]) -> dict[str, int]:
    """Return for each log the line where a run was started once more, if that one has come to an end too."""
    begun: dict[tuple[str, str], list[int]] = {}
    for program, line in _starts(hits):
        begun.setdefault((line.file, program), []).append(line.number)
    again: dict[str, list[int]] = {}
    for (file, _), numbers in begun.items():
        again.setdefault(file, []).extend(sorted(numbers)[1:])
    found: dict[str, int] = {}
    for line in ends if any(again.values()) else ():
        before = [number for number in again.get(line.file, ()) if number < line.number]
        found[line.file] = max([found.get(line.file, 0), *before])
    return found


def launched_anew(
    hits: Mapping[str, tuple[LogLine, ...]], main: Mapping[str, Sequence[Sample]]
) -> dict[str, int]:
    """Return for each log the last table of a launcher's failed ranks behind which a run made steps again."""
    found: dict[str, int] = {}
    for line in hits.get(TABLE, ()):
        later = sum(sample.line.number > line.number for sample in main.get(line.file, ()))
        if later >= ENOUGH:
            found[line.file] = max(found.get(line.file, 0), line.number)
    return found


def after_other_jobs(hits: Mapping[str, tuple[LogLine, ...]]) -> dict[str, int]:
    """Return for each log the line behind the jobs in it that Slurm cancelled before the last such one."""
    told: dict[str, list[tuple[int, str]]] = {}
    for line in hits.get(CANCELLED, ()):
        told.setdefault(line.file, []).extend((line.number, job) for job in JOB.findall(line.text))
    others = {file: [number for number, job in ends if job != max(ends)[1]] for file, ends in told.items()}
    return {file: max(numbers) + 1 for file, numbers in others.items() if numbers}


def other_attempts(names: Iterable[str], stepped: Collection[str]) -> dict[str, int]:
    """Return the logs of a supervisor's attempts in which no line ends the run.

    What ended it is told by the last attempt that made steps: a later one only failed to start. Where none
    did it is the last.
    """
    numbered = {name: found for name in names if (found := re.fullmatch(ATTEMPT, name)) is not None}
    of = {name: (found["before"], int(found["number"])) for name, found in numbered.items()}
    last: dict[str, tuple[bool, int]] = {}
    for name, (before, number) in of.items():
        last[before] = max(last.get(before, (False, 0)), (name in stepped, number))
    return {name: sys.maxsize for name, (before, number) in of.items() if number != last[before][1]}


def ended_well(hits: Mapping[str, tuple[LogLine, ...]]) -> dict[str, int]:
    """Return the line at which a run succeeds or gives its last figures: nothing above it ended it."""
    return {line.file: line.number for line in hits.get(SUCCEEDED, ())}


def _starts(hits: Mapping[str, tuple[LogLine, ...]]) -> Iterator[tuple[str, LogLine]]:
    """Yield the lines that start a run, each with the program that it starts."""
    yield from (("ray", line) for line in hits.get(RAY, ()))
    for line in hits.get(COMMAND, ()):
        found = re.match(TRACED, line.text)
        if found is not None:
            yield found["program"], line
