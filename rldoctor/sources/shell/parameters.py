"""Parameter expansion: ``${X}``, its defaults, lengths, slices, trims, replacements, and arrays."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.sources.shell import arithmetic
from rldoctor.sources.shell.lexer import Mode, Part
from rldoctor.sources.shell.patterns import Pattern, pattern
from rldoctor.sources.shell.state import State, Variable, scalar
from rldoctor.sources.shell.text import (
    Piece,
    Pieces,
    Word,
    assumes_of,
    assuming,
    blurred,
    computed,
    encoded,
    is_unknown,
    raw,
    slice_pieces,
    unknown,
)
from rldoctor.sources.shell.tildes import tildes

TextOf = Callable[[State, int, int, Mode], Pieces]

_HEAD = re.compile(r"([!#](?=[A-Za-z_0-9@*]))?([A-Za-z_]\w*|\d+|[@*#?$!-])", re.ASCII)
_DEFAULT = re.compile(r":?[-=?+]")
_CASES: dict[str, Callable[[str], str]] = {
    "^^": str.upper,
    ",,": str.lower,
    "^": lambda text: text[:1].upper() + text[1:],
    ",": lambda text: text[:1].lower() + text[1:],
}


class Expanded(Struct, frozen=True):
    """What an expansion gives: one text, or the ``many`` words of an array (``star``: to be joined)."""

    words: tuple[Word, ...]
    many: bool = False
    star: bool = False

    @property
    def pieces(self) -> Pieces:
        """Return the text of a single value."""
        return self.words[0].pieces if self.words else (Piece(""),)


class _Reference(Struct, frozen=True):
    """A parsed ``${…}``; ``start:end`` is what follows the name and its subscript."""

    state: State
    whole: str
    prefix: str
    name: str
    subscript: str
    start: int
    end: int
    mode: Mode
    text_of: TextOf

    def word(self, skip: int) -> Pieces:
        """Return the word of an operator that is ``skip`` characters long."""
        found = self.text_of(self.state, self.start + skip, self.end, self.mode)
        home = self.mode == "bare" and found and not found[0].quoted and found[0].text.startswith("~")
        return (*tildes(self.state, found[0]), *found[1:]) if home else found

    @property
    def operator(self) -> str:
        return self.state.source.text[self.start : self.end]


def _one(pieces: Pieces) -> Expanded:
    return Expanded((Word(pieces),))


def expand(state: State, part: Part, text_of: TextOf) -> Expanded:
    """Return what a parameter expansion comes to in this world."""
    whole = state.source.text[part.start : part.end]
    end = part.inner + len(part.text)
    head = _HEAD.match(state.source.text, part.inner, end)
    if not head:
        return _one((unknown(whole, whole),))
    at, subscript = head.end(), ""
    if state.source.text.startswith("[", at) and head[2][0] not in "@*":
        close = _closing_bracket(state.source.text, at, end)
        subscript, at = state.source.text[at + 1 : close], close + 1
    mode: Mode = "quoted" if part.quoted else "bare"
    reference = _Reference(state, whole, head[1] or "", head[2], subscript, at, end, mode, text_of)
    if reference.prefix == "!":
        return _indirect(reference)
    if reference.name in "@*" or subscript in ("@", "*"):
        return _array(reference)
    return _scalar(reference)


def _closing_bracket(text: str, at: int, end: int) -> int:
    depth = 0
    for index in range(at, end):
        depth += {"[": 1, "]": -1}.get(text[index], 0)
        if depth == 0:
            return index
    return end


def lookup(state: State, name: str) -> Variable | None:
    """Return a variable or special parameter; ``None`` if only the environment could tell."""
    if name.isdigit():
        return _positional(state, int(name))
    if name == "#":
        count = Piece(str(len(state.positional)))
        return scalar(assuming((count,), ("no arguments are given",) if state.open_arguments else ()))
    if name == "?":
        return scalar((Piece("0"),)) if state.status == "yes" else None
    if name == "BASH_SOURCE":
        return _script(state.source.path)
    if name in state.run.batch:
        text = f"{name} is as the #SBATCH lines say"
        return scalar((Piece(state.run.batch[name], assumes=(text,)),))
    variable = state.variables.get(name)
    return None if variable is None or variable.kind == "unset" else variable


def _positional(state: State, index: int) -> Variable | None:
    if index == 0:
        return state.variables.get("0") or _script(state.run.script)
    if index <= len(state.positional):
        return Variable("scalar", (state.positional[index - 1],))
    return None


def _script(path: str | None) -> Variable | None:
    return None if path is None else scalar((Piece(encoded(path), assumes=(f"the script is {path}",)),))


def _is_unset(state: State, name: str) -> tuple[bool, str]:
    """Return whether a name may be taken as unset, and the assumption in words."""
    if name.isdigit():
        assumption = f"no argument {name} is given" if state.open_arguments else ""
        return name != "0", assumption
    variable = state.variables.get(name)
    if variable is not None and variable.kind == "unset":
        return True, ""
    return state.is_unset(name) and name.isidentifier(), f"{name} is unset"


def _element(ref: _Reference, variable: Variable) -> Pieces:
    inside = ref.text_of(ref.state, ref.start - len(ref.subscript) - 1, ref.start - 1, "quoted")
    if variable.kind == "map":
        key = raw(inside).strip("\"'")
        if is_unknown(inside) or (key not in variable.keys and any(w.unknown for w in variable.words)):
            return (blurred(ref.whole, (*inside, Piece("", depends=(ref.name,)))),)
        return variable.words[variable.keys.index(key)].pieces if key in variable.keys else (Piece(""),)
    index = arithmetic.evaluate(ref.state, inside)
    if index is None or any(word.elastic for word in variable.words):
        return (blurred(ref.whole, (*inside, Piece("", depends=(ref.name,)))),)
    if -len(variable.words) <= index < len(variable.words):
        return variable.words[index].pieces
    return (Piece(""),)


def _scalar(ref: _Reference) -> Expanded:
    state, variable = ref.state, lookup(ref.state, ref.name)
    value = None if variable is None else _element(ref, variable) if ref.subscript else variable.pieces
    operator = ref.operator
    if ref.prefix == "#":
        return _one((_length(ref, value),))
    default = _DEFAULT.match(operator)
    if default:
        return _one(_default(ref, default[0], value))
    if value is None:
        value = _missing(state, ref)
    return _one(value) if not operator else _one(_operated(ref, value, operator))


def _missing(state: State, ref: _Reference) -> Pieces:
    if state.variables.get(ref.name, None) is not None:
        return (Piece(""),)
    if ref.name.isdigit() and not state.open_arguments:
        return (Piece(""),)
    return (unknown(ref.whole, f"${ref.name}" if not ref.name.isidentifier() else ref.name),)


def _length(ref: _Reference, value: Pieces | None) -> Piece:
    if value is None or is_unknown(value):
        return unknown(ref.whole, ref.name)
    return computed(str(len(raw(value))), value)


def _default(ref: _Reference, operator: str, value: Pieces | None) -> Pieces:
    state, action = ref.state, operator[-1]
    colon = operator[0] == ":"
    because: tuple[str, ...]
    if value is None:
        absent, assumption = _is_unset(state, ref.name)
        if not absent:
            return (unknown(ref.whole, ref.name),)
        filled, because = False, (assumption,) if assumption else ()
    elif colon and not "".join(piece.text for piece in value if not piece.unknown) and is_unknown(value):
        return (blurred(ref.whole, value),)
    else:
        filled, because = bool(raw(value)) or not colon, assumes_of(value)
    if action == "+":
        return assuming(ref.word(len(operator)) if filled else (Piece(""),), because)
    if filled:
        return value or (Piece(""),)
    if action == "?":
        return (unknown(ref.whole, ref.name),)
    found = assuming(ref.word(len(operator)) or (Piece(""),), because)
    if action == "=":
        state.assign(ref.name, scalar(found))
    return found


def _operated(ref: _Reference, value: Pieces, operator: str) -> Pieces:
    if operator[0] == ":":
        return _substring(ref, value)
    if is_unknown(value):
        return (blurred(ref.whole, value),)
    if operator[0] in "%#":
        return _trimmed(ref, value, operator)
    if operator[0] == "/":
        return _replaced(ref, value, operator)
    change = _CASES.get(operator)
    if change:
        return (computed(change(raw(value)), value),)
    return (blurred(ref.whole, (*value, Piece("", depends=(ref.name,)))),)


def _numbers(ref: _Reference) -> list[int | None]:
    inside = ref.operator[1:]
    cut = inside.find(":") if "?" not in inside else -1
    edges = [(0, len(inside))] if cut < 0 else [(0, cut), (cut + 1, len(inside))]
    at = ref.start + 1
    return [
        arithmetic.evaluate(ref.state, ref.text_of(ref.state, at + first, at + last, "quoted"))
        for first, last in edges
    ]


def _bounds(numbers: list[int | None], length: int) -> tuple[int, int] | None:
    if None in numbers:
        return None
    first = numbers[0] or 0
    first = max(length + first, 0) if first < 0 else min(first, length)
    if len(numbers) == 1:
        return first, length
    size = numbers[1] or 0
    last = length + size if size < 0 else min(first + size, length)
    return (first, last) if last >= first else None


def _substring(ref: _Reference, value: Pieces) -> Pieces:
    bounds = _bounds(_numbers(ref), len(raw(value)))
    if bounds is None or is_unknown(value):
        return (blurred(ref.whole, (*value, Piece("", depends=(ref.name,)))),)
    return slice_pieces(value, *bounds) or (computed("", value),)


def _pattern(ref: _Reference, skip: int, end: int | None = None) -> Pattern | None:
    last = ref.end if end is None else end
    return pattern(ref.text_of(ref.state, ref.start + skip, last, "bare"))


def _trimmed(ref: _Reference, value: Pieces, operator: str) -> Pieces:
    longest = operator[:2] in ("%%", "##")
    test = _pattern(ref, 2 if longest else 1)
    content = raw(value)
    if test is None or len(content) > 4096:
        return (blurred(ref.whole, (*value, Piece("", depends=(ref.name,)))),)
    size = range(len(content), -1, -1) if longest else range(len(content) + 1)
    for count in size:
        first, last = (0, count) if operator[0] == "#" else (len(content) - count, len(content))
        if test.matches(content[first:last]):
            rest = (last, len(content)) if operator[0] == "#" else (0, first)
            return slice_pieces(value, *rest) or (computed("", value),)
    return value


def _replaced(ref: _Reference, value: Pieces, operator: str) -> Pieces:
    kind = operator[1:2] if operator[1:2] in ("/", "#", "%") else ""
    skip = 1 + len(kind)
    cut = re.compile(r"(?:[^\\/]|\\.)*").match(operator, skip)
    stop = cut.end() if cut else skip
    test = _pattern(ref, skip, ref.start + stop)
    new = ref.text_of(ref.state, ref.start + stop + 1, ref.end, "bare") if stop < len(operator) else ()
    if test is None or is_unknown(new) or len(raw(value)) > 4096 or len(test.fixed) > 3:
        return (blurred(ref.whole, (*value, *new, Piece("", depends=(ref.name,)))),)
    return (computed(test.replace(raw(value), raw(new), kind), (*value, *new)),)


def _indirect(ref: _Reference) -> Expanded:
    variable = lookup(ref.state, ref.name)
    if ref.subscript in ("@", "*"):
        keys = _keys(variable)
        return (
            _one((unknown(ref.whole, ref.name),))
            if keys is None
            else Expanded(tuple(Word((Piece(key),)) for key in keys), True, ref.subscript == "*")
        )
    target = raw(variable.pieces) if variable else ""
    if variable is None or is_unknown(variable.pieces) or not target.isidentifier() or ref.operator:
        return _one((unknown(ref.whole, ref.name),))
    found = lookup(ref.state, target)
    return _one(
        assuming(found.pieces, assumes_of(variable.pieces)) if found else (unknown(ref.whole, target),)
    )


def _keys(variable: Variable | None) -> list[str] | None:
    if variable is None:
        return []
    if any(word.elastic for word in variable.words):
        return None
    return list(variable.keys) or [str(index) for index in range(len(variable.words))]


def _array(ref: _Reference) -> Expanded:
    star = ref.subscript == "*" or ref.name == "*"
    words = _words(ref)
    if ref.prefix == "#":
        if any(word.elastic for word in words):
            return _one((unknown(ref.whole, ref.name),))
        return _one((computed(str(len(words)), tuple(p for w in words for p in w.pieces)),))
    operator = ref.operator
    default = _DEFAULT.match(operator)
    if default and (default[0][-1] == "+") == bool(words):
        return _one(ref.word(len(default[0]))) if default[0][-1] in "-=+" else Expanded(words, True, star)
    if default and default[0][-1] == "+":
        return Expanded((), True, star)
    if operator and not default:
        return Expanded(_sliced(ref, words), True, star)
    return Expanded(words, True, star)


def _words(ref: _Reference) -> tuple[Word, ...]:
    if ref.name in "@*":
        return ref.state.positional
    variable = lookup(ref.state, ref.name)
    if variable is not None:
        return variable.words
    if ref.name in ref.state.variables:
        return ()
    if ref.state.missing:
        return (Word((unknown(ref.whole, *ref.state.missing),), elastic=True),)
    ref.state.assumes = tuple(dict.fromkeys((*ref.state.assumes, f"{ref.name} is unset")))
    return ()


def _sliced(ref: _Reference, words: tuple[Word, ...]) -> tuple[Word, ...]:
    loose = Word((unknown(ref.whole, ref.name),), elastic=True)
    if any(word.elastic for word in words):
        return (loose,)
    if ref.operator[0] == ":":
        numbers = _numbers(ref)
        if ref.name in "@*" and numbers[0] is not None:
            numbers[0] = max(numbers[0] - 1, 0) if numbers[0] >= 0 else numbers[0]
        bounds = _bounds(numbers, len(words))
        return (loose,) if bounds is None else words[bounds[0] : bounds[1]]
    return tuple(replace(word, pieces=_operated(ref, word.pieces, ref.operator)) for word in words)
