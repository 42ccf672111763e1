"""Who uses a variable: whether a new value for one setting is a new value for nobody else."""

from __future__ import annotations

import re

from rldoctor.sources.shell import lexer
from rldoctor.sources.shell.spelling import node_at
from rldoctor.types import Document, Place, Setting

_TELLING = (b"echo", b"printf")
_MOST_DEPTH = 4


def is_shared(document: Document, setting: Setting) -> bool:
    """Return whether other settings stand in the very same words, as those of one variable may."""
    return any(
        other.place == setting.place and other.key != setting.key
        for world in document.worlds
        for command in world
        for other in (*command.settings, *command.env)
    )


def is_whole(setting: Setting) -> bool:
    """Return whether the place of a setting holds its value too, not only a flag whose value is elsewhere."""
    place = setting.place
    if place is None or setting.form != "flag" or setting.value is True:
        return place is not None
    return place.end - place.start > len(setting.key)


def only(document: Document, name: str, key: str, depth: int = 0) -> bool:
    """Return whether every use of a variable ends in a setting of this key, or is only printed."""
    if depth > _MOST_DEPTH:
        return False
    places = [
        setting.place
        for world in document.worlds
        for command in world
        for setting in (*command.settings, *command.env)
        if setting.key == key and setting.place is not None
    ]
    use = re.compile(rb"\$(?:\{[#!]?)?" + name.encode() + rb"\b")
    for file, data in document.files.items():
        if _counted(data, name):
            return False
        for match in use.finditer(data):
            if not _harmless(document, (file, match.start(), match.end()), (name, key), places, depth):
                return False
    return True


def _counted(data: bytes, name: str) -> bool:
    """Return whether the name stands in arithmetic or is appended to, where a use may hide."""
    word = rb"\b" + name.encode() + rb"\b"
    if re.search(word + rb"\+=", data):
        return True
    text = data.decode("latin-1")
    for opening in re.finditer(r"\(\(", text):
        close = lexer.skip_parentheses(text, opening.start(), min(len(text), opening.start() + 2000))
        if re.search(word, data[opening.start() : close]):
            return True
    return False


def _harmless(
    document: Document, at: tuple[str, int, int], which: tuple[str, str], places: list[Place], depth: int
) -> bool:
    file, start, end = at
    name, key = which
    if any(place.file == file and place.start <= start and end <= place.end for place in places):
        return True
    data = document.files[file]
    node = node_at(data, start, end)
    while node is not None:
        if node.type in ("comment", "ERROR"):
            return node.type == "comment"
        if node.type == "variable_assignment":
            return _handed_on(document, data[node.start_byte : node.end_byte], name, key, depth)
        if node.type == "command":
            told = node.child_by_field_name("name")
            return told is not None and data[told.start_byte : told.end_byte] in _TELLING and _printed(node)
        node = node.parent
    return False


def _printed(node: object) -> bool:
    """Return whether a command's output goes to the terminal, not into a value."""
    parent = getattr(node, "parent", None)
    while parent is not None:
        if parent.type in (
            "command_substitution",
            "process_substitution",
            "pipeline",
            "redirected_statement",
        ):
            return False
        parent = parent.parent
    return True


def _handed_on(document: Document, assignment: bytes, name: str, key: str, depth: int) -> bool:
    target, _, value = assignment.decode("utf-8", "replace").partition("=")
    if target == name:
        return True
    whole = re.fullmatch(rf"\"?\$\{{?{name}\}}?\"?", value)
    return whole is not None and only(document, target, key, depth + 1)
