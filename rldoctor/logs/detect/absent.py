"""Ranks that have a log of their own and are not among those that wait: what they said last."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

LOOK_BACK: Final = 20
MOST: Final = 4


def logged_ranks(seen: Seen) -> set[int]:
    """Return the ranks that have logs of their own; one alone says nothing of the others."""
    ranks = set(seen.ranks_of_logs.values())
    return ranks if len(ranks) > 1 else set()


def absent(seen: Seen, waiting: Collection[int | None]) -> list[int]:
    """Return the ranks with a log that do not wait, as long as most do: else they are of another group."""
    missing = sorted(logged_ranks(seen) - set(waiting))
    return missing if 0 < len(missing) < len(set(waiting)) else []


def last_lines(seen: Seen, ranks: Iterable[int]) -> list[LogLine]:
    """Return the last line of each rank, of several logs that which is dated last or stands last.

    Of a rank that failed its exception tells more.
    """
    told: list[LogLine] = []
    failed = {failure.who.rank for failure in seen.failures if not (failure.ignored or failure.recovered)}
    for rank in [rank for rank in ranks if rank not in failed][:MOST]:
        mine = (at for at, log in enumerate(seen.text.logs) if seen.ranks_of_logs.get(log.name) == rank)
        ends = [_end(seen, at) for at in mine]
        said = [line for line in ends if line is not None]
        told += sorted(said, key=lambda line: line.time or 0.0)[-1:]
    return told


def _end(seen: Seen, log: int) -> LogLine | None:
    last = seen.text.scan.lines[log]
    lines = list(seen.text.between(log, last - LOOK_BACK, last))
    return next((line for line in reversed(lines) if line.text.strip()), None)
