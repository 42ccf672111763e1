"""Takes a setting out, its line with it where it stands alone, continuations and commas kept right."""

from __future__ import annotations

import re

from rldoctor.sources.shell import users
from rldoctor.sources.shell.layout import Line, continued, holder, line_at, splice
from rldoctor.sources.shell.spelling import ancestor
from rldoctor.types import Document, Edit, Place, Setting


def delete(document: Document, setting: Setting) -> tuple[Edit, ...]:
    """Return the edits that take a setting out of its file."""
    place = setting.place
    if place is None or place.file not in document.files:
        return ()
    if users.is_shared(document, setting) or not users.is_whole(setting):
        return ()
    data = document.files[place.file]
    if setting.form == "json":
        return (splice(data, place.file, *_pair(data, place), ""),)
    if setting.form == "env":
        return (splice(data, place.file, *_assignment(data, place), ""),)
    return (splice(data, place.file, *_argument(data, place), ""),)


def _blank_before(data: bytes, line: Line, start: int) -> bool:
    return not data[line.start : start].strip()


def _argument(data: bytes, place: Place) -> tuple[int, int]:
    first, last = line_at(data, place.start), line_at(data, place.end)
    content = continued(data, last)
    tail = data[place.end : last.end if content is None else max(content, place.end)]
    if not _blank_before(data, first, place.start):
        return _inline(data, first, place)
    if tail.strip():
        gap = re.match(rb"[ \t]*", tail)
        return place.start, place.end + (gap.end() if gap else 0)
    if content is not None or holder(data, place).kind == "array":
        return first.start, last.next
    previous = line_at(data, max(first.start - 1, 0))
    before = continued(data, previous) if first.start else None
    return (first.start, last.next) if before is None else (before, place.end)


def _inline(data: bytes, line: Line, place: Place) -> tuple[int, int]:
    before = data[line.start : place.start]
    opens = before.rstrip()[-1:] in (b"(", b'"', b"'") and before[-1:] not in (b" ", b"\t")
    if opens:
        gap = re.match(rb"[ \t]*", data[place.end :])
        return place.start, place.end + (gap.end() if gap else 0)
    return line.start + len(before.rstrip()), place.end


def _assignment(data: bytes, place: Place) -> tuple[int, int]:
    """Return the bounds of ``NAME=value`` before a command, in an ``export``, or as a statement."""
    node = ancestor(data, place.start, place.end, "declaration_command", "command")
    line = line_at(data, place.start)
    if node is not None and node.type == "command":
        gap = re.match(rb"[ \t]*(\\\r?\n[ \t]*)?", data[place.end :])
        return place.start, place.end + (gap.end() if gap else 0)
    start, end = (node.start_byte, node.end_byte) if node is not None else (place.start, place.end)
    if node is not None and len(node.named_children) > 1:
        return _inline(data, line, place)
    last = line_at(data, end)
    rest = data[end : last.end].strip()
    if _blank_before(data, line_at(data, start), start) and (not rest or rest.startswith(b"#")):
        return line_at(data, start).start, last.next
    gap = re.match(rb"[ \t]*;?[ \t]*", data[end:])
    return start, end + (gap.end() if gap else 0)


def _pair(data: bytes, place: Place) -> tuple[int, int]:
    """Return the bounds of a JSON member with the comma that goes with it."""
    after = re.match(rb"\s*,", data[place.end :])
    line = line_at(data, place.start)
    if after:
        end = place.end + after.end()
        stop = line_at(data, end)
        if _blank_before(data, line, place.start) and not data[end : stop.end].strip():
            return line.start, stop.next
        gap = re.match(rb"[ \t]*", data[end:])
        return place.start, end + (gap.end() if gap else 0)
    before = re.search(rb",\s*$", data[: place.start])
    if before:
        return before.start(), place.end
    return place.start, place.end
