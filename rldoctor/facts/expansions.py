"""Variables and arrays of a script that expand to something else than is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from rldoctor.facts.slips import LONGEST, line_of, of_place, slip
from rldoctor.facts.walk import Facts
from rldoctor.types import Event, Place, Setting

_FILLED: Final = rb"(?m)^[ \t]*(\w+)=\(\s*([^)]*)"
_OPEN: Final = rb"(?m)^(\w+)\+?=\(([^)\n]*\n(?:(?!^\w+\+?=\()[^)\n]*\n)*?)^(\w+)\+?=\("
_LEFT: Final = rb"(?m)^[ \t]*\$\{?(\w+)\}?=\S"
_BARE: Final = rb"(?<=[ \t\n])\"?\$(?:\{(\w+)\}|(\w+))\"?(?=[ \t\n\\])"
_RUN: Final = rb"\$\((\w+)\)"
_STARRED: Final = rb"(?<=[ \t\n])\"\$\{(\w+)\[\*\]\}\""
_BEFORE: Final = rb"(?m)^[ \t]*((?:\w+=[^\s\"']*[ \t]+)+)(?=[A-Za-z./])"
_SET: Final = (
    rb"(?m)^[ \t]*(?:export[ \t]+|local[ \t]+|declare[ \t]+)?(\w+)=(?:\S*[ \t]*(?:[;#&|]|$)|[\"'($])"
)
_LITERAL: Final = r"\$\{?([A-Z][A-Z0-9_]*)\}?"
_RAN_ON: Final = r"[^\s-]\S*?(--[a-z][\w-]+)"


def expanded(facts: Facts) -> Iterator[Event]:
    """Yield what expands to something else; nothing where a script is none or too long."""
    document = facts.document
    if document is None or document.kind not in ("shell", "command"):
        return
    for path, data in document.files.items():
        if len(data) <= LONGEST and b"$" in data:
            yield from _of_text(path, data)
    command = facts.start.command
    if command is not None and command.place is not None:
        yield from _arrays(command.place, document.files.get(command.place.file, b""))
    for setting in command.settings if command is not None else ():
        if setting.place is not None and setting.state != "unknown":
            yield from _unfilled(setting, document.files)
            yield from _run_on(setting)


@lru_cache(maxsize=64)
def _of_text(path: str, data: bytes) -> tuple[Event, ...]:
    """Return what a text says wrongly whatever it launches, read once for all of its launches."""
    return (*_unclosed(path, data), *_variables(path, data))


def _run_on(setting: Setting) -> Iterator[Event]:
    """Yield a value into which the next flag runs, for there is no space between."""
    words = setting.value if isinstance(setting.value, list) else [setting.value]
    for word in map(str, words if setting.form == "flag" else ()):
        found = re.fullmatch(_RAN_ON, word) if "--" in word and "/" not in word else None
        if found is not None:
            says = f"There is no space before {found[1]}: it is a part of the value of {setting.key}"
            right = f"{setting.key} {word.removesuffix(found[1])} {found[1]}"
            yield slip(setting.key, says, "A word ends at a space", right, of_place(setting.place))


def _unclosed(path: str, data: bytes) -> Iterator[Event]:
    """Yield arrays that are not closed where another one begins."""
    for found in re.finditer(_OPEN, data) if data.count(b"=(") > 1 else ():
        name, line = found[1].decode(), line_of(data, found.start())
        says = f"The array {name} has no closing bracket before {found[3].decode()} begins"
        advice = f"A line with ) before line {line_of(data, found.start(3))}"
        yield slip(name, says, "bash stops with a syntax error", advice, (path, line))


def _arrays(place: Place, data: bytes) -> Iterator[Event]:
    """Yield arrays that a launch gets as one word, or the first of their words alone."""
    starred = b'[*]}"' in data
    for found in re.compile(_STARRED).finditer(data, place.start, place.end) if starred else ():
        name = found[1].decode()
        says = f"All of {name} is one single argument: * in quotes joins the elements"
        why = "Only @ keeps the elements apart, in quotes too"
        yield slip(name, says, why, f"${{{name}[@]}}", (place.file, line_of(data, found.start(1))))
    taken: dict[bytes, re.Match[bytes]] = {}
    for found in re.compile(_BARE).finditer(data, place.start, place.end + 1) if b"=(" in data else ():
        taken.setdefault(found[1] or found[2], found)
    for found in re.finditer(_FILLED, data) if taken else ():
        name, words = found[1].decode(), found[2].split()
        bare = taken.get(found[1])
        if bare is not None and len(words) > 1:
            says = f"{bare[0].decode()} is the first element of the array alone ({words[0].decode()})"
            why = "An array gives all its elements only with [@]"
            yield slip(name, says, why, f"${{{name}[@]}}", (place.file, line_of(data, bare.start())))


def _variables(path: str, data: bytes) -> Iterator[Event]:
    """Yield variables that are set or asked for in a way that does neither."""
    for found in re.finditer(_LEFT, data):
        name = found[1].decode()
        says = f"${name}= sets nothing: bash runs a command of that name"
        at = line_of(data, found.start(1))
        yield slip(name, says, "A variable is set without $", f"{name}=…", (path, at))
    for found in re.finditer(_RUN, data):
        name = found[1].decode()
        own = re.search(rb"^[ \t]*(?:function[ \t]+)?%b[ \t]*\(\)" % found[1], data, re.MULTILINE)
        if own is None and found[1] in _assigned(data):
            says = f"$({name}) runs a command of that name, and the variable is not read"
            at = line_of(data, found.start())
            yield slip(name, says, "Round brackets run a command", f"${{{name}}}", (path, at))
    for found in re.finditer(_BEFORE, data):
        for name in re.findall(rb"(\w+)=", found[1]):
            used = re.search(rb"\$\{?%b\b(?!:?[-=])" % name, data)
            if used is not None and name not in _assigned(data) and not _is_set_otherwise(name, data):
                text = name.decode()
                at = line_of(data, used.start())
                says = f"${text} is empty in line {at}: it is set for another command alone"
                why = "The shell fills in a command's words before it sets what stands in front of it"
                advice = f"{text}=… in a line of its own, above"
                yield slip(text, says, why, advice, (path, line_of(data, found.start())), "warning")


def _assigned(data: bytes) -> set[bytes]:
    """Return the variables that a text sets for itself, not for another command alone."""
    return {found[1] for found in re.finditer(_SET, data)}


def _is_set_otherwise(name: bytes, data: bytes) -> bool:
    """Say whether a variable is read, looped over or exported somewhere."""
    ways = rb"(?:export|local|declare|readonly|read|for|typeset)[ \t][^\n]*\b%b\b|\b%b\+=|: *\"?\$\{%b:?="
    return re.search(ways % (name, name, name), data) is not None


def _unfilled(setting: Setting, files: Mapping[str, bytes]) -> Iterator[Event]:
    """Yield a value in single quotes with a variable of the script in it."""
    place, text = setting.place, str(setting.value)
    found = re.search(_LITERAL, text) if "$" in text else None
    if found is None or place is None:
        return
    data = files.get(place.file, b"")
    if data.find(b"'", place.start, place.end) < 0:
        return
    literal = re.search(rb"'[^'\n]*\$\{?%b\b" % found[1].encode(), data[place.start : place.end])
    own = re.search(rb"^[ \t]*(?:export[ \t]+)?%b=" % found[1].encode(), data, re.MULTILINE)
    if literal is not None and own is not None and str(setting.value)[:1] not in "{[":
        says = f"{setting.key} gets the text {found[0]}, for it stands in single quotes"
        why = "The shell fills nothing in inside single quotes"
        yield slip(setting.key, says, why, "Write double quotes", of_place(place))
