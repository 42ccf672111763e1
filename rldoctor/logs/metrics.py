"""Step lines → samples of the vocabulary's metrics, and the counters by which a run shows that it goes on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from rldoctor.logs import tables
from rldoctor.logs.shapes import Shape, is_rounded_off, number
from rldoctor.types import LogLine, Sample

LIMIT: Final = 1500  # step lines of a shape kept from the front and from the back
MOST_PAIRS: Final = 400
SUMMARY: Final = (
    "train_runtime"  # of a trainer's last line, whose other values are those of the last few steps
)
PLAYED: Final = re.compile(
    r"(?i)\bdone['\"]?[=:] ?(?:true|false)\b|\benv(?:ironment)? (?:response|step)\b"
    r"|\b(?<!mean )obs(?:ervation)?['\"]?[=:]"
)  # a step of an agent in its environment is none of the training
LONGEST_WORD: Final = 24  # characters before a step that tell one counter from another


class Steps(Struct, frozen=True):
    """What the step lines say: samples, and for each line a count of steps with its series."""

    samples: tuple[Sample, ...]
    counts: tuple[tuple[tuple[str, ...], Sample], ...]
    systems: tuple[str, ...]
    shown: tuple[LogLine, ...] = ()  # further lines that show a step without saying which


def read_steps(shapes: Iterable[Shape], hits: Mapping[str, tuple[LogLine, ...]]) -> Steps:
    """Return the samples of all step lines; a line that a dialect reads is not read by the generic shapes."""
    samples: list[Sample] = []
    counts: list[tuple[tuple[str, ...], Sample]] = []
    systems: dict[str, int] = {}
    taken: set[tuple[str, int]] = set()
    for shape in shapes:
        lines = [line for line in hits.get(shape.key or "", ()) if (line.file, line.number) not in taken]
        ordinal: dict[str, int] = {}
        read = 0
        for line in lines:
            found, series, step = _read(shape, line, ordinal)
            if not found and not shape.system:
                continue
            if found:  # what looks like a line of one system may be another's
                taken.add((line.file, line.number))
            samples.extend(found)
            if step is not None:
                counts.append((series, Sample("step", step, float(step), line)))
            read += bool(found)
        if shape.system and read:
            systems[shape.system] = read
    ranked = sorted(systems, key=lambda system: -systems[system])
    return Steps(tuple(samples), tuple(counts), tuple(ranked))


def is_no_step(text: str) -> bool:
    """Say whether a line with metrics sums a training up, or is of an agent's step in its environment."""
    return SUMMARY in text or PLAYED.search(text) is not None


def _read(
    shape: Shape, line: LogLine, ordinal: dict[str, int]
) -> tuple[list[Sample], tuple[str, ...], int | None]:
    """Return a line's samples, its series of steps and its step; dictionaries without one are counted.

    ``ordinal`` holds the last step of each file.
    """
    step, start, word = None, 0, "dict"
    if is_no_step(line.text):
        return [], (), None
    if shape.counter is not None:
        found = shape.counter.search(line.text)
        if found is None:
            return [], (), None
        if found["step"] is None:  # a row of the table that stands below a step's line
            if line.file not in ordinal:  # a printed config has rows that look the same
                return [], (), None
            return list(_samples(shape, line, ordinal[line.file], 0)), (), None
        step, start = int(found["step"]), found.start()
        ordinal[line.file] = step
        word = line.text[max(start, found.start("step") - LONGEST_WORD) : found.start("step")].strip(" :=")
    samples = list(_samples(shape, line, step, start))
    if step is None and samples:
        step = ordinal[line.file] = ordinal.get(line.file, 0) + 1
        samples = [Sample(sample.metric, step, sample.value, line) for sample in samples]
    return samples, (line.file, shape.system, word, str(line.who.rank)), step


def _samples(shape: Shape, line: LogLine, step: int | None, start: int) -> Iterator[Sample]:
    seen: set[str] = set()
    for key, text in shape.pairs.findall(line.text, start)[:MOST_PAIRS]:
        known = shape.keys.get(key.strip()) or (None if shape.system else tables.metric_of(key))
        if known is None or known[0] in seen:
            continue
        told = text.strip("'\",")
        value = number(told)
        if value is not None and not is_rounded_off(known[0], told):
            seen.add(known[0])
            yield Sample(known[0], step, value * known[1], line)
