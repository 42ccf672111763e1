"""The supervisor's journal: one JSON object a line, only ever appended, on disk before anything follows."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

NAME: Final = "journal.jsonl"
VERSION: Final = 1

Entry = Mapping[str, Any]


class Journal:
    """Appends entries; a line that a killed writer left half is ended first."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        size = os.fstat(self._file).st_size
        whole = size == 0 or os.pread(self._file, 1, size - 1) == b"\n"
        self._waiting = b"" if whole else b"\n"
        self._complained = False

    def write(self, kind: str, **fields: Any) -> Entry:
        """Append one entry and return it; fields that are None are left out.

        What a full disk does not take waits for the next entry: supervision must not end for it.
        """
        known = {name: value for name, value in fields.items() if value is not None}
        entry = {"v": VERSION, "t": round(time.time(), 3), "kind": kind, **known}
        self._waiting += json.dumps(entry, default=str).encode() + b"\n"
        try:
            self._append()
        except OSError as error:  # a full disk: the entry waits
            if not self._complained:
                print(f"rldoctor: the journal cannot be written: {error.strerror}", file=sys.stderr)
            self._complained = True
        return entry

    def _append(self) -> None:
        size = os.fstat(self._file).st_size
        written = os.write(self._file, self._waiting)
        if written < len(self._waiting):
            os.ftruncate(self._file, size)
            os.write(self._file, self._waiting)
        os.fsync(self._file)
        self._waiting = b""

    def close(self) -> None:
        """End the file."""
        os.close(self._file)


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a journal; half a line, which a kill can leave, is none."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            entry = _entry(line)
            if entry is not None:
                yield entry


def _entry(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:  # half a line
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("kind"), str) else None
