"""The truth of ``[ … ]``, ``test …`` and ``[[ … ]]``: decided, decided on an assumption, or open."""

from __future__ import annotations

import re

from msgspec import Struct, field

from rldoctor.sources.shell import arithmetic, expansion, lexer
from rldoctor.sources.shell.patterns import pattern
from rldoctor.sources.shell.state import Hint, State
from rldoctor.sources.shell.text import Piece, Pieces, assumes_of, is_unknown, raw

_ORDER = {
    "-eq": int.__eq__,
    "-ne": int.__ne__,
    "-gt": int.__gt__,
    "-lt": int.__lt__,
    "-ge": int.__ge__,
    "-le": int.__le__,
}
_COMPARISONS = {"=", "==", "!=", "=~", "<", ">", "-nt", "-ot", "-ef", *_ORDER}
_UNARY = re.compile(r"-[a-zA-Z]")
_ONE_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)(?::?-[\w./-]*)?\}?", re.ASCII)
_ONE_NAME = re.compile(r"\$\{?(\w+)(?::?-)?\}?", re.ASCII)


class _Operand(Struct, frozen=True):
    """A word of a test as written, and what it comes to."""

    raw: str
    pieces: Pieces


class _Test(Struct, eq=False):
    state: State
    words: list[_Operand]
    double: bool
    at: int = 0
    because: list[str] = field(default_factory=list)
    hint: Hint | None = None

    def peek(self, ahead: int = 0) -> str:
        return self.words[self.at + ahead].raw if self.at + ahead < len(self.words) else ""

    def next(self) -> _Operand:
        self.at += 1
        return self.words[self.at - 1] if self.at <= len(self.words) else _Operand("", (Piece(""),))

    def either(self) -> bool | None:
        value = self.both()
        while self.peek() in ("||", "-o"):
            self.at += 1
            other = self.both()
            value = True if value or other else None if value is None or other is None else False
        return value

    def both(self) -> bool | None:
        value = self.single()
        while self.peek() in ("&&", "-a"):
            self.at += 1
            other = self.single()
            decided = value is False or other is False
            value = False if decided else None if value is None or other is None else True
        return value

    def single(self) -> bool | None:
        if self.peek() == "!" and len(self.words) - self.at > 1:
            self.at += 1
            value = self.single()
            return None if value is None else not value
        if self.peek() == "(" and self.at + 2 < len(self.words):
            self.at += 1
            value = self.either()
            self.at += 1
            return value
        if self.peek(1) in _COMPARISONS:
            one, sign, other = self.next(), self.next(), self.next()
            return self.compared(one, sign.raw, other)
        if _UNARY.fullmatch(self.peek()) and self.at + 1 < len(self.words):
            sign = self.next()
            return self.unary(sign.raw, self.next())
        word = self.next()
        return self.filled(word)

    def settle(self, word: _Operand) -> Pieces | None:
        """Return what a word is taken to be: nothing, where it is a variable that may be unset."""
        if not is_unknown(word.pieces):
            self.because += assumes_of(word.pieces)
            return word.pieces
        name = _ONE_NAME.fullmatch(word.raw.strip('"'))
        if name and name[1].isidentifier() and self.state.is_unset(name[1]) and not self.state.missing:
            self.because.append(f"{name[1]} is unset")
            return (Piece(""),)
        return None

    def filled(self, word: _Operand) -> bool | None:
        value = self.settle(word)
        if value is not None:
            return bool(raw(value))
        return True if any(piece.text and not piece.unknown for piece in word.pieces) else None

    def unary(self, sign: str, word: _Operand) -> bool | None:
        if sign in ("-n", "-z"):
            full = self.filled(word)
            return None if full is None else full == (sign == "-n")
        if sign == "-v" and raw(word.pieces).isidentifier():
            name = raw(word.pieces)
            if self.state.is_unset(name):
                self.because.append(f"{name} is unset")
                return False
            return True if name in self.state.variables else None
        return None

    def compared(self, one: _Operand, sign: str, other: _Operand) -> bool | None:
        if sign in _ORDER:
            return self.ordered(one, sign, other)
        left, right = self.settle(one), self.settle(other)
        if left is None and right is not None and sign in ("=", "==", "!="):
            return self.open_comparison(one, raw(right), sign != "!=")
        if left is None or right is None:
            return None
        if sign == "=~":
            return self.searched(raw(left), right)
        if sign in ("=", "==", "!="):
            test = pattern(right) if self.double else None
            if self.double and test is None:
                return None
            equal = test.matches(raw(left)) if test else raw(left) == raw(right)
            return equal == (sign != "!=")
        return {"<": raw(left) < raw(right), ">": raw(left) > raw(right)}.get(sign)

    def open_comparison(self, one: _Operand, value: str, equal: bool) -> bool | None:
        """Note what an open comparison would tell, or answer it by what an earlier one has told."""
        name = variable_of(one.raw)
        if name is None or re.search(r"[*?\[]", value):
            return None
        if (name, value) in self.state.excluded:
            return not equal
        self.hint = Hint(name, (value,), equal) if len(self.words) == 3 else None
        return None

    def searched(self, text: str, expression: Pieces) -> bool | None:
        """Match a plain regular expression; one with repeated groups is left open."""
        content = "".join(re.escape(p.text) if p.quoted else p.text for p in expression)
        if len(text) > 1000 or len(content) > 200 or re.search(r"[)][*+{]|\[:", content):
            return None
        if len(re.findall(r"[*+]", content)) > 2:
            return None
        content = content.replace("\\\\", "\\")
        if not re.fullmatch(r"(?:[\w\s^$.|()*+?/:=,@%#~-]|\\\W|\[\^?[\w.,:/ -]+\])*", content):
            return None
        try:
            return re.search(content, text) is not None
        except re.error:
            return None

    def ordered(self, one: _Operand, sign: str, other: _Operand) -> bool | None:
        numbers = []
        for word in (one, other):
            value = self.settle(word)
            number = None if value is None else self.number(value)
            if number is None:
                return None
            numbers.append(number)
        return bool(_ORDER[sign](*numbers))

    def number(self, pieces: Pieces) -> int | None:
        content = raw(pieces).strip()
        if re.fullmatch(r"[-+]?\d{1,18}", content):
            return int(content)
        return arithmetic.evaluate(self.state, pieces) if self.double else None


def variable_of(word: str) -> str | None:
    """Return the name of the variable that a word is wholly made of."""
    match = _ONE_VARIABLE.fullmatch(word.strip('"'))
    return match[1] if match else None


def bracketed(state: State, start: int, end: int) -> list[State]:
    """Run the ``[ … ]`` or ``[[ … ]]`` at these offsets."""
    text = state.source.text
    double = text.startswith("[[", start)
    first, last = (start + 2, end - 2) if double else (start + 1, end - 1)
    breaks = "()|&" if double else ""
    found = []
    for at, stop in lexer.words(text, first, last, breaks):
        word = text[at:stop]
        if not double and word in ("\\(", "\\)"):
            word = word[1:]
        if not double and _vanishes(state, at, stop):
            continue
        found.append(_Operand(word, expansion.text(state, at, stop)))
    return _ended(state, _Test(state, _rejoined(found), double))


def _vanishes(state: State, start: int, end: int) -> bool:
    if state.source.text[start] in "\"'" or "$" not in state.source.text[start:end]:
        return False
    return not expansion.fields(state, start, end)


def _rejoined(words: list[_Operand]) -> list[_Operand]:
    """Put the right side of ``=~`` together again, which may hold ``(``, ``|`` and ``)`` unquoted."""
    for at, word in enumerate(words):
        if word.raw == "=~" and len(words) > at + 2 and words[at + 2].raw not in ("&&", "||"):
            rest = words[at + 1 :]
            stop = next((i for i, each in enumerate(rest) if each.raw in ("&&", "||")), len(rest))
            pieces = tuple(piece for each in rest[:stop] for piece in each.pieces)
            return [*words[: at + 1], _Operand(raw(pieces), pieces), *rest[stop:]]
    return words


def words(state: State, found: list[tuple[str, Pieces]]) -> list[State]:
    """Run ``test`` with its arguments as written and as expanded."""
    return _ended(state, _Test(state, [_Operand(*each) for each in found], False))


def _ended(state: State, test: _Test) -> list[State]:
    value = test.either() if test.words else False
    if value is None or test.at < len(test.words):
        return state.ended("open", (), test.hint)
    return state.ended("yes" if value else "no", tuple(dict.fromkeys(test.because)))


def matches(state: State, subject: Pieces, start: int, end: int) -> bool | None:
    """Return whether a ``case`` pattern between two offsets fits the subject."""
    test = pattern(expansion.text(state, start, end))
    return None if test is None or is_unknown(subject) else test.matches(raw(subject))
