"""Gives a setting another value, where a person would: at its literal, at its variable, or in its word."""

from __future__ import annotations

import re
from typing import Any

from rldoctor.sources.shell import deleting, users
from rldoctor.sources.shell.layout import splice
from rldoctor.sources.shell.spelling import (
    ancestor,
    context_at,
    json_text,
    protected,
    spelled,
    value_in_word,
)
from rldoctor.types import Document, Edit, Place, Setting


def replace(document: Document, setting: Setting, value: Any) -> tuple[Edit, ...]:
    """Return the edits that give a setting a value in its system's own spelling."""
    place = setting.place
    if place is None or place.file not in document.files:
        return ()
    if setting.form == "flag" and isinstance(value, bool) and setting.value is True:
        return () if value else deleting.delete(document, setting)
    data = document.files[place.file]
    if setting.form == "json":
        return (_json(data, setting, place, value),)
    shared = users.is_shared(document, setting)
    if setting.value_place is not None and not shared:
        return (_literal(data, setting, place, setting.value_place, value),)
    definition = setting.defined_at
    if definition is not None and definition.file in document.files:
        edit = _definition(document, setting, definition, value)
        if edit is not None:
            return (edit,)
    if shared or not users.is_whole(setting):
        return ()
    return (splice(data, place.file, place.start, place.end, _word(data, setting, place, value)),)


def _text(setting: Setting, value: Any) -> str:
    if setting.form == "flag" and isinstance(value, (list, tuple)):
        return " ".join(spelled(each) for each in value)
    return spelled(value)


def _written(data: bytes, setting: Setting, value: Any, at: tuple[int, int], prefix: str) -> str:
    """Return the value's text for the quotes that stand around these bytes."""
    context = context_at(data, *at)
    if setting.form == "flag" and isinstance(value, (list, tuple)):
        return " ".join(protected(spelled(each), context) for each in value)
    return value_in_word(spelled(value), context, prefix)


def _decoded(data: bytes, start: int, end: int) -> str:
    return data[start:end].decode("utf-8", "surrogateescape")


def _literal(data: bytes, setting: Setting, place: Place, inner: Place, value: Any) -> Edit:
    before = _decoded(data, place.start, inner.start)
    after = _decoded(data, inner.end, place.end)
    new = _written(data, setting, value, (inner.start, inner.end), before)
    return splice(data, place.file, place.start, place.end, before + new + after)


def _definition(document: Document, setting: Setting, at: Place, value: Any) -> Edit | None:
    """Return the edit of the variable's assignment, if nobody else would get the new value."""
    data = document.files[at.file]
    node = ancestor(data, at.start, at.end, "variable_assignment", "expansion")
    while node is not None and node.type == "expansion" and node.parent is not None:
        outer = ancestor(data, node.parent.start_byte, node.parent.end_byte, "variable_assignment")
        if outer is None or outer.start_byte > node.start_byte:
            break
        node = outer
    if node is None:
        return None
    name = re.match(rb"(?:\$\{)?(\w+)", data[node.start_byte : node.end_byte])
    if not name or not users.only(document, name[1].decode(), setting.key):
        return None
    before = _decoded(data, node.start_byte, at.start)
    after = _decoded(data, at.end, node.end_byte)
    new = _written(data, setting, value, (at.start, at.end), before)
    return splice(data, at.file, node.start_byte, node.end_byte, before + new + after)


_MARKS = {"append": "+", "delete": "~"}


def _word(data: bytes, setting: Setting, place: Place, value: Any) -> str:
    """Return the whole setting written anew, its key, marks and quotes as they stood."""
    old = _decoded(data, place.start, place.end)
    head = re.match(
        rf"(?P<quote>[\"']?)(?P<key>\+{{0,2}}{re.escape(setting.key)})(?P<between>=|[\"']?(?:\s|\\\r?\n)+)",
        old,
    )
    context = context_at(data, place.start, place.start)
    if not head:
        mark = _MARKS.get(setting.form, "")
        key = f"{mark}{setting.key}" + (" " if setting.form == "flag" else "=")
        return key + value_in_word(_text(setting, value), context, key)
    quote = head["quote"] if head["between"] == "=" and old.endswith(head["quote"] or "=\0") else ""
    if quote:
        inside = protected(_text(setting, value), "double" if quote == '"' else "single")
        return f"{quote}{head['key']}={inside}{quote}"
    if setting.value is True:
        return f"{old} {protected(_text(setting, value), context)}"
    key = head["key"] + head["between"].lstrip("\"'")
    return key + value_in_word(_text(setting, value), context, key)


def _json(data: bytes, setting: Setting, place: Place, value: Any) -> Edit:
    old = _decoded(data, place.start, place.end)
    context = context_at(data, place.start, place.end)
    text = json_text(value)
    inner = setting.value_place
    if inner is not None and isinstance(setting.value, str):
        before, after = old[: inner.start - place.start], old[inner.end - place.start :]
        new = before + protected(text, context) + after
    else:
        quote = old[: old.index(setting.key)]
        colon = old.index(":", len(setting.key))
        blank = re.match(r":\s*", old[colon:])
        new = f"{old[:colon]}{blank[0] if blank else ': '}{quote}{protected(text, context)}{quote}"
    return splice(data, place.file, place.start, place.end, new)
