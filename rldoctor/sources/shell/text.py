"""Text that remembers where each part of it was written and what it hangs on."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

from msgspec import Struct, field
from msgspec.structs import replace

# What stands for the brackets of `<PATH>`, which a person is to fill in, while the script is read.
PLACEHOLDER = "\x01\x02"


class Span(Struct, frozen=True):
    """A range of bytes in a file."""

    file: str
    start: int
    end: int


class Piece(Struct, frozen=True):
    """A run of text with one history: one character a byte of UTF-8, so that offsets are bytes.

    ``span`` is where a literal was written, ``site`` where an expansion put it into another text;
    ``unknown`` text is what stands in the script.
    """

    text: str
    span: Span | None = None
    quoted: bool = False
    unknown: bool = False
    depends: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()
    site: Span | None = None

    def cut(self, start: int, end: int) -> Piece:
        """Return the part from ``start`` to ``end``, its place with it where bytes match characters."""
        if start == 0 and end == len(self.text):
            return self
        span = self.span
        if span is not None:
            linear = span.end - span.start == len(self.text)
            span = Span(span.file, span.start + start, span.start + end) if linear else None
        return replace(self, text=self.text[start:end], span=span)


Pieces = tuple[Piece, ...]


class Word(Struct, frozen=True):
    """One word of a command or array, and where it stands.

    ``elastic`` marks an unknown that may be no word, one, or several once it is known.
    """

    pieces: Pieces
    span: Span | None = None
    elastic: bool = False

    @property
    def text(self) -> str:
        """Return the word's text as Unicode."""
        return decoded(raw(self.pieces))

    @property
    def unknown(self) -> bool:
        """Return whether any part of the word is unknown."""
        return any(piece.unknown for piece in self.pieces)


def raw(pieces: Pieces) -> str:
    """Return the text of the pieces, one character a byte."""
    return pieces[0].text if len(pieces) == 1 else "".join(piece.text for piece in pieces)


def decoded(text: str) -> str:
    """Return byte-wise text as Unicode."""
    return text if text.isascii() else text.encode("latin-1").decode("utf-8", "replace")


def encoded(text: str) -> str:
    """Return Unicode text byte-wise."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("latin-1")


def unknown(text: str, *depends: str) -> Piece:
    """Return a piece that nobody can tell, spelled as it stands in the script."""
    return Piece(text, unknown=True, depends=depends)


def is_unknown(pieces: Pieces) -> bool:
    """Return whether any of the pieces is unknown."""
    return any(piece.unknown for piece in pieces)


def depends_of(pieces: Sequence[Piece]) -> tuple[str, ...]:
    """Return the names that the pieces hang on, once each."""
    if len(pieces) == 1:
        return pieces[0].depends
    return tuple(dict.fromkeys(name for piece in pieces for name in piece.depends))


def assumes_of(pieces: Sequence[Piece]) -> tuple[str, ...]:
    """Return what the pieces take for granted, once each."""
    if len(pieces) == 1:
        return pieces[0].assumes
    return tuple(dict.fromkeys(text for piece in pieces for text in piece.assumes))


def computed(text: str, inputs: Pieces) -> Piece:
    """Return text that was worked out from ``inputs``: their assumptions, no place of its own."""
    return Piece(text, assumes=assumes_of(inputs))


def blurred(text: str, inputs: Pieces) -> Piece:
    """Return an unknown that hangs on what makes ``inputs`` unknown."""
    return Piece(text, unknown=True, depends=depends_of(inputs), assumes=assumes_of(inputs))


def merged(pieces: Pieces) -> Pieces:
    """Return the text as one piece, its places given up."""
    return (blurred(raw(pieces), pieces) if is_unknown(pieces) else computed(raw(pieces), pieces),)


def assuming(pieces: Pieces, assumes: tuple[str, ...]) -> Pieces:
    """Return the pieces with further assumptions."""
    if not assumes:
        return pieces
    return tuple(replace(p, assumes=tuple(dict.fromkeys(p.assumes + assumes))) for p in pieces)


def unprotected(pieces: Pieces) -> Pieces:
    """Return the pieces as a variable holds them: quoting is syntax, not value."""
    if not any(piece.quoted for piece in pieces):
        return pieces
    return tuple(replace(piece, quoted=False) for piece in pieces)


def held(word: Word) -> Word:
    """Return a word as a variable or an argument list holds it."""
    pieces = unprotected(word.pieces)
    return word if pieces is word.pieces else replace(word, pieces=pieces)


def slice_pieces(pieces: Pieces, start: int, end: int) -> Pieces:
    """Return the pieces between two offsets of their common text."""
    if len(pieces) == 1:
        whole = pieces[0]
        return (whole.cut(start, min(end, len(whole.text))),) if start < min(end, len(whole.text)) else ()
    found = []
    at = 0
    for piece in pieces:
        first, last = max(start - at, 0), min(end - at, len(piece.text))
        if first < last:
            found.append(piece.cut(first, last))
        at += len(piece.text)
    return tuple(found)


def span_of(pieces: Pieces) -> Span | None:
    """Return the place of the pieces if they are one unbroken literal."""
    spans = [piece.span for piece in pieces]
    if not spans or any(piece.unknown for piece in pieces):
        return None
    first = spans[0]
    for previous, this in pairwise(spans):
        if previous is None or this is None or (this.file, this.start) != (previous.file, previous.end):
            return None
    last = spans[-1]
    return Span(first.file, first.start, last.end) if first and last else None


def extent_of(pieces: Pieces) -> Span | None:
    """Return the stretch of one file that the pieces stand in, expansions counted where they stand."""
    spans = [piece.site or piece.span for piece in pieces]
    first = spans[0] if spans else None
    at = first
    for span in spans:
        if span is None or at is None or span.file != at.file or span.start < at.start:
            return None
        at = span
    return Span(first.file, first.start, at.end) if first and at else None


class Source(Struct, frozen=True, dict=True):
    """A text to read as shell: a file, or a text made of pieces (``bash -c``, here-documents).

    ``path`` is the script's own path, for ``$0``; ``None`` where there is none.
    """

    file: str
    text: str
    path: str | None = None
    pieces: Pieces | None = field(default=None)

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [], 0
        for piece in self.pieces or ():
            starts.append(at)
            at += len(piece.text)
        return starts

    def cut(self, start: int, end: int) -> Pieces:
        """Return the text between two offsets with its history."""
        if self.pieces is None:
            return (Piece(self.text[start:end], Span(self.file, start, end)),)
        if start == end:
            return (Piece(""),)
        found = []
        for index in range(max(bisect_right(self._starts, start) - 1, 0), len(self.pieces)):
            piece, at = self.pieces[index], self._starts[index]
            if at >= end:
                break
            if piece.text:
                found.append(piece.cut(max(start - at, 0), min(end - at, len(piece.text))))
        return tuple(found)

    def literal(self, text: str, start: int, end: int, quoted: bool) -> Pieces:
        """Return ``text`` that stands for the bytes from ``start`` to ``end``."""
        if PLACEHOLDER[0] in text:
            name = text.replace(PLACEHOLDER[0], "<").replace(PLACEHOLDER[1], ">")
            blank = re.findall(r"<[^<>]+>", decoded(name))
            return (Piece(name, self.span(start, end), quoted, unknown=True, depends=tuple(blank)),)
        if self.pieces is None:
            return (Piece(text, Span(self.file, start, end), quoted),)
        found = self.cut(start, end)
        if raw(found) == text:
            return tuple(replace(piece, quoted=quoted) for piece in found)
        loose = any(piece.unknown for piece in found)
        return (Piece(text, self.span(start, end), quoted, loose, depends_of(found), assumes_of(found)),)

    def span(self, start: int, end: int) -> Span | None:
        """Return where the text between two offsets stands in a file, if in one."""
        if self.pieces is None:
            return Span(self.file, start, end)
        return extent_of(self.cut(start, end))


def from_pieces(pieces: Pieces, file: str, path: str | None) -> Source:
    """Return a source over text that was put together from pieces."""
    return Source(file, raw(pieces), path, pieces)
