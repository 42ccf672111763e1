"""Arrays of arguments that a script fills and never hands over, or hands over under another name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rldoctor.dialects.suggest import distance
from rldoctor.facts.refusal import Refusal
from rldoctor.facts.slips import line_of, slip
from rldoctor.facts.walk import Facts
from rldoctor.types import Document, Event

SLIP: Final = 2
MOST: Final = 3
_FILLED: Final = re.compile(rb"^[ \t]*(\w+)=\((.*?)^[ \t]*\)", re.MULTILINE | re.DOTALL)
_FILLING: Final = re.compile(rb"^(\w+)(\+?)=\((.*?)\)[ \t]*$", re.MULTILINE | re.DOTALL)
_NAMED: Final = re.compile(rb"^[ \t]*(?:declare[^\n=]*?\s)?(\w+)\+?=\(", re.MULTILINE)
_HANDED: Final = re.compile(rb"\$\{(\w+)\[[@*]\]")
_FLAG: Final = re.compile(rb"^[ \t]*\"?(--?[A-Za-z][\w-]*|\+{0,2}\w[\w.]*(?==))", re.MULTILINE)


def unused(facts: Facts) -> Iterator[Event]:
    """Yield arrays of arguments that no command of a script gets."""
    document = facts.document
    if document is None or document.kind != "shell" or facts.start.command is None:
        return
    text = b"\n".join(document.files.values())
    if b"=(" not in text:
        return
    filled = {name.decode(): _FLAG.findall(body) for name, body in _FILLED.findall(text)}
    handed = {name.decode() for name in _HANDED.findall(text)}
    strange = handed - {name.decode() for name in _NAMED.findall(text)}
    for name, flags in filled.items():
        if flags and not re.search(rb"\$\{?#?%b\b" % name.encode(), text):
            near = next((each for each in sorted(strange) if distance(name, each) <= SLIP), None)
            yield _event(facts, document, name, [flag.decode() for flag in flags], near)
    for path, data in document.files.items():
        yield from _overwritten(path, data)


def _overwritten(path: str, data: bytes) -> Iterator[Event]:
    """Yield an array that is filled, or added to, and then filled anew before anybody took it."""
    fillings = list(_FILLING.finditer(data))
    for one, other in ((a, b) for i, a in enumerate(fillings) for b in fillings[i + 1 :] if a[1] == b[1]):
        between = data[one.end() : other.end()]
        used = re.search(
            rb"\$\{?#?%b\b|^(?:if|elif|else|case|for|while|esac|fi|done|\})\b" % one[1], between, re.M
        )
        flags = [flag.decode() for flag in _FLAG.findall(one[3])]
        if other[2] == b"" and used is None and flags:
            name, at = one[1].decode(), line_of(data, other.start(1))
            says = f"{', '.join(flags[:MOST])} of {name} are lost: line {at} fills it anew"
            why = "= gives an array its elements, whatever it had; += adds some"
            yield slip(name, says, why, f"{name}+=( in line {at}, or both in one", (path, at), "warning")
            return


def _event(facts: Facts, document: Document, name: str, flags: list[str], near: str | None) -> Event:
    file, line = _place(document, name)
    said = f"the script hands over ${{{near}[@]}}, which nothing fills" if near else "no command gets it"
    return Refusal(
        name,
        f"The arguments in {name} are lost, for {said}",
        facts.system,
        "bash: an array that is not set expands to nothing",
        shown=", ".join(flags[:MOST]) + (" …" if len(flags) > MOST else ""),
        advice=f"Write ${{{name}[@]}} in place of ${{{near}[@]}}" if near else f"Write ${{{name}[@]}}",
        severity="error" if near else "warning",
    ).in_line(file, line)


def _place(document: Document, name: str) -> tuple[str, int]:
    """Return the file and the line where an array is filled."""
    for path, data in document.files.items():
        found = re.search(rb"^[ \t]*%b=\(" % name.encode(), data, re.MULTILINE)
        if found is not None:
            return path, data.count(b"\n", 0, found.end()) + 1
    return document.path, 1
