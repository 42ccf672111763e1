"""How the lines of a script end: what bash would take for a part of the last word of each line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rldoctor.types import Document, Fact, Origin, Place

WINDOWS: Final = b"\r\n"


def line_ends(document: Document) -> Iterator[Fact]:
    """Yield that a shell script has Windows line ends, at its first line; of others nothing."""
    data = document.files.get(document.path, b"")
    at = data.find(WINDOWS) if document.kind == "shell" else -1
    if at < 0 or data.count(WINDOWS) < data.count(b"\n"):
        return
    place = Place(document.path, 1, 1, 0, at)
    yield Fact("policy", "run.line_ends", "crlf", Origin("written", "Windows line ends", place=place))
