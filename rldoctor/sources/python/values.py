"""What a launcher's names hold, as far as its text tells."""

from __future__ import annotations

import ast
import re
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.sources.shell.text import Piece, Pieces, Span, blurred, encoded, raw, unknown

MOST_TEXT: Final = 200_000
MOST_PIECES: Final = 2_000
MOST_ITEMS: Final = 10_000
_NAME: Final = re.compile(r"[\w.]+")


class Text(Struct, frozen=True):
    """A string, piece by piece."""

    pieces: Pieces


class Plain(Struct, frozen=True):
    """A number, a truth value or None, and where its literal stands."""

    value: int | float | bool | None
    span: Span | None = None
    assumes: tuple[str, ...] = ()


class Open(Struct, frozen=True):
    """What nobody can tell: its expression, and what it hangs on."""

    text: str
    depends: tuple[str, ...] = ()


class Record(Struct, frozen=True):
    """An object with attributes: arguments of a program, an instance of a data class."""

    fields: dict[str, Any]


class Function(Struct, frozen=True):
    """A function or class of the file."""

    node: ast.FunctionDef | ast.ClassDef | ast.Lambda


class Items(list["Any"]):
    """A list or tuple of values."""


class Table(dict[str, Any]):
    """A dictionary with text keys."""


Value: TypeAlias = Text | Plain | Open | Record | Function | Items | Table


def bounded(text: Text) -> Text | Open:
    """Return a text, open where it is too long to be a command's."""
    if len(text.pieces) > MOST_PIECES or sum(len(piece.text) for piece in text.pieces) > MOST_TEXT:
        return Open("a text that is too long")
    return text


def bounded_list(items: Items) -> Items | Open:
    """Return a list, open where it is too long to be a command's."""
    return items if len(items) <= MOST_ITEMS else Open("a list that is too long")


def pieces_of(value: Value) -> Pieces:
    """Return how a value reads inside a text."""
    if isinstance(value, Text):
        return value.pieces
    if isinstance(value, Plain):
        return (Piece(str(value.value), value.span, assumes=value.assumes),)
    if isinstance(value, Open):
        shown = value.text if _NAME.fullmatch(value.text) else "…"
        return (unknown(encoded("{" + shown + "}"), *(value.depends or (value.text,))),)
    return (unknown("{...}", type(value).__name__.lower()),)


def text_of(value: Value) -> str | None:
    """Return a known string, None for anything else."""
    if isinstance(value, Text) and not any(piece.unknown for piece in value.pieces):
        return raw(value.pieces)
    return None


def truth(value: Value) -> bool | None:
    """Return whether a value counts as true, None where nobody can tell."""
    if isinstance(value, Plain):
        return bool(value.value)
    if isinstance(value, Text):
        text = text_of(value)
        return bool(text) if text is not None else (True if _solid(value) else None)
    if isinstance(value, Items | Table):
        return bool(value)
    return None if isinstance(value, Open) else True


def _solid(value: Text) -> bool:
    return any(piece.text and not piece.unknown for piece in value.pieces)


def said(text: str) -> Text:
    """Return a string that stands nowhere in the file."""
    return Text((Piece(encoded(text)),))


def joined(values: list[Value], separator: Pieces) -> Text | Open:
    """Return several values as one text with a separator between them."""
    found: list[Piece] = []
    for number, value in enumerate(values):
        found += separator if number else ()
        found += pieces_of(value)
    return bounded(Text(tuple(found)))


def assumed(value: Value, *assumes: str) -> Value:
    """Return a value that takes something for granted."""
    if isinstance(value, Plain):
        return replace(value, assumes=(*value.assumes, *assumes))
    if isinstance(value, Text):
        return Text(tuple(replace(each, assumes=(*each.assumes, *assumes)) for each in value.pieces))
    return value


def blurring(text: str, *values: Value) -> Open:
    """Return an unknown that hangs on what makes these values unknown."""
    every = tuple(piece for value in values for piece in pieces_of(value))
    return Open(text, blurred(text, every).depends)
