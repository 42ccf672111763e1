"""Edits inside a launcher's string and number literals: only the text of a setting changes, quotes stay."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from rldoctor.sources.python.literals import Part, bounds, parts
from rldoctor.sources.shell import users
from rldoctor.sources.shell.layout import indentation, line_at, newline, splice
from rldoctor.sources.shell.spelling import spelled
from rldoctor.types import Command, Document, Edit, Form, Place, Setting

_SAFE: Final = re.compile(r"[\w@%+=:,./\[\]-]+", re.ASCII)
_TAIL: Final = re.compile(rb"[ \t]*,?[ \t]*(#[^\r\n]*)?")


class Literal(Struct, frozen=True):
    """A string literal: where it starts, what it holds, and whether it is an element of a list."""

    start: int
    part: Part
    in_list: bool


def replace(document: Document, setting: Setting, value: Any) -> tuple[Edit, ...]:
    """Return the edits that give a setting a value; none where the text cannot say it safely."""
    place = setting.place
    if place is None:
        return ()
    data = document.files[place.file]
    if setting.form == "flag" and isinstance(value, bool) and setting.value is True:
        return () if value else delete(document, setting)
    text = _spelled(value)
    if text is None or users.is_shared(document, setting):
        return ()
    inner = setting.value_place
    if inner is not None and _literal_at(data, inner.start, inner.end) is not None:
        whole = _literal_at(data, place.start, place.end) is not None
        start, end = (place.start, place.end) if whole else (inner.start, inner.end)
        new = data[start : inner.start].decode() + text + data[inner.end : end].decode()
        return (splice(data, place.file, start, end, new),)
    definition = setting.defined_at
    if definition is not None and definition.file == place.file and _is_only(document, setting, definition):
        return (_defined(data, definition, text, value),)
    if _literal_at(data, place.start, place.end) is None or not users.is_whole(setting):
        return ()
    joint = " " if setting.form == "flag" and not _joins(data, place, setting.key) else "="
    new = f"{setting.key}{joint}{text}"
    return (splice(data, place.file, place.start, place.end, new),)


def set_variable(document: Document, command: Command, name: str, value: Any) -> tuple[Edit, ...]:
    """Return the edit of the text that gives a variable its value; none where there is no such text."""
    found = [each for each in command.env if each.key == name]
    place = (found[-1].value_place or found[-1].defined_at) if found else None
    text = _spelled(value)
    if place is None or text is None or place.file != document.path:
        return ()
    data = document.files[place.file]
    if _literal_at(data, place.start, place.end) is None:
        return ()
    return (splice(data, place.file, place.start, place.end, text),)


def insert(
    document: Document, command: Command, key: str, value: Any, form: Form, near: Setting | None = None
) -> tuple[Edit, ...]:
    """Return the edit that adds an argument beside its nearest relative; none if it has no place for one."""
    from rldoctor.sources.shell.inserting import anchor as nearest

    text = key if value is True and form == "flag" else _spelled(value)
    if text is None or (form == "flag" and value is False):
        return ()
    place = nearest(document, command, key, near)
    if place is None or place.file != document.path:
        place = _last(document, command)
    if place is None:
        return ()
    data = document.files[place.file]
    literal = _literal_at(data, max(place.end - 1, 0), place.end)
    if literal is None or _in_field(data, literal, place):
        return ()
    words = (
        [key] if text is key else [key, text] if form == "flag" else [f"{_MARKS.get(form, '')}{key}={text}"]
    )
    return (_added(data, place, literal, words),)


def _last(document: Document, command: Command) -> Place | None:
    """Return the place of the last argument that stands in the launcher itself."""
    places = [
        each.place
        for each in command.settings
        if each.place is not None and each.place.file == document.path and users.is_whole(each)
    ]
    return max(places, key=lambda place: place.end, default=None)


def _in_field(data: bytes, literal: Literal, place: Place) -> bool:
    """Say whether a place is inside a replacement field, where it counts only sometimes."""
    before = data[literal.part.start : place.start].replace(b"{{", b"").replace(b"}}", b"")
    return "f" in literal.part.prefix and before.count(b"{") > before.count(b"}")


_MARKS: Final = {"append": "+"}


def delete(document: Document, setting: Setting) -> tuple[Edit, ...]:
    """Return the edits that take a setting out, its line with it where it stands alone."""
    place = setting.place
    if place is None or users.is_shared(document, setting) or not users.is_whole(setting):
        return ()
    data = document.files[place.file]
    first = _literal_at(data, place.start, place.start + 1)
    last = _literal_at(data, place.end - 1, place.end)
    if first is None or last is None or (first != last and not (first.in_list and last.in_list)):
        return ()
    if first.in_list:
        end = last.part.close
        comma = re.match(rb"[ \t]*,[ \t]*", data[end:])
        return (splice(data, place.file, first.start, end + (comma.end() if comma else 0), ""),)
    line = line_at(data, place.start)
    alone = data[first.part.start : first.part.end].strip() == data[place.start : place.end]
    if alone and _stands_alone(data, first) and _has_siblings(data, first):
        return (splice(data, place.file, line.start, line.next, ""),)
    gap = re.match(rb" *", data[place.end : first.part.end])
    return (splice(data, place.file, place.start, place.end + (gap.end() if gap else 0), ""),)


def _added(data: bytes, place: Place, literal: Literal, words: list[str]) -> Edit:
    quote = data[literal.part.end : literal.part.close].decode()
    if literal.in_list:
        new = "".join(f", {quote}{word}{quote}" for word in words)
        return splice(data, place.file, literal.part.close, literal.part.close, new)
    said = " ".join(words)
    line = line_at(data, literal.start)
    if len(quote) == 1 and _stands_alone(data, literal) and not _goes_on(data, literal, place.end):
        indent = indentation(data, line)
        spaced = "" if data[literal.part.end - 1 : literal.part.end] in (b" ", quote.encode()) else " "
        new = f"{newline(data)}{indent}{quote}{spaced}{said} {quote}"
        return splice(data, place.file, literal.part.close, literal.part.close, new)
    return splice(data, place.file, place.end, place.end, f" {said}")


def _goes_on(data: bytes, literal: Literal, at: int) -> bool:
    """Say whether more words follow in the literal, which may belong to what stands before."""
    return bool(data[at : literal.part.end].strip())


def _stands_alone(data: bytes, literal: Literal) -> bool:
    """Say whether a literal has its line for itself: a new one can stand below it."""
    line = line_at(data, literal.start)
    before = data[line.start : literal.start].strip()
    after = data[literal.part.close : line.end]
    return not before and not after.strip().startswith(b",") and bool(_TAIL.fullmatch(after))


def _has_siblings(data: bytes, literal: Literal) -> bool:
    return any(
        len(each) > 1 and any(part.start == literal.part.start for part in each) for each in _strings(data)
    )


def _literal_at(data: bytes, start: int, end: int) -> Literal | None:
    """Return the string literal that holds these bytes."""
    for node_start, part, in_list in _all(data):
        if part.start <= start and end <= part.end and "b" not in part.prefix:
            return Literal(node_start, part, in_list)
    return None


@lru_cache(maxsize=4)
def _tree(data: bytes) -> tuple[ast.Module, list[int]]:
    starts = [0, *(found.end() for found in re.finditer(rb"\n", data))]
    return ast.parse(data), starts


@lru_cache(maxsize=4)
def _strings(data: bytes) -> tuple[tuple[Part, ...], ...]:
    tree, starts = _tree(data)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        ):
            found.append(tuple(parts(data, *bounds(node, starts))))
    return tuple(found)


@lru_cache(maxsize=4)
def _all(data: bytes) -> tuple[tuple[int, Part, bool], ...]:
    """Return every string literal: where it starts, its part, and whether it is an element of a list."""
    tree, starts = _tree(data)
    listed = {
        bounds(each, starts)[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.List | ast.Tuple)
        for each in node.elts
        if isinstance(each, ast.Constant | ast.JoinedStr)
    }
    found = {}
    for several in _strings(data):
        for part in several:
            quote = part.close - part.end
            start = part.start - quote - len(part.prefix)
            found[part.start, part.end] = (start, part, len(several) == 1 and start in listed)
    return tuple(found.values())


def _is_only(document: Document, setting: Setting, definition: Place) -> bool:
    """Say whether every use of the name that holds the value ends in settings of this key."""
    data = document.files[definition.file]
    tree, starts = _tree(data)
    name = next(
        (each for each in _assigned(tree) if bounds(each[1], starts) == _node_bounds(data, definition)), None
    )
    if name is None:
        return False
    sites = [
        (each.place.start, each.place.end)
        for world in document.worlds
        for command in world
        for each in command.settings
        if each.key == setting.key and each.place is not None and each.place.file == definition.file
    ]
    uses = [found.start() for found in re.finditer(rb"\b" + name[0].encode() + rb"\b", data)]
    target = bounds(name[2], starts)[0]
    return all(at == target or any(start <= at < end for start, end in sites) for at in uses)


def _assigned(tree: ast.Module) -> list[tuple[str, ast.expr, ast.Name]]:
    return [
        (node.targets[0].id, node.value, node.targets[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    ]


def _node_bounds(data: bytes, place: Place) -> tuple[int, int]:
    literal = _literal_at(data, place.start, place.end)
    return (place.start, place.end) if literal is None else (literal.start, literal.part.close)


def _defined(data: bytes, place: Place, text: str, value: Any) -> Edit:
    literal = _literal_at(data, place.start, place.end)
    number = isinstance(value, int | float) or literal is not None
    new = text if number else f'"{text}"'
    return splice(data, place.file, place.start, place.end, new)


def _joins(data: bytes, place: Place, key: str) -> bool:
    return data[place.start : place.end].startswith(f"{key}=".encode())


def _spelled(value: Any) -> str | None:
    """Return a value's text, None where quotes of Python or of the shell would have to change."""
    several = value if isinstance(value, list | tuple) else None
    text = " ".join(spelled(each) for each in several) if several else spelled(value)
    return text if all(_SAFE.fullmatch(word) for word in text.split(" ")) and text else None
