"""The trainer's own events.jsonl: each line an event, told by who knows it."""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rldoctor import vocabulary
from rldoctor.logs.opening import LogFile
from rldoctor.types import Event, Identity, LogLine, RLDoctorError, Sample

NAME: Final = "events.jsonl"
MOST: Final = 20000
HEADS: Final = ("v", "t", "kind")
LONGEST: Final = 1000
LONGEST_HEAD: Final = 80
_FIRST: Final = re.compile(rb'\{"v": ?\d+, ?"t": ?[\d.]+, ?"kind": ?"')


def is_events(log: LogFile) -> bool:
    """Say whether a log is a file of events: by its name, or by its first words."""
    if Path(log.name).name == NAME:
        return True
    try:
        with log.open() as raw:
            return raw.seekable() and _FIRST.match(os.pread(raw.fileno(), LONGEST_HEAD, 0)) is not None
    except RLDoctorError:  # gone since it was found, which reading says
        return False


def read_events(log: LogFile) -> tuple[tuple[Event, ...], tuple[Sample, ...], int]:
    """Return events, samples and the number of lines; of very long files the last events count."""
    events: deque[Event] = deque(maxlen=MOST)
    samples: deque[Sample] = deque(maxlen=MOST)
    number = 0
    for number, raw in enumerate(_lines(log), 1):
        data = _object(raw)
        if data is None:
            continue
        event = _event(log.name, number, raw, data)
        events.append(event)
        samples.extend(_samples(event))
    return tuple(events), tuple(samples), number


def _lines(log: LogFile) -> Iterator[bytes]:
    for chunk in log.chunks():
        yield from chunk.splitlines()


def _object(raw: bytes) -> dict[str, Any] | None:
    """Return a line's object; half a line at the end of a running trainer's file is none."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("kind"), str) else None


def _event(name: str, number: int, raw: bytes, data: Mapping[str, Any]) -> Event:
    time = data.get("t")
    when = float(time) if isinstance(time, (int, float)) else None
    rank = data.get("rank", data.get("rank_of_max"))
    who = Identity(data.get("node"), rank if isinstance(rank, int) else None, data.get("pid"))
    line = LogLine(name, number, raw.decode("utf-8", "replace")[:LONGEST], who, when)
    fields = {key: value for key, value in data.items() if key not in HEADS}
    phase = data.get("phase")
    return Event(data["kind"], fields, who, when, phase if isinstance(phase, str) else None, (line,))


def _samples(event: Event) -> Iterator[Sample]:
    """Yield the metrics that an event carries, those the vocabulary knows."""
    step = event.fields.get("step")
    number = step if isinstance(step, int) else None
    metrics = event.fields.get("metrics")
    known = vocabulary.load().metrics
    for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
        if name in known and isinstance(value, (int, float)) and not isinstance(value, bool):
            yield Sample(name, number, float(value), event.lines[0])
    if event.kind == "step_finished" and number is not None:
        yield Sample("step", number, float(number), event.lines[0])
        seconds = event.fields.get("seconds")
        if isinstance(seconds, (int, float)):
            yield Sample("step_time", number, float(seconds), event.lines[0])
