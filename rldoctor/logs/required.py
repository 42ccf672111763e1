"""Texts of which every match of an expression holds one, read from the expression; see `pieces`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from rldoctor.logs.pieces import Piece, cost

MOST_TEXTS: Final = 16  # texts that a part of an expression may stand for, until it counts as anything
MOST_PIECES: Final = 64  # texts that one expression may ask for
FEW: Final = 4  # texts of a part that is worth having in a longer text
DIGITS: Final = frozenset(bytes([digit]) for digit in b"0123456789")
CONTROL: Final = {"n": b"\n", "t": b"\t", "r": b"\r", "f": b"\f", "v": b"\v", "a": b"\a"}
ZERO_WIDTH: Final = "bBAz"
ANY_OF_MANY: Final = "wWsSD"
TIMES: Final = {"?": (0, 1), "*": (0, 2), "+": (1, 2)}
TWICE: Final = 2  # stands for all that is more than once


class _Unreadable(Exception):
    """The expression has syntax that is not followed here."""


class _Part(NamedTuple):
    """All that a part of an expression may match, else (None) texts of which a match holds one."""

    texts: frozenset[bytes] | None
    needs: frozenset[Piece] | None = None
    caseless: bool = False


EMPTY: Final = _Part(frozenset([b""]))
ANYTHING: Final = _Part(None)


def required(expression: bytes) -> frozenset[Piece] | None:
    """Return texts of which every match of an RE2 expression holds at least one; None if none are known."""
    try:
        return _needs(_Reader(expression.decode("latin-1")).read())
    except _Unreadable:
        return None


def _needs(part: _Part) -> frozenset[Piece] | None:
    """Return what a part asks for; what may be empty asks for nothing."""
    if part.texts is None:
        return part.needs
    return None if b"" in part.texts else frozenset(Piece(text, part.caseless) for text in part.texts)


def _cheapest(choices: Iterable[frozenset[Piece] | None]) -> frozenset[Piece] | None:
    known = (choice for choice in choices if choice is not None)
    return min(known, key=lambda choice: (sum(map(cost, choice)), sorted(choice)), default=None)


def _either(parts: list[_Part]) -> _Part:
    """Return what alternatives have in common: any of their texts."""
    texts = [part.texts for part in parts if part.texts is not None]
    together = frozenset[bytes]().union(*texts)
    if len(texts) == len(parts) and len(together) <= MOST_TEXTS:
        return _Part(together, None, any(part.caseless for part in parts))
    needs = [_needs(part) for part in parts]
    pieces = frozenset[Piece]().union(*(need for need in needs if need is not None))
    return _Part(None, pieces if None not in needs and len(pieces) <= MOST_PIECES else None)


class _Sequence:
    """Joins parts that stand one behind the other."""

    def __init__(self) -> None:
        self.texts, self.caseless, self.whole = EMPTY.texts or frozenset(), False, True
        self.choices: list[frozenset[Piece] | None] = []

    def add(self, part: _Part) -> None:
        """Go on with a part; where the texts become too many, new ones begin."""
        if part.texts is None:
            self.cut()
            self.choices.append(part.needs)
            return
        if len(part.texts) > FEW:  # the text without, say, the digit behind it may do as well
            self.choices.append(_needs(self._run()))
        if len(part.texts) * len(self.texts) > MOST_TEXTS:
            self.cut()
        self.texts = frozenset(left + right for left in self.texts for right in part.texts)
        self.caseless = self.caseless or part.caseless

    def cut(self) -> None:
        """End the texts: something unknown follows."""
        self.choices.append(_needs(self._run()))
        self.texts, self.caseless, self.whole = frozenset([b""]), False, False

    def _run(self) -> _Part:
        return _Part(self.texts, None, self.caseless)

    def part(self) -> _Part:
        """Return all of it as one part."""
        return self._run() if self.whole else _Part(None, _cheapest([*self.choices, _needs(self._run())]))


class _Reader:
    """Reads an expression (bytes as characters) from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.caseless = text, 0, False

    def read(self) -> _Part:
        """Return the whole expression as a part."""
        part = self._alternatives()
        if self.at < len(self.text):
            raise _Unreadable
        return part

    def _peek(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def _take(self, text: str) -> bool:
        found = self._peek(text)
        self.at += len(text) * found
        return found

    def _next(self) -> str:
        self.at += 1
        if self.at > len(self.text):
            raise _Unreadable
        return self.text[self.at - 1]

    def _until(self, sign: str) -> str:
        """Return what stands before a sign, and go behind it."""
        end = self.text.find(sign, self.at)
        if end < 0:
            raise _Unreadable
        before, self.at = self.text[self.at : end], end + 1
        return before

    def _alternatives(self) -> _Part:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return _either(parts) if len(parts) > 1 else parts[0]

    def _sequence(self) -> _Part:
        joined = _Sequence()
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            part = self._atom()
            least, most = self._times()
            if (least, most) == (1, 1):
                joined.add(part)
            elif (least, most) == (0, 1) and part.texts is not None:
                joined.add(part._replace(texts=part.texts | {b""}))
            elif least == 0:
                joined.cut()
            else:  # what stands before is followed by the part, what stands behind follows it
                joined.add(part)
                joined.cut()
                joined.add(part)
        return joined.part()

    def _times(self) -> tuple[int, int]:
        """Return how often the part before stands at least and at most; a second sign only says "lazy"."""
        if self.text[self.at : self.at + 1] not in ("{", *TIMES):
            return 1, 1
        if self._take("{"):
            low, comma, high = self._until("}").partition(",")
            if not low.isdigit() or not (high.isdigit() or not high):
                raise _Unreadable
            most = int(high) if high else TWICE if comma else int(low)
            found = min(int(low), TWICE), min(most, TWICE)
        else:
            found = TIMES[self._next()]
        self._take("?")
        return found

    def _atom(self) -> _Part:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        if char in "?*+{":
            raise _Unreadable
        return EMPTY if char in "^$" else ANYTHING if char == "." else self._literal(char)

    def _literal(self, char: str) -> _Part:
        return _Part(frozenset([char.encode("latin-1")]), None, self.caseless and char.isalpha())

    def _group(self) -> _Part:
        before = self.caseless
        if self._take("?P<"):
            self._until(">")
        elif self._take("?"):
            on, _, off = self._flags().partition("-")
            self.caseless = ("i" in on or self.caseless) and "i" not in off
            if self.text[self.at - 1] == ")":  # holds until the group around it ends
                return EMPTY
        part = self._alternatives()
        if not self._take(")"):
            raise _Unreadable
        self.caseless = before
        return part

    def _flags(self) -> str:
        start = self.at
        while self._next() not in ":)":
            pass
        flags = self.text[start : self.at - 1]
        if not set(flags) <= set("ims-"):
            raise _Unreadable
        return flags

    def _class(self) -> _Part:
        """Return the texts of a class of few characters."""
        if self._take("^"):
            self._members()
            return ANYTHING
        members = self._members()
        if members is None or len(members) > len(DIGITS):
            return ANYTHING
        return _Part(members, None, self.caseless and any(text.isalpha() for text in members))

    def _members(self) -> frozenset[bytes] | None:
        """Return the characters up to the end of a class, None where they are many."""
        found: list[frozenset[bytes] | None] = []
        while not found or not self._take("]"):
            if self._peek("[:"):
                raise _Unreadable
            char = self._next()
            first = self._escape().texts if char == "\\" else frozenset([char.encode("latin-1")])
            if self._peek("-") and not self._peek("-]"):
                self.at += 1
                last = self._next()
                if last == "\\":
                    self._escape()
                first = None if "\\" in (char, last) else _between(char, last)
            found.append(first)
        known = [texts for texts in found if texts is not None and b"" not in texts]
        return frozenset[bytes]().union(*known) if len(known) == len(found) else None

    def _escape(self) -> _Part:
        char = self._next()
        if char in ZERO_WIDTH:
            return EMPTY
        if char in ANY_OF_MANY:
            return ANYTHING
        if char == "d":
            return _Part(DIGITS)
        if char in CONTROL:
            return _Part(frozenset([CONTROL[char]]))
        if char == "x" and not self._peek("{"):
            return self._literal(chr(int(self._next() + self._next(), 16)))
        if char.isalnum():
            raise _Unreadable
        return self._literal(char)


def _between(first: str, last: str) -> frozenset[bytes]:
    return frozenset(chr(char).encode("latin-1") for char in range(ord(first), ord(last) + 1))
