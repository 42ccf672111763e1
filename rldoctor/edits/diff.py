"""Edits as a unified diff that `patch -p1` and `git apply` take."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from rldoctor.edits.splice import by_file, splice
from rldoctor.types import Edit, RLDoctorError

_NO_NEWLINE = "\n\\ No newline at end of file\n"


def diff(edits: Iterable[Edit], files: Mapping[str, bytes]) -> str:
    """Return what the edits change, file by file; empty where they change nothing."""
    return "".join(_of_file(name, own, files) for name, own in by_file(edits).items())


def _of_file(name: str, edits: list[Edit], files: Mapping[str, bytes]) -> str:
    if name not in files:
        raise RLDoctorError("an edit of a file that was not read", file=name)
    old = files[name]
    new = splice(old, edits)
    shown = name.lstrip("/")
    return "".join(
        line if line.endswith("\n") else line + _NO_NEWLINE
        for line in difflib.unified_diff(_lines(old), _lines(new), f"a/{shown}", f"b/{shown}")
    )


def _lines(data: bytes) -> list[str]:
    parts = data.decode("utf-8", "replace").split("\n")
    whole = [f"{part}\n" for part in parts[:-1]]
    return [*whole, parts[-1]] if parts[-1] else whole
