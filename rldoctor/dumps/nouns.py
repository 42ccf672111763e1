"""What dumps say: events in the words of the vocabulary, the configurations beside them, and notes."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from rldoctor.types import Document, Event, Identity, LogLine

SHOWN: Final = 8  # ranks that a text lists


class DumpReading(Struct, frozen=True):
    """All that the dumps and configurations beside logs say."""

    subjects: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    configs: tuple[tuple[Document, str], ...] = ()
    notes: tuple[str, ...] = ()


def line(file: str, text: str, rank: int | None = None, time: float | None = None) -> LogLine:
    """Return what a dump says as a line, which has no number in a file of its own."""
    return LogLine(file, 0, text, Identity(rank=rank), time)


def ranks(numbers: list[int]) -> str:
    """Return ranks as people write them: `rank 3`, `ranks 0-6, 8`."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    shown = [f"{first}-{last}" if last > first else f"{first}" for first, last in spans[:SHOWN]]
    more = ", …" if len(spans) > SHOWN else ""
    return f"rank{'s' * (len(numbers) != 1)} {', '.join(shown)}{more}"
