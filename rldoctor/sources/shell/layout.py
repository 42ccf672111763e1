"""Where things stand in the lines of a script: line ends, indentation, continuations, what holds a word."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from rldoctor.sources.shell.spelling import ancestor
from rldoctor.types import Edit, Place

Holder = Literal["array", "string", "command"]
Kind = Literal["insert", "delete", "replace"]


class Line(Struct, frozen=True):
    """A physical line: from ``start`` to ``end``, its line break excluded and ``next`` after it."""

    start: int
    end: int
    next: int


def newline(data: bytes) -> str:
    """Return the line break that the file uses."""
    return "\r\n" if b"\r\n" in data else "\n"


def line_at(data: bytes, offset: int) -> Line:
    """Return the line that holds an offset."""
    start = data.rfind(b"\n", 0, offset) + 1
    end = data.find(b"\n", offset)
    following = len(data) if end < 0 else end + 1
    end = len(data) if end < 0 else end
    return Line(start, end - 1 if data[end - 1 : end] == b"\r" and end > start else end, following)


def indentation(data: bytes, line: Line) -> str:
    """Return the blanks that a line begins with."""
    match = re.match(rb"[ \t]*", data[line.start : line.end])
    return match[0].decode() if match else ""


def continued(data: bytes, line: Line) -> int | None:
    """Return where the content of a continued line ends, ``None`` if it is not continued."""
    match = re.search(rb"[ \t]*\\$", data[line.start : line.end])
    return line.start + match.start() if match else None


class Held(Struct, frozen=True):
    """What a setting stands in, and its bounds."""

    kind: Holder
    start: int
    end: int


def holder(data: bytes, place: Place) -> Held:
    """Return the array, string or command that a setting is a part of."""
    first = place.start - (place.start == place.end and place.start > 0)
    node = ancestor(data, first, place.end, "array", "string", "raw_string", "command", "heredoc_body")
    while node is not None and node.type in ("string", "raw_string") and place.start <= node.start_byte:
        node = node.parent
        while node is not None and node.type not in ("array", "string", "raw_string", "command"):
            node = node.parent
    if node is None:
        line = line_at(data, place.start)
        return Held("command", line.start, max(line.end, place.end))
    kind: Holder = "array" if node.type == "array" else "command" if node.type == "command" else "string"
    return Held(kind, node.start_byte, node.end_byte)


def splice(data: bytes, file: str, start: int, end: int, new: str) -> Edit:
    """Return the edit that puts ``new`` in the place of these bytes."""
    old = data[start:end].decode("utf-8", "surrogateescape")
    kind: Kind = "insert" if start == end else "replace" if new else "delete"
    return Edit(file, data.count(b"\n", 0, start) + 1, start, end, kind, old, new)
