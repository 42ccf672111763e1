"""A log to which several runs were appended: what ended an earlier one is not what ended the last."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rldoctor.logs.printed import COMMAND
from rldoctor.types import LogLine

RAY: Final = "Started a local Ray instance"
PATTERNS: Final = (RAY,)
ATTEMPT: Final = re.compile(r"(?P<before>(?:.*/)?logs/trainer_)(?P<number>\d{1,4})\.log", re.DOTALL)
TRACED: Final = re.compile(
    r"\+{1,3} (?P<program>.{0,200}?(?:(?<= -m )[\w.]+|[\w./-]+\.py|torchrun|accelerate|deepspeed)(?= |$))"
)


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


def earlier_attempts(names: Iterable[str]) -> dict[str, int]:
    """Return the logs of attempts that a supervisor has followed with one read here: no line ends the run."""
    numbered = {name: found for name in names if (found := ATTEMPT.fullmatch(name)) is not None}
    return {
        name: sys.maxsize
        for name, found in numbered.items()
        if f"{found['before']}{int(found['number']) + 1}.log" in numbered
    }


def _starts(hits: Mapping[str, tuple[LogLine, ...]]) -> Iterator[tuple[str, LogLine]]:
    """Yield the lines that start a run, each with the program that it starts."""
    yield from (("ray", line) for line in hits.get(RAY, ()))
    for line in hits.get(COMMAND, ()):
        found = TRACED.match(line.text)
        if found is not None:
            yield found["program"], line
