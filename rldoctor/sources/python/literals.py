"""String literals piece by piece: which bytes of the file stand for which text."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from rldoctor.sources.shell.text import Piece, Pieces, Span, encoded, unknown

_OPEN: Final = re.compile(rb"(?P<prefix>[A-Za-z]{0,2})(?P<quote>\"\"\"|'''|\"|')")
_BETWEEN: Final = re.compile(rb"(?:\s|\\\r?\n|#[^\n]*)+")
_ESCAPE: Final = re.compile(
    rb"\\(\r?\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|.)", re.DOTALL
)

Fill = Callable[[str, Span], Pieces]


class Part(Struct, frozen=True):
    """One literal of several that stand side by side: its prefix, and the bounds of what it holds."""

    prefix: str
    start: int
    end: int
    close: int


def parts(data: bytes, start: int, end: int) -> Iterator[Part]:
    """Yield the literals that make one string expression."""
    at = start
    while at < end:
        gap = _BETWEEN.match(data, at, end)
        at = gap.end() if gap else at
        opened = _OPEN.match(data, at, end)
        if opened is None:
            return
        prefix, quote = opened["prefix"].decode().lower(), opened["quote"]
        inner = opened.end()
        close = _close(data, inner, end, quote, "f" in prefix)
        yield Part(prefix, inner, close, close + len(quote))
        at = close + len(quote)


def _close(data: bytes, at: int, end: int, quote: bytes, fields: bool) -> int:
    """Return where a literal's closing quote begins."""
    while at < end:
        if data[at : at + 1] == b"\\":
            at += 2
        elif data.startswith(quote, at):
            return at
        elif fields and data[at : at + 1] == b"{" and data[at + 1 : at + 2] != b"{":
            at = _field_end(data, at, end)
        else:
            at += 2 if fields and data[at : at + 2] in (b"{{", b"}}") else 1
    return end


def _field_end(data: bytes, at: int, end: int) -> int:
    """Return where a replacement field ends, behind its brace; quotes and brackets within it count."""
    depth = 0
    while at < end:
        char = data[at : at + 1]
        if char in (b"'", b'"'):
            opened = _OPEN.match(data, at, end)
            quote = opened["quote"] if opened else char
            at = _close(data, at + len(quote), end, quote, False) + len(quote)
            continue
        depth += (char in (b"{", b"(", b"[")) - (char in (b"}", b")", b"]"))
        at += 1
        if depth == 0:
            return at
    return end


def pieces(file: str, data: bytes, node: ast.expr, fill: Fill, starts: list[int]) -> Pieces:
    """Return the text of a string expression; ``fill`` gives that of a replacement field."""
    start, end = bounds(node, starts)
    found: list[Piece] = []
    for part in parts(data, start, end):
        if "b" in part.prefix:
            return (unknown("bytes", "bytes"),)
        found += _literal(file, data, part, fill)
    return tuple(found) or (Piece(""),)


def bounds(node: ast.AST, starts: list[int]) -> tuple[int, int]:
    """Return the bytes from which to which a node stands."""
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
    last, end = getattr(node, "end_lineno", line) or line, getattr(node, "end_col_offset", column) or column
    return starts[line - 1] + column, starts[last - 1] + end


def _literal(file: str, data: bytes, part: Part, fill: Fill) -> Iterator[Piece]:
    """Yield the runs of a literal: plain bytes, escapes, replacement fields."""
    at = run = part.start
    fields, cooked = "f" in part.prefix, "r" not in part.prefix
    while at < part.end:
        char = data[at : at + 1]
        if cooked and char == b"\\":
            yield from _plain(file, data, run, at)
            found = _ESCAPE.match(data, at, part.end)
            run = found.end() if found else at + 1
            yield Piece(_unescaped(data[at:run]), Span(file, at, run))
        elif fields and data[at : at + 2] in (b"{{", b"}}"):
            yield from _plain(file, data, run, at)
            run = at + 2
            yield Piece(char.decode(), Span(file, at, run))
        elif fields and char == b"{":
            yield from _plain(file, data, run, at)
            run = _field_end(data, at, part.end)
            yield from fill(data[at + 1 : run - 1].decode("utf-8", "replace"), Span(file, at, run))
        else:
            at += 1
            continue
        at = run
    yield from _plain(file, data, run, part.end)


def _plain(file: str, data: bytes, start: int, end: int) -> Iterator[Piece]:
    if start < end:
        yield Piece(data[start:end].decode("latin-1"), Span(file, start, end))


def _unescaped(text: bytes) -> str:
    if text.endswith(b"\n"):
        return ""
    value = ast.literal_eval(f"'{text.decode('latin-1')}'") if text != b"\\'" else "'"
    return encoded(str(value))
