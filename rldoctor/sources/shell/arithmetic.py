"""Shell arithmetic on whole numbers, by precedence climbing; nothing is evaluated by Python."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from msgspec import Struct, field

from rldoctor.sources.shell.state import State, scalar
from rldoctor.sources.shell.text import Piece, Pieces, assumes_of, blurred, is_unknown, raw

_TOKEN = re.compile(
    r"\s*(?:(0[xX][0-9a-fA-F]+|\d+#\w+|\d+)|([A-Za-z_]\w*(?:\[[^\]]*\])?)"
    r"|(<<=|>>=|\*\*|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[-+*/%<>=!~&|^?:,()]))",
    re.ASCII,
)
_LEVELS: dict[str, int] = {
    operator_: level
    for level, operators in enumerate(
        ("||", "&&", "|", "^", "&", "== !=", "<= >= < >", "<< >>", "+ -", "* / %", "**"), start=1
    )
    for operator_ in operators.split()
}
_MOST_DEPTH = 60
_LIMIT = 1 << 63


class _UnknownError(Exception):
    """The expression hangs on something unknown or is no arithmetic."""


def _quotient(one: int, other: int) -> int:
    if other == 0:
        raise _UnknownError
    size = abs(one) // abs(other)
    return size if (one < 0) == (other < 0) else -size


def _power(one: int, other: int) -> int:
    if not 0 <= other <= 64:
        raise _UnknownError
    return int(one**other)


_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "|": operator.or_,
    "^": operator.xor,
    "&": operator.and_,
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "<<": lambda one, other: one << (other & 63),
    ">>": lambda one, other: one >> (other & 63),
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
    "%": lambda one, other: one - other * _quotient(one, other),
    "**": _power,
    "||": lambda one, other: bool(one) or bool(other),
    "&&": lambda one, other: bool(one) and bool(other),
}


def evaluate(state: State, expression: Pieces) -> int | None:
    """Return the value of an expression whose ``$`` are expanded, ``None`` if unknown. May assign."""
    return _evaluated(state, expression)[0]


def expansion(state: State, expression: Pieces, whole: str) -> Piece:
    """Return what ``$((…))`` comes to."""
    value, seen = _evaluated(state, expression)
    if value is None:
        found = blurred(whole, (*expression, *seen))
        return found if found.depends else Piece(whole, unknown=True, depends=(whole,))
    return Piece(str(value), assumes=assumes_of((*expression, *seen)))


def tested(state: State, expression: Pieces) -> tuple[bool | None, tuple[str, ...]]:
    """Return the truth of ``(( … ))`` and what it takes for granted."""
    value, seen = _evaluated(state, expression)
    return (None, ()) if value is None else (value != 0, assumes_of((*expression, *seen)))


def _evaluated(state: State, expression: Pieces) -> tuple[int | None, Pieces]:
    if is_unknown(expression):
        return None, ()
    parser = _Parser(state, _tokens(raw(expression)))
    try:
        value = parser.comma() if parser.tokens else 0
        if parser.at < len(parser.tokens):
            raise _UnknownError
    except _UnknownError:
        return None, tuple(parser.seen)
    return value, tuple(parser.seen)


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    text = text.replace('"', "").rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            return ["?"]
        found.append(match[0].strip())
        at = match.end()
    return found[:2000]


class _Parser(Struct, eq=False):
    state: State
    tokens: list[str]
    at: int = 0
    depth: int = 0
    live: bool = True
    seen: list[Piece] = field(default_factory=list)

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        token = self.peek()
        if wanted and token not in wanted:
            return ""
        self.at += 1
        return token

    def comma(self) -> int:
        value = self.assignment()
        while self.take(","):
            value = self.assignment()
        return value

    def assignment(self) -> int:
        following = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else ""
        if not self.peek()[:1].isidentifier() or not re.fullmatch(r"([-+*/%&|^]|<<|>>)?=", following):
            return self.ternary()
        name = self.take()
        self.take()
        value = self.assignment()
        if following != "=":
            value = _OPERATIONS[following[:-1]](self.variable(name), value)
        return self.store(name, value)

    def ternary(self) -> int:
        condition = self.binary(1)
        if not self.take("?"):
            return condition
        one = self.branch(bool(condition), self.assignment)
        if not self.take(":"):
            raise _UnknownError
        other = self.branch(not condition, self.assignment)
        return one if condition else other

    def branch(self, taken: bool, parse: Callable[[], int]) -> int:
        """Parse an arm; one that is not taken has no effect and no unknowns."""
        before = self.live
        self.live = before and taken
        value = parse()
        self.live = before
        return value

    def binary(self, level: int) -> int:
        self.depth += 1
        if self.depth > _MOST_DEPTH:
            raise _UnknownError
        value = self.unary()
        while (found := _LEVELS.get(self.peek(), 0)) >= level:
            sign = self.take()
            above = found if sign == "**" else found + 1
            taken = not (sign == "&&" and not value) and not (sign == "||" and bool(value))
            other = self.branch(taken, lambda above=above: self.binary(above))  # type: ignore[misc]
            value = int(_OPERATIONS[sign](value, other)) if self.live else 0
            if not -_LIMIT <= value < _LIMIT:
                raise _UnknownError
        self.depth -= 1
        return value

    def unary(self) -> int:
        sign = self.take("-", "+", "!", "~", "++", "--")
        if sign in ("++", "--"):
            name = self.take()
            return self.store(name, self.variable(name) + (1 if sign == "++" else -1))
        if sign:
            self.depth += 1
            if self.depth > _MOST_DEPTH:
                raise _UnknownError
            value = self.unary()
            self.depth -= 1
            return {"-": -value, "+": value, "!": int(not value), "~": ~value}[sign]
        return self.primary()

    def primary(self) -> int:
        if self.take("("):
            value = self.comma()
            if not self.take(")"):
                raise _UnknownError
            return value
        token = self.take()
        if token[:1].isdigit():
            return _number(token)
        if not token[:1].isidentifier():
            raise _UnknownError
        value = self.variable(token)
        sign = self.take("++", "--")
        if sign:
            self.store(token, value + (1 if sign == "++" else -1))
        return value

    def store(self, name: str, value: int) -> int:
        if not name.isidentifier():
            raise _UnknownError
        if self.live:
            self.state.assign(name, scalar((Piece(str(value), assumes=assumes_of(self.seen)),)))
        return value

    def variable(self, name: str) -> int:
        if not self.live:
            return 0
        found = self.state.variables.get(name)
        if found is None or found.kind in ("unset", "map"):
            if found is None:
                self.seen.append(Piece("", unknown=True, depends=(name.split("[")[0],)))
                raise _UnknownError
            return 0
        self.seen += found.pieces
        if is_unknown(found.pieces):
            raise _UnknownError
        content = raw(found.pieces).strip()
        if re.fullmatch(r"-?\d+", content):
            return -_number(content[1:]) if content[0] == "-" else _number(content)
        return self.nested(content)

    def nested(self, content: str) -> int:
        """Return the value of a variable that holds an expression itself."""
        if self.depth > 8:
            raise _UnknownError
        inner = _Parser(self.state, _tokens(content), depth=self.depth + 4)
        value = inner.comma() if inner.tokens else 0
        self.seen += inner.seen
        return value


def _number(token: str) -> int:
    if "#" in token:
        base, _, digits = token.partition("#")
        return _based(digits, int(base))
    if token[:2].lower() == "0x":
        return int(token, 16)
    return _based(token, 8) if token[0] == "0" and len(token) > 1 else int(token[:20])


def _based(digits: str, base: int) -> int:
    if not 2 <= base <= 36 or any(not char.isalnum() or int(char, 36) >= base for char in digits):
        raise _UnknownError
    return int(digits[:20], base)
