from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from rldoctor.logs import LogReading, read
from rldoctor.logs.anatomy import read_line
from rldoctor.types import LogLine


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache of compiled patterns for all tests, not the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def reading(tmp_path: Path) -> Callable[..., LogReading]:
    """Read a log given as text."""

    def read_text(text: str, *patterns: str) -> LogReading:
        path = tmp_path / "train.log"
        path.write_text(text, encoding="utf-8", newline="")
        return read([str(path)], patterns)

    return read_text


@pytest.fixture
def lines() -> Callable[[str], Iterable[LogLine]]:
    """Take the lines of a text apart, as a log of its own."""

    def split(text: str) -> list[LogLine]:
        found = []
        for number, raw in enumerate(text.splitlines(), 1):
            part = read_line(raw.encode(), 2026)
            found.append(LogLine("train.log", number, part.text, part.who, part.time, part.repeated))
        return found

    return split
