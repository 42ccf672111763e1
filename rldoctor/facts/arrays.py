"""Arrays of arguments that a script fills and never hands over, or hands over under another name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from rldoctor.dialects.suggest import distance
from rldoctor.facts.refusal import Refusal
from rldoctor.facts.slips import line_of, slip
from rldoctor.facts.walk import Facts
from rldoctor.types import Document, Event

SLIP: Final = 2
MOST: Final = 3
_FILLED: Final = rb"(?ms)^[ \t]*(\w+)=\((.*?)^[ \t]*\)"
_FILLING: Final = rb"(?ms)^(\w+)(\+?)=\((.*?)\)[ \t]*$"
_NAMED: Final = rb"(?m)^[ \t]*(?:declare[^\n=]*?\s)?(\w+)\+?=\("
_HANDED: Final = rb"\$\{(\w+)\[[@*]\]"
_FLAG: Final = rb"(?m)^[ \t]*\"?(--?[A-Za-z][\w-]*|\+{0,2}\w[\w.]*(?==))"


def unused(facts: Facts) -> Iterator[Event]:
    """Yield arrays of arguments that no command of a script gets."""
    document = facts.document
    if document is None or document.kind != "shell" or facts.start.command is None:
        return
    for name, flags, near in _lost(tuple(document.files.values())):
        yield _event(facts, document, name, list(flags), near)
    for path, data in document.files.items():
        yield from _overwritten(path, data)


@lru_cache(maxsize=64)  # read once for all launches of a script
def _lost(texts: tuple[bytes, ...]) -> tuple[tuple[str, tuple[str, ...], str | None], ...]:
    """Return arrays of flags that no command gets: their names, flags, and the name that is handed over."""
    text = b"\n".join(texts)
    if b"=(" not in text:
        return ()
    filled = {name.decode(): re.findall(_FLAG, body) for name, body in re.findall(_FILLED, text)}
    handed = {name.decode() for name in re.findall(_HANDED, text)}
    strange = handed - {name.decode() for name in re.findall(_NAMED, text)}
    found = []
    for name, flags in filled.items():
        if flags and not re.search(rb"\$\{?#?%b\b" % name.encode(), text):
            near = next((each for each in sorted(strange) if distance(name, each) <= SLIP), None)
            found.append((name, tuple(flag.decode() for flag in flags), near))
    return tuple(found)


@lru_cache(maxsize=64)
def _overwritten(path: str, data: bytes) -> tuple[Event, ...]:
    """Return an array that is filled, or added to, and then filled anew before anybody took it."""
    fillings = list(re.finditer(_FILLING, data))
    for one, other in ((a, b) for i, a in enumerate(fillings) for b in fillings[i + 1 :] if a[1] == b[1]):
        between = data[one.end() : other.end()]
        used = re.search(
            rb"\$\{?#?%b\b|^(?:if|elif|else|case|for|while|esac|fi|done|\})\b" % one[1], between, re.M
        )
        flags = [flag.decode() for flag in re.findall(_FLAG, one[3])]
        if other[2] == b"" and used is None and flags:
            name, at = one[1].decode(), line_of(data, other.start(1))
            says = f"{', '.join(flags[:MOST])} of {name} are lost: line {at} fills it anew"
            why = "= gives an array its elements, whatever it had; += adds some"
            advice = f"{name}+=( in line {at}, or both in one"
            return (slip(name, says, why, advice, (path, at), "warning"),)
    return ()


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
