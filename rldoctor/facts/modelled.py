"""Facts that stand in a model's or a checkpoint's own files, where those are here."""

from __future__ import annotations

from pathlib import Path

from rldoctor.facts.table import Table
from rldoctor.types import Document


def roots(document: Document | None) -> tuple[Path, ...]:
    """Return the folders that relative paths of a document may start from, most likely first."""
    beside = Path(document.path).parent if document is not None and document.kind != "log" else None
    return tuple(dict.fromkeys(folder for folder in (beside, Path.cwd()) if folder is not None))


def found(path: str, document: Document | None) -> Path | None:
    """Return where a path of a document is on this machine, None where it is not."""
    named = Path(path).expanduser()
    places = [named] if named.is_absolute() else [root / named for root in roots(document)]
    return next((place for place in places if place.exists()), None)


def models(table: Table, document: Document | None) -> None:
    """Put each model's shape and stop tokens into the table."""


def checkpoints(table: Table, document: Document | None) -> None:
    """Put the markers of checkpoint folders into the table."""
