"""Sets and unsets environment variables where a command takes them from."""

from __future__ import annotations

import re
from typing import Any

from rldoctor.sources.shell import deleting, inserting, replacing
from rldoctor.sources.shell.layout import continued, indentation, line_at, newline, splice
from rldoctor.sources.shell.spelling import context_at, json_text, protected, spelled
from rldoctor.types import Command, Document, Edit, Setting

_JOB = "ray job submit"
_OPTION = "--runtime-env-json"


def set_env(document: Document, command: Command, name: str, value: Any) -> tuple[Edit, ...]:
    """Return the edits that give a command an environment variable."""
    if value is None:
        return unset_env(document, command, name)
    found = _written(document, command, name)
    if found is not None:
        return replacing.replace(document, found, value)
    if _JOB in (*command.wrapped_by, command.program):
        return _in_job(document, command, name, value)
    return _exported(document, command, name, value)


def unset_env(document: Document, command: Command, name: str) -> tuple[Edit, ...]:
    """Return the edits that take an environment variable from a command."""
    found = _written(document, command, name)
    return () if found is None else deleting.delete(document, found)


def _written(document: Document, command: Command, name: str) -> Setting | None:
    for setting in command.env:
        if setting.key == name and setting.place is not None and setting.place.file in document.files:
            return setting
    return None


def _in_job(document: Document, command: Command, name: str, value: Any) -> tuple[Edit, ...]:
    pairs = [setting for setting in command.env if setting.form == "json" and setting.place is not None]
    if pairs:
        return (_beside(document, pairs[-1], name, value),)
    job = _outer(document, command, _JOB)
    given = next((s for s in job.settings if s.key == _OPTION), None) if job is not None else None
    if job is None:
        return _exported(document, command, name, value)
    if given is None:
        text = f'{{"env_vars": {{"{name}": "{json_text(value)}"}}}}'
        return _option(document, job, f"{_OPTION}='{text}'")
    return _first_pair(document, given, name, value)


def _beside(document: Document, pair: Setting, name: str, value: Any) -> Edit:
    """Add a member after another, on a line of its own if that one has its own."""
    place = pair.place
    assert place is not None
    data = document.files[place.file]
    old = data[place.start : place.end].decode("utf-8", "replace")
    quote = old[: old.index(pair.key)]
    text = protected(json_text(value), context_at(data, place.start, place.end))
    new = f"{quote}{name}{quote}: {quote}{text}{quote}"
    line = line_at(data, place.start)
    alone = not data[line.start : place.start].strip()
    joint = f",{newline(data)}{indentation(data, line)}" if alone else ", "
    return splice(data, place.file, place.end, place.end, joint + new)


def _first_pair(document: Document, given: Setting, name: str, value: Any) -> tuple[Edit, ...]:
    """Add the first member to an ``env_vars`` that is empty, or a whole one to a runtime environment."""
    where = given.defined_at or given.value_place or given.place
    for file, data in document.files.items():
        for match in re.finditer(rb'(\\?")env_vars\\?"\s*:\s*\{(\s*)(\})?', data):
            if where is not None and where.file == file and match.start() >= where.start and match[3]:
                quote = match[1].decode()
                text = protected(json_text(value), context_at(data, match.start(), match.end()))
                at = match.end() - 1
                new = f"{quote}{name}{quote}: {quote}{text}{quote}"
                return (splice(data, file, at, at, new),)
    return ()


def _option(document: Document, job: Command, text: str) -> tuple[Edit, ...]:
    anchor = job.insert_at
    if anchor is None or anchor.file not in document.files:
        return ()
    return (inserting.after(document.files[anchor.file], anchor, text),)


def _outer(document: Document, command: Command, program: str) -> Command | None:
    """Return the wrapper of this name that holds the command."""
    if command.program == program:
        return command
    inner = command.place
    for world in document.worlds:
        if command not in world:
            continue
        for other in reversed(world[: world.index(command)]):
            place = other.place
            if other.program == program and place and inner and place.start <= inner.start <= place.end:
                return other
    return None


def _exported(document: Document, command: Command, name: str, value: Any) -> tuple[Edit, ...]:
    """Export the variable on a line before the command."""
    place = command.place
    if place is None or place.file not in document.files:
        return ()
    data = document.files[place.file]
    for world in document.worlds:
        for other in world if command in world else ():
            if other.place and other.place.start <= place.start and place.end <= other.place.end:
                place = other.place
    line = line_at(data, place.start)
    while line.start and continued(data, line_at(data, line.start - 1)) is not None:
        line = line_at(data, line.start - 1)
    new = f"{indentation(data, line)}export {name}={protected(spelled(value), 'bare')}{newline(data)}"
    return (splice(data, place.file, line.start, line.start, new),)
