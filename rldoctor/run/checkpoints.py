"""The run's checkpoints, by the markers that the contract names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

COMPLETE: Final = "complete"


def folder(run: Path, settings: dict[str, Any]) -> Path:
    """Return where a run keeps its checkpoints."""
    told = settings.get("checkpoint.folder")
    return Path(told) if isinstance(told, str) else run / "checkpoints"


def newest(root: Path) -> int:
    """Return the step of the newest whole checkpoint, 0 without one."""
    return max((step for step, path in _steps(root) if (path / COMPLETE).is_file()), default=0)


def drop_halves(root: Path) -> list[Path]:
    """Remove what a full disk left half: it can never be loaded, and takes room."""
    halves = [path for _, path in _steps(root) if not (path / COMPLETE).is_file()]
    for path in halves:
        shutil.rmtree(path, ignore_errors=True)
    return halves


def _steps(root: Path) -> Iterator[tuple[int, Path]]:
    for path in root.glob("step_*"):
        number = path.name.removeprefix("step_")
        if number.isdigit():
            yield int(number), path
