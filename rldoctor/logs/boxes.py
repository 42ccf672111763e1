"""Tracebacks as rich, notebooks and groups of exceptions draw them, turned into the plain form."""

from __future__ import annotations

import re
from typing import Final

PLAIN_HEAD: Final = "Traceback (most recent call last):"
START: Final = PLAIN_HEAD[:-1]
FRAME: Final = re.compile(
    r"(?P<file>(?:/|[A-Z]:\\|\.)[^:]{1,400}\.pyx?):(?P<line>\d{1,7}) in (?P<name>\S{1,200})$"
)
CODE: Final = re.compile(r"(?P<here>❱|>)?\s{0,12}(?P<number>\d{1,7}) │(?P<code>[ │]*.*)")
GROUP: Final = re.compile(r"\s{1,40}\| ?(?P<text>.*)")
CELL: Final = re.compile(
    r"(?:Cell )?(?P<file>In ?\[\d{1,5}\]|<ipython-input-[\w-]{1,60}>),? (?:in |line )(?P<line>\d{0,7})"
)
MODULE: Final = re.compile(
    r"File (?P<file>[^\s\",][^\",]{0,400}?\.pyx?):(?P<line>\d{1,7}),? in (?P<name><?[\w.]{1,200}>?)"
)
ARROW: Final = re.compile(r"-{1,6}> ?\d{1,7} (?P<code>.*)")


def unboxed(text: str) -> str:
    """Return a line without the drawing around it; what is only drawing becomes an empty line."""
    bare = text.lstrip()
    if not bare:
        return text
    if START in bare and (bare[0] in "╭┌+" or bare.endswith(START)):
        return PLAIN_HEAD
    if bare[0] in "╭┌╰└":
        return ""
    if bare[0] == "│":
        return _rich(bare[1:].rstrip().removesuffix("│").rstrip())
    if bare[0] in "|+":
        return _group(text, bare)
    return _notebook(text, bare) if bare[0] in "CFI<-" else text


def _rich(inside: str) -> str:
    bare = inside.strip()
    frame = FRAME.match(bare)
    if frame is not None:
        return f'  File "{frame["file"]}", line {frame["line"]}, in {frame["name"]}'
    code = CODE.match(bare)
    if code is not None:
        return f"    {code['code'].strip(' │')}" if code["here"] else ""
    return inside.removeprefix(" ")


def _group(text: str, bare: str) -> str:
    """Return a line inside of a group of exceptions, which bars and rules mark."""
    found = GROUP.match(text)
    if found is not None:
        return found["text"]
    return "" if bare.startswith(("+-", "+=")) else text


def _notebook(text: str, bare: str) -> str:
    found = MODULE.match(bare)
    if found is not None:
        return f'  File "{found["file"]}", line {found["line"]}, in {found["name"]}'
    cell = CELL.match(bare)
    if cell is not None:
        return f'  File "{cell["file"]}", line {cell["line"] or 0}, in <module>'
    arrow = ARROW.match(bare)
    return f"    {arrow['code'].strip()}" if arrow is not None else text
