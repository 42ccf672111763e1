from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rldoctor import compiled


class Build:
    """Counts how often the parts are built."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, Any]:
        self.times += 1
        return {"first": {"größe": [1, None, 0.5]}, "second": "x" * 1000}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "SHIPPED", tmp_path / "shipped")
    path = tmp_path / "source.yaml"
    path.write_text("a: 1")
    return path


def test_parts_are_built_once_and_again_when_a_source_changes(source: Path) -> None:
    build = Build()
    for _ in range(3):
        twin = compiled.twin("sample", lambda: compiled.stamp_of([source]), build)
        assert twin.part("first") == {"größe": [1, None, 0.5]}
        assert "second" in twin and "third" not in twin
    assert build.times == 1
    source.write_text("a: 22")
    compiled.twin("sample", lambda: compiled.stamp_of([source]), build)
    assert build.times == 2


def test_a_damaged_twin_is_made_again(source: Path) -> None:
    build = Build()
    compiled.twin("sample", lambda: compiled.stamp_of([source]), build)
    path = compiled.cached_path("sample")
    for damage in (b"", b"{}", b"\xff\xfe", path.read_bytes()[:-10], b"[]\n[]"):
        path.write_bytes(damage)
        assert (
            compiled.twin("sample", lambda: compiled.stamp_of([source]), build).part("second") == "x" * 1000
        )
    assert build.times == 6


def test_a_cache_that_cannot_be_written_costs_time_alone(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    build = Build()
    for _ in range(2):
        assert (
            compiled.twin("sample", lambda: compiled.stamp_of([source]), build).part("second") == "x" * 1000
        )
    assert build.times == 2


def test_what_was_shipped_is_taken_as_it_is(source: Path) -> None:
    compiled.SHIPPED.mkdir()
    (compiled.SHIPPED / "sample.json").write_bytes(compiled.encode("", {"first": 7}))
    build = Build()
    assert compiled.twin("sample", lambda: "other", build).part("first") == 7
    assert (
        compiled.twin("sample", lambda: compiled.stamp_of([source]), build, ship=False).part("second")
        == "x" * 1000
    )
    assert build.times == 1


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "file.json"
    compiled.write_atomically(path, "old")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        compiled.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["file.json"]
