"""Which release a file is written for, when nobody tells: the newest that the keys seen allow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from rldoctor import expr
from rldoctor.dialects.rows import Dialect, Row


def newest(dialect: Dialect, keys: Collection[str]) -> str | None:
    """Return the newest release in which every key seen still works; None without releases."""
    return next(iter(fitting(dialect, keys)), dialect.releases[-1] if dialect.releases else None)


def fitting(dialect: Dialect, keys: Collection[str]) -> tuple[str, ...]:
    """Return the releases in which every key seen works, newest first."""
    spoken: dict[str, list[Row]] = {}
    for row in dialect.rows:
        for key in row.keys:
            if key in keys:
                spoken.setdefault(key, []).append(row)
    bounded = [rows for rows in spoken.values() if all(row.since or row.until for row in rows)]
    return tuple(release for release in reversed(dialect.releases) if _all_fit(bounded, release))


def says(dialect: Dialect, release: str) -> str:
    """Return the assumption as a report lists it."""
    return f"{dialect.system} {release} (newest that the keys seen allow)"


def in_force(row: Row, version: str | None) -> bool:
    """Say whether a row exists in a release; an unknown release has every row that was not removed."""
    if version is None:
        return row.until is None
    if row.since is None and row.until is None:
        return True
    late = row.since is not None and version_key(version) < version_key(row.since)
    return not late and (row.until is None or version_key(version) < version_key(row.until))


@cache
def version_key(text: str) -> tuple[tuple[int, ...], int]:
    """Return a key that orders releases."""
    return expr.version_key(text)


def _all_fit(spoken: Sequence[Sequence[Row]], release: str) -> bool:
    """Say whether each written key works in a release, through one row or another."""
    return all(any(in_force(row, release) for row in rows) for rows in spoken)
