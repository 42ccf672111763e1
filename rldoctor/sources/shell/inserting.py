"""Adds an argument where a person would: after its nearest relative, else after the last argument."""

from __future__ import annotations

import re
from typing import Any

from rldoctor.sources.shell import users
from rldoctor.sources.shell.layout import Held, continued, holder, indentation, line_at, newline, splice
from rldoctor.sources.shell.spelling import Context, context_at, protected, spelled, value_in_word
from rldoctor.types import Command, Document, Edit, Form, Place, Setting

CLOSE = 2
OVERRIDES = ("override", "append", "delete")


def insert(
    document: Document, command: Command, key: str, value: Any, form: Form, near: Setting | None = None
) -> tuple[Edit, ...]:
    """Return the edit that adds an argument to a command; none if it has no place for one."""
    if form == "flag" and value is False:
        return ()
    at = anchor(document, command, key, near)
    if at is None or at.file not in document.files:
        return ()
    data = document.files[at.file]
    context = context_at(data, at.start, at.end)
    return (after(data, at, _argument(key, value, form, context)),)


def _argument(key: str, value: Any, form: Form, context: Context) -> str:
    if form == "flag":
        if value is True:
            return key
        values = value if isinstance(value, (list, tuple)) else [value]
        return " ".join([key, *(protected(spelled(each), context) for each in values)])
    if form == "delete":
        return f"~{key}"
    head = f"{'+' if form == 'append' else ''}{key}="
    text = spelled(value)
    if context == "bare" and not re.fullmatch(r"[\w@%+=:,./\[\]-]*", text, re.ASCII):
        return protected(head + text, context)
    return head + (value_in_word(text, context, head) if text else "")


def _segments(key: str) -> list[str]:
    return [part for part in re.split(r"[.\-_]+", key) if part]


def anchor(document: Document, command: Command, key: str, near: Setting | None) -> Place | None:
    """Return what the argument goes after: a close relative, what it belongs to, any relative, the last."""
    if key.startswith("--") and any(each.form in OVERRIDES for each in command.settings):
        flags = [
            each.place for each in command.settings if each.form == "flag" and _stands_in(document, each)
        ]
        return flags[-1] if flags else command.insert_at  # argparse takes no option amid Hydra's overrides
    shared, relative = _relative(document, command, key)
    if shared < CLOSE and near is not None and _stands_in(document, near):
        return near.place
    return relative or command.insert_at


def _stands_in(document: Document, setting: Setting) -> bool:
    return setting.place is not None and setting.place.file == document.path and users.is_whole(setting)


def _relative(document: Document, command: Command, key: str) -> tuple[int, Place | None]:
    """Return the place of the setting whose key begins most like this one, the last of equals."""
    wanted = _segments(key)
    best: tuple[int, Place] | None = None
    for setting in command.settings:
        place = setting.place
        if place is None or not _stands_in(document, setting):
            continue
        shared = 0
        for one, other in zip(wanted, _segments(setting.key), strict=False):
            if one != other:
                break
            shared += 1
        if shared and (best is None or shared >= best[0]):
            best = (shared, place)
    return best or (0, None)


def after(data: bytes, anchor: Place, new: str) -> Edit:
    """Return the edit that adds an argument after a place, on a line of its own if its command has lines."""
    held = holder(data, anchor)
    line = line_at(data, anchor.end)
    if b"\n" not in data[held.start : held.end]:
        return splice(data, anchor.file, anchor.end, anchor.end, f" {new}")
    indent = _indent(data, held, anchor)
    content = continued(data, line)
    broken = newline(data)
    if content is not None:
        at = max(content, anchor.end)
        return splice(data, anchor.file, at, at, f" \\{broken}{indent}{new}")
    if held.end > line.end:
        return splice(data, anchor.file, line.end, line.end, f"{broken}{indent}{new}")
    joint = f" \\{broken}" if held.kind == "command" or _continues(data, held) else broken
    return splice(data, anchor.file, anchor.end, anchor.end, f"{joint}{indent}{new}")


def _continues(data: bytes, held: Held) -> bool:
    return held.kind == "string" and re.search(rb"\\\r?\n", data[held.start : held.end]) is not None


def _indent(data: bytes, held: Held, anchor: Place) -> str:
    line = line_at(data, anchor.start)
    if line.start > held.start:
        return indentation(data, line)
    following = line_at(data, line.next)
    return indentation(data, following) if following.start < held.end else indentation(data, line) + "    "
