"""Detectors: what a log says, as events of the vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from rldoctor.logs.detect import (
    collective,
    gloo,
    hosts,
    memory,
    numbers,
    process,
    reward_parts,
    slowness,
    spoken,
    stalled,
    standing,
    told,
)
from rldoctor.logs.detect.sightings import Sighting
from rldoctor.logs.seen import Seen

Detect = Callable[[Seen], Iterable[Sighting]]

DETECTORS: Final[Mapping[str, tuple[tuple[str, ...], Detect]]] = {
    "memory": (memory.PATTERNS, memory.detect),
    "collective": (collective.PATTERNS, collective.detect),
    "gloo": (gloo.PATTERNS, gloo.detect),
    "process": (process.PATTERNS, process.detect),
    "hosts": (hosts.PATTERNS, hosts.detect),
    "stalled": (stalled.PATTERNS, stalled.detect),
    "told": (told.PATTERNS, told.detect),
    "numbers": (numbers.PATTERNS, numbers.detect),
    "standing": ((), standing.detect),
    "spoken": ((), spoken.detect),
    "reward_parts": ((), reward_parts.detect),
    "slowness": ((), slowness.detect),
}
PATTERNS: Final = tuple(key for patterns, _ in DETECTORS.values() for key in patterns)
ENDS: Final = (*process.DEATHS, *memory.PATTERNS)  # what ends a run without an exception
MANY: Final = (collective.TIMEOUT, collective.ENQUEUED)  # of these every rank of a large run speaks
