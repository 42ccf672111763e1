"""Events: one JSON object a line in ``events.jsonl``, written by the driver alone."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class EventLog:
    """Appends to ``events.jsonl``; a line that a killed writer left half is ended first."""

    def __init__(self, path: Path) -> None:
        torn = path.exists() and path.stat().st_size > 0 and not _ends_with_newline(path)
        self._file = path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")

    def write(self, kind: str, **fields: Any) -> None:
        """Append one event; fields that are None are left out."""
        known = {name: value for name, value in fields.items() if value is not None}
        self._file.write(
            json.dumps({"v": 1, "t": round(time.time(), 6), "kind": kind, **known}, default=str) + "\n"
        )
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
