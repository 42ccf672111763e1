"""Functions and methods whose result follows from their arguments alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from rldoctor.sources.python.values import (
    MOST_ITEMS,
    Items,
    Open,
    Plain,
    Table,
    Text,
    Value,
    joined,
    pieces_of,
    said,
    text_of,
    truth,
)
from rldoctor.sources.shell.text import Piece, Pieces, raw, slice_pieces

MOST_RANGE: Final = 1000
DEEPEST: Final = 6


def function(name: str, positional: list[Value], named: Mapping[str, Value]) -> Value | None:
    """Return what a known function gives, None for another."""
    if name == "dict":
        return Table(named)
    handler = _FUNCTIONS.get(name)
    return handler(*positional[:1]) if handler is not None and positional else None


def method(whole: Value, name: str, positional: list[Value]) -> Value | None:
    """Return what a known method gives; lists and dictionaries are changed in place."""
    if isinstance(whole, Items):
        return _of_list(whole, name, positional)
    if isinstance(whole, Table):
        return _of_table(whole, name, positional)
    return _of_text(whole, name, positional) if isinstance(whole, Text) else _of_module(name, positional)


def _of_module(name: str, positional: list[Value]) -> Value | None:
    if name == "join" and len(positional) > 1:
        return joined(positional, (Piece("/"),))  # os.path.join
    if name == "join" and positional and isinstance(positional[0], Items):
        return joined(positional[0], (Piece(" "),))  # shlex.join
    if name == "split" and positional and isinstance(positional[0], Text):
        return words(positional[0].pieces)
    if name == "dumps" and positional:
        return Text(_json(positional[0]))
    if name in ("dedent", "abspath", "realpath", "expanduser", "quote", "Path") and positional:
        return positional[0]
    return None


def _of_list(whole: Items, name: str, positional: list[Value]) -> Value | None:
    if name == "append" and positional:
        whole.append(positional[0])
    elif name == "extend" and positional:
        more = positional[0] if isinstance(positional[0], Items) else [Open("…")]
        whole += more if len(whole) + len(more) <= MOST_ITEMS else []
    elif name == "insert" and len(positional) > 1:
        whole.insert(0, positional[1])
    elif name == "copy":
        return Items(whole)
    else:
        return None
    return Plain(None)


def _of_table(whole: Table, name: str, positional: list[Value]) -> Value | None:
    key = text_of(positional[0]) if positional else None
    if name == "update" and positional and isinstance(positional[0], Table):
        whole.update(positional[0])
        return Plain(None)
    if name == "get" and key is not None:
        found: Value = whole.get(key, positional[1] if len(positional) > 1 else Plain(None))
        return found
    if name == "items":
        return Items(Items([said(each), value]) for each, value in whole.items())
    if name in ("keys", "values"):
        return Items(said(each) for each in whole) if name == "keys" else Items(whole.values())
    return Table(whole) if name == "copy" else None


def _of_text(whole: Text, name: str, positional: list[Value]) -> Value | None:
    text = raw(whole.pieces)
    if name == "join" and positional:
        return joined(positional[0], whole.pieces) if isinstance(positional[0], Items) else None
    if name == "split" and not positional:
        return words(whole.pieces)
    if name in ("strip", "lstrip", "rstrip") and not positional:
        start = 0 if name == "rstrip" else len(text) - len(text.lstrip())
        end = len(text) if name == "lstrip" else len(text.rstrip())
        return Text(slice_pieces(whole.pieces, start, max(start, end)))
    known = text_of(whole)
    if known is not None and name in ("lower", "upper"):
        return Text((Piece(known.lower() if name == "lower" else known.upper()),))
    given = [text_of(each) for each in positional]
    if known is not None and name in ("startswith", "endswith") and given and given[0] is not None:
        return Plain(known.startswith(given[0]) if name == "startswith" else known.endswith(given[0]))
    if known is not None and name == "replace" and len(given) == 2 and None not in given:
        return Text((Piece(known.replace(str(given[0]), str(given[1]))),))
    return None


def words(pieces: Pieces) -> Value:
    """Return a text's words as ``split`` gives them; quotes leave it open."""
    text = raw(pieces)
    if re.search(r"[\"'\\]", text):
        return Open("a text with quotes")
    return Items(Text(slice_pieces(pieces, m.start(), m.end())) for m in re.finditer(r"\S+", text))


def _json(value: Value, depth: int = 0) -> Pieces:
    """Return a value as JSON, its texts with their places."""
    if depth > DEEPEST:
        return pieces_of(Open("…"))
    if isinstance(value, Table):
        inner: list[Piece] = []
        for number, (key, each) in enumerate(value.items()):
            inner += (Piece(f"{', ' if number else ''}{json.dumps(key)}: "), *_json(each, depth + 1))
        return (Piece("{"), *inner, Piece("}"))
    if isinstance(value, Items):
        between = [
            (Piece(", " if number else ""), *_json(each, depth + 1)) for number, each in enumerate(value)
        ]
        return (Piece("["), *(piece for each in between for piece in each), Piece("]"))
    if isinstance(value, Plain):
        return (Piece(json.dumps(value.value)),)
    return (Piece('"'), *pieces_of(value), Piece('"'))


def _number(kind: Callable[[Any], int | float]) -> Callable[[Value], Value]:
    def convert(value: Value) -> Value:
        text = str(value.value) if isinstance(value, Plain) else text_of(value)
        if text is None or not re.fullmatch(r"\s*[-+]?\d+(\.\d+)?([eE][-+]?\d+)?\s*", text):
            return Open(f"{kind.__name__}(…)")
        if kind is int and not text.strip().lstrip("+-").isdecimal():
            return Open("int(…)")
        pieces = pieces_of(value)
        assumes = tuple(each for piece in pieces for each in piece.assumes)
        return Plain(kind(text), pieces[0].span if len(pieces) == 1 else None, assumes)

    return convert


def _text(value: Value) -> Value:
    return Text(pieces_of(value))


def _truth(value: Value) -> Value:
    held = truth(value)
    return Open("bool(…)") if held is None else Plain(held)


def _length(value: Value) -> Value:
    return Plain(len(value)) if isinstance(value, Items | Table) else Open("len(…)")


def _range(value: Value) -> Value:
    count = value.value if isinstance(value, Plain) else None
    if not isinstance(count, int) or not 0 <= count <= MOST_RANGE:
        return Open("range(…)")
    return Items(Plain(number) for number in range(count))


def _same(value: Value) -> Value:
    return value


_FUNCTIONS: Final[dict[str, Callable[[Value], Value]]] = {
    "str": _text,
    "int": _number(int),
    "float": _number(float),
    "bool": _truth,
    "len": _length,
    "range": _range,
    "list": lambda value: Items(value) if isinstance(value, Items | Table) else value,
    "tuple": _same,
    "Path": _same,
    "pathlib.Path": _same,
    "print": lambda _: Plain(None),
}
