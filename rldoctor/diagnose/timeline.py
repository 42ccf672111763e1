"""The incident across ranks, in order: who failed when, and what everybody did last before it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rldoctor import vocabulary
from rldoctor.types import Event, Identity, LogLine, Sample

if TYPE_CHECKING:
    from rldoctor.logs import LogReading

MOST: Final = 40
MOST_SOURCES: Final = 8
LONGEST: Final = 110
QUIET: Final = frozenset(
    {"step_started", "step_finished", "phase_started", "phase_finished", "warning", "sample_lost",
     "weights_synced", "engine_started", "config_applied", "run_started", "evaluated", "checkpoint_started"}
)  # fmt: skip


def timeline(reading: LogReading) -> tuple[str, ...]:
    """Return what happened, one line a happening: when, who, what, where it stands."""
    rows = [*_steps(reading), *_events(reading)]
    clocked = sum(line.time is not None for line, _, _ in rows) * 2 > len(rows)
    files = {name: number for number, name in enumerate(reading.subjects)}
    rows.sort(key=lambda row: _order(row[0], clocked, files))
    shown = rows if len(rows) <= MOST else [*rows[: MOST // 2], *rows[-MOST // 2 :]]
    told = [_said(*row) for row in shown]
    if len(rows) > MOST:
        told.insert(MOST // 2, f"… {len(rows) - MOST} more …")
    return tuple(told)


def _order(line: LogLine, clocked: bool, files: dict[str, int]) -> tuple[float, int, int]:
    when = line.time if clocked and line.time is not None else 0.0 if not clocked else float("inf")
    return when, files.get(line.file, len(files)), line.number


def _steps(reading: LogReading) -> Iterator[tuple[LogLine, str, str]]:
    """Yield the last step of each log that tells steps."""
    last: dict[str, Sample] = {}
    for sample in reading.steps:
        last[sample.line.file] = sample
    for sample in list(last.values())[:MOST_SOURCES]:
        yield sample.line, _who((sample.line.who,)), f"finished step {sample.step}, the last one told"


def _events(reading: LogReading) -> Iterator[tuple[LogLine, str, str]]:
    for event in reading.events:
        if event.lines and event.kind not in QUIET:
            after = " (the run went on)" if reading.went_on(event.lines[-1]) else ""
            yield event.lines[0], _who(event.spread or (event.who,)), _what(event) + after


def _what(event: Event) -> str:
    fields = event.fields
    phase = f" in {event.phase}" if event.phase else ""
    if event.kind == "exception":
        message = str(fields.get("message", "")).partition("\n")[0]
        return f"{fields.get('type')}: {message}"[:LONGEST] + phase
    if event.kind == "collective_timeout":
        return (
            f"waits in {fields.get('op')} {fields.get('seq', '')} of {fields.get('group', 'a group')}{phase}"
        )
    known = vocabulary.load().events.get(event.kind)
    signal = f" ({fields['signal']})" if fields.get("signal") else ""
    return f"{known.meaning if known else event.kind}{signal}{phase}"


def _who(spread: Sequence[Identity]) -> str:
    ranks = sorted({who.rank for who in spread if who.rank is not None})
    if ranks:
        shown = ",".join(map(str, ranks[:6])) + ("…" if len(ranks) > 6 else "")
        node = f" {spread[0].node}" if len(ranks) == 1 and spread[0].node else ""
        return f"rank {shown}{node}"
    first = spread[0] if spread else Identity()
    told = (first.actor, f"pid {first.pid}" if first.pid is not None else None, first.node)
    return " ".join(part for part in told if part) or "-"


def _said(line: LogLine, who: str, what: str) -> str:
    when = time.strftime("%H:%M:%S", time.gmtime(line.time)) if line.time is not None else "--:--:--"
    place = f"{line.file}:{line.number}" if line.number else line.file
    return f"{when}  {who:<16}  {what}  ({place})"
