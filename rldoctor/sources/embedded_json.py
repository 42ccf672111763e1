"""JSON inside a shell word, member by member with exact places; tolerant of what the shell leaves open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from rldoctor.sources.shell.text import (
    Pieces,
    Span,
    assumes_of,
    decoded,
    depends_of,
    is_unknown,
    raw,
    slice_pieces,
    span_of,
)
from rldoctor.types import Place, Setting

PlaceOf = Callable[[Span | None], Place | None]

_BLANK = r"\s*"
_STRING = r'(?s)"(?:[^"\\]|\\.)*"'
_BARE = r"[^,{}\[\]\s]+"
_MOST_DEPTH = 20


class Member(Struct, frozen=True):
    """One ``"key": value`` of an object, with offsets into the JSON text.

    ``inner`` is the value's text without the quotes of a string.
    """

    key: str
    start: int
    end: int
    value_start: int
    value_end: int

    def inner(self, text: str) -> tuple[int, int]:
        """Return the offsets of the value without its quotes."""
        quoted = text[self.value_start : self.value_start + 1] == '"'
        return (self.value_start + 1, self.value_end - 1) if quoted else (self.value_start, self.value_end)


def members(text: str, start: int = 0) -> list[Member] | None:
    """Return the members of the object that begins at ``start``; ``None`` if it is no object."""
    at = _skip(text, start)
    if text[at : at + 1] != "{":
        return None
    found: list[Member] = []
    at = _skip(text, at + 1)
    while at < len(text) and text[at] != "}":
        key = re.compile(_STRING).match(text, at)
        if not key:
            return found
        colon = _skip(text, key.end())
        if text[colon : colon + 1] != ":":
            return found
        first = _skip(text, colon + 1)
        last = _value_end(text, first, 0)
        found.append(Member(key[0][1:-1], at, last, first, last))
        at = _skip(text, last)
        at = _skip(text, at + 1) if text[at : at + 1] == "," else at
        if last == first:
            break
    return found


def _skip(text: str, at: int) -> int:
    match = re.compile(_BLANK).match(text, at)
    return match.end() if match else at


def _value_end(text: str, at: int, depth: int) -> int:
    if text[at : at + 1] == '"':
        match = re.compile(_STRING).match(text, at)
        return match.end() if match else len(text)
    if text[at : at + 1] not in ("{", "["):
        bare = re.compile(_BARE).match(text, at)
        return bare.end() if bare else at
    if depth > _MOST_DEPTH:
        return len(text)
    at += 1
    while at < len(text) and text[at] not in "}]":
        if text[at] in " \t\r\n,:":
            at += 1
            continue
        following = _value_end(text, at, depth + 1)
        at = following if following > at else at + 1
    return min(at + 1, len(text))


def value_of(pieces: Pieces, cut: int) -> Pieces:
    """Return the pieces after the first ``cut`` characters."""
    return slice_pieces(pieces, cut, len(raw(pieces)))


def env_vars(text: str) -> tuple[Member, list[Member]] | None:
    """Return the ``env_vars`` member of a runtime environment, and the variables in it."""
    for member in members(text) or []:
        if member.key == "env_vars":
            return member, members(text, member.value_start) or []
    return None


def environment(pieces: Pieces, place_of: PlaceOf) -> tuple[Setting, ...]:
    """Return the variables of a runtime environment's JSON as settings of form ``json``."""
    text = raw(pieces)
    found = env_vars(text)
    if found is None:
        return ()
    return tuple(_setting(member, text, pieces, place_of) for member in found[1])


def _setting(member: Member, text: str, pieces: Pieces, place_of: PlaceOf) -> Setting:
    inner = member.inner(text)
    value = slice_pieces(pieces, *inner)
    whole = slice_pieces(pieces, member.start, member.end)
    extent = _extent(whole)
    return Setting(
        decoded(member.key),
        _value(decoded(text[member.value_start : member.value_end])),
        "json",
        place=place_of(extent),
        value_place=_literal(pieces, inner, whole, place_of),
        defined_at=place_of(span_of(value)) if extent is None else None,
        state="unknown" if is_unknown(value) else "known",
        depends=depends_of(value),
        assumes=assumes_of(value),
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return text.strip('"')


def _extent(pieces: Pieces) -> Span | None:
    """Return the place of a stretch whose first and last characters are literals of one file."""
    first, last = (pieces[0].span, pieces[-1].span) if pieces else (None, None)
    if first is None or last is None or first.file != last.file or last.end < first.start:
        return None
    return Span(first.file, first.start, last.end)


def _literal(pieces: Pieces, inner: tuple[int, int], whole: Pieces, place_of: PlaceOf) -> Place | None:
    """Return the place of the value's text if it is literal where the pair stands."""
    outer = _extent(whole)
    if outer is None:
        return None
    value = slice_pieces(pieces, *inner)
    edge = slice_pieces(pieces, inner[0] - 1, inner[0])
    span = _extent(value) if value else None
    if not value and edge and edge[0].span:
        span = Span(edge[0].span.file, edge[0].span.end, edge[0].span.end)
    broken = any(piece.span is None or not outer.start <= piece.span.start <= outer.end for piece in value)
    return None if span is None or broken or is_unknown(value) else place_of(span)
