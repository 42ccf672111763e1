"""Checkpoints: folders ``step_N`` that count only with the file ``complete``, which is written last."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer_core.config import Config
from trainer_core.protocols import Workers

COMPLETE = "complete"
STATE = "trainer.json"


@dataclass(frozen=True, slots=True)
class Saved:
    """A whole checkpoint: where it is, and the driver's state in it."""

    path: Path
    step: int
    state: Mapping[str, Any]


def folder(config: Config) -> Path:
    """Return the folder of all checkpoints of a run."""
    return Path(config.checkpoint.folder or Path(config.run.folder, "checkpoints"))


def newest(root: Path) -> tuple[Saved | None, list[Path]]:
    """Return the newest whole checkpoint, and the halves that are newer than it."""
    halves: list[Path] = []
    for step, path in sorted(_steps(root), reverse=True):
        if (path / COMPLETE).is_file():
            state = json.loads((path / STATE).read_text(encoding="utf-8"))
            return Saved(path, step, state), halves
        halves.append(path)
    return None, halves


def save(workers: Workers, root: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write a whole checkpoint; what an earlier attempt at this step left half is removed first."""
    path = root / f"step_{step}"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        workers.each("save", [(path,)] * workers.size)
        _write(path / STATE, json.dumps({"step": step, **state}, indent=1))
        for file in path.iterdir():
            _flush(file)
        _write(path / COMPLETE, f"{step}\n")
    except BaseException:
        shutil.rmtree(path)  # a full disk must have room again for the event that says so
        raise
    _flush(path)
    _flush(root)
    return path


def prune(root: Path, keep: int) -> None:
    """Remove all but the newest whole checkpoints, and halves older than the newest whole one."""
    whole = sorted(step for step, path in _steps(root) if (path / COMPLETE).is_file())
    kept = set(whole[-keep:])
    for step, path in _steps(root):
        if step not in kept and whole and step < whole[-1]:
            (path / COMPLETE).unlink(missing_ok=True)  # no longer whole, before it is no longer complete
            shutil.rmtree(path)


def size(path: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _steps(root: Path) -> list[tuple[int, Path]]:
    found = [(path.name.removeprefix("step_"), path) for path in root.glob("step_*")]
    return [(int(number), path) for number, path in found if number.isdigit()]


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _flush(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    os.fsync(number)
    os.close(number)
