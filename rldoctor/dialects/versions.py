"""Which release a file is written for, when nobody tells: the newest that the keys seen allow."""

from __future__ import annotations

from collections.abc import Collection

from rldoctor.dialects.rows import Dialect, Row
from rldoctor.expr import version_key


def newest(dialect: Dialect, keys: Collection[str]) -> str | None:
    """Return the newest release in which every key seen still works; None without releases."""
    rows = [row for row in dialect.rows if any(key in keys for key in row.keys)]
    allowed = [release for release in dialect.releases if all(_fits(row, rows, release) for row in rows)]
    if allowed:
        return allowed[-1]
    return dialect.releases[-1] if dialect.releases else None


def says(dialect: Dialect, release: str) -> str:
    """Return the assumption as a report lists it."""
    return f"{dialect.system} {release} (newest that the keys seen allow)"


def in_force(row: Row, version: str | None) -> bool:
    """Say whether a row exists in a release; an unknown release has every row that was not removed."""
    if version is None:
        return row.until is None
    late = row.since is not None and version_key(version) < version_key(row.since)
    return not late and (row.until is None or version_key(version) < version_key(row.until))


def _fits(row: Row, rows: list[Row], release: str) -> bool:
    """Say whether a written key works in a release, through this row or another of the same key."""
    same = [other for other in rows if set(other.keys) & set(row.keys)]
    return any(in_force(other, release) for other in same)
