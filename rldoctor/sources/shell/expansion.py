"""Words to fields: expansions, splitting, globs, tildes and braces, as bash orders them."""

from __future__ import annotations

import re

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor.sources.shell import arithmetic, braces, lexer, parameters, substitution
from rldoctor.sources.shell.lexer import Mode, Part
from rldoctor.sources.shell.parameters import Expanded
from rldoctor.sources.shell.state import MOST_NESTING, MOST_WORDS, State
from rldoctor.sources.shell.text import (
    Piece,
    Pieces,
    Span,
    Word,
    assuming,
    extent_of,
    is_unknown,
    raw,
    unknown,
)
from rldoctor.sources.shell.tildes import tildes

_SPECIAL = re.compile(r"[\\'\"$`<>{~*?\[]")
# A Python list such as `[0]*3+[1]*58`, which no file is called.
_LIST = re.compile(r"\[[\d,]+\][\d,*+\[\]()]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)


def text(state: State, start: int, end: int, mode: Mode = "bare") -> Pieces:
    """Return what stands between two offsets as one text, unsplit: assignments, tests, here-documents."""
    found: list[Piece] = []
    for part in lexer.parts(state.source.text, start, end, mode):
        found += joined(state, _value(state, part), part.quoted)
    return tuple(found)


def _placed(state: State, part: Part, pieces: Pieces) -> Pieces:
    """Return what an expansion gave with the place where it stands, if it is no more than one word."""
    if any(char in piece.text for piece in pieces for char in " \t\n"):
        return pieces
    site = state.source.span(part.start, part.end)
    return tuple(replace(piece, site=site) for piece in pieces)


def assigned(state: State, start: int, end: int) -> Pieces:
    """Return the text of an assignment's right side: tildes expand after ``=`` and ``:``."""
    found = text(state, start, end)
    first = state.source.text[start : start + 1]
    if first == "~" or ":~" in state.source.text[start:end]:
        found = tuple(piece for each in found for piece in tildes(state, each))
    return found


def joined(state: State, value: Expanded, quoted: bool) -> Pieces:
    """Return an expansion as one text; the words of an array stand apart by a space or ``IFS``."""
    if not value.many:
        return tuple(replace(p, quoted=True) for p in value.pieces) if quoted else value.pieces
    between = _separators(state)[:1] if value.star else " "
    found: list[Piece] = []
    for index, word in enumerate(value.words):
        found += [Piece(between)] if index and between else []
        found += word.pieces
    return tuple(replace(piece, quoted=quoted or piece.quoted) for piece in found)


def fields(state: State, start: int, end: int) -> list[Word]:
    """Return the words that one word of a command comes to."""
    source = state.source.text
    if not _SPECIAL.search(source, start, end):
        return [
            Word(state.source.literal(source[start:end], start, end, False), state.source.span(start, end))
        ]
    found: list[Word] = []
    for parts in braces.expand(lexer.parts(source, start, end)):
        found += _split(state, parts, start, end)
        if len(found) > MOST_WORDS:
            state.run.problem(f"more than {MOST_WORDS} words in one command", hint="the rest was left out")
            return found[:MOST_WORDS]
    return found


def _value(state: State, part: Part) -> Expanded:
    if part.kind == "literal":
        if part.start < 0:
            return Expanded((Word((Piece(part.text),)),))
        return Expanded((Word(state.source.literal(part.text, part.start, part.end, part.quoted)),))
    if state.run.nesting >= MOST_NESTING:
        return Expanded((Word((unknown(state.source.text[part.start : part.end], "deep nesting"),)),))
    state.run.nesting += 1
    value = _expanded(state, part)
    state.run.nesting -= 1
    return value if value.many else Expanded((Word(_placed(state, part, value.pieces)),))


def _expanded(state: State, part: Part) -> Expanded:
    if part.kind == "parameter":
        return parameters.expand(state, part, text)
    whole = state.source.text[part.start : part.end]
    if part.kind == "arithmetic":
        inside = text(state, part.inner, part.inner + len(part.text), "quoted")
        return Expanded((Word((arithmetic.expansion(state, inside, whole),)),))
    if part.kind == "process":
        return Expanded((Word((unknown(whole, "<(…)"),)),))
    return Expanded((Word(substitution.output(state, part)),))


def _separators(state: State) -> str:
    variable = state.variables.get("IFS")
    if variable is None or variable.kind == "unset" or is_unknown(variable.pieces):
        return " \t\n"
    return raw(variable.pieces)


class _Fields(Struct, eq=False):
    """Fields under construction: the pieces of the current one, and whether it stands though empty."""

    done: list[Word] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    stands: bool = False
    elastic: bool = False
    assumes: tuple[str, ...] = ()

    def add(self, piece: Piece) -> None:
        if not piece.text and not piece.quoted:
            self.assumes += piece.assumes
            return
        self.pieces.append(piece)
        self.stands = True

    def close(self) -> None:
        if self.stands:
            self.done.append(Word(assuming(tuple(self.pieces), self.assumes), None, self.elastic))
            self.assumes = ()
        self.pieces, self.stands, self.elastic = [], False, False

    def add_split(self, piece: Piece, separators: str) -> None:
        """Add an unquoted expansion, which ends fields where it holds separators."""
        if piece.unknown:
            self.elastic = True
            self.add(piece)
            return
        at, content = 0, piece.text
        for match in re.finditer(f"[{re.escape(separators)}]+" if separators else r"(?!)", content):
            if match.start() > at:
                self.add(piece.cut(at, match.start()))
            self.close()
            at = match.end()
        if at < len(content) or not content:
            self.add(piece.cut(at, len(content)))


def _split(state: State, parts: list[Part], start: int, end: int) -> list[Word]:
    here = state.source.span(start, end)
    values = [(part, _starred(state, part, _value(state, part))) for part in parts]
    whole = _whole_array(state, values)
    if whole is not None:
        return whole
    build = _Fields()
    separators = _separators(state)
    for part, value in values:
        for index, word in enumerate(value.words):
            if index:
                build.close()
            for piece in word.pieces:
                quoted = part.quoted or piece.quoted
                if quoted or part.kind == "literal":
                    build.add(replace(piece, quoted=quoted) if piece.quoted != quoted else piece)
                else:
                    build.add_split(piece, separators)
    build.close()
    state.assumes = tuple(dict.fromkeys(state.assumes + build.assumes)) if build.assumes else state.assumes
    split = len(parts) == 1 and len(build.done) > 1
    return [_finished(state, word, here, split) for word in build.done]


def _starred(state: State, part: Part, value: Expanded) -> Expanded:
    """Return ``"${X[*]}"`` as the one word that it is."""
    if value.many and value.star and part.quoted:
        return Expanded((Word(joined(state, value, True)),))
    return value


def _whole_array(state: State, values: list[tuple[Part, Expanded]]) -> list[Word] | None:
    """Return the elements of an array that is a word by itself: they stand where the array has them."""
    if len(values) != 1 or not values[0][1].many or values[0][1].star:
        return None
    part, value = values[0]
    if part.quoted:
        return [replace(w, pieces=tuple(replace(p, quoted=True) for p in w.pieces)) for w in value.words]
    separators = _separators(state)
    return [field for word in value.words for field in _element_fields(state, word, separators)]


def _element_fields(state: State, word: Word, separators: str) -> list[Word]:
    build = _Fields()
    for piece in word.pieces:
        build.add_split(replace(piece, quoted=False) if piece.quoted else piece, separators)
    build.close()
    return [
        _globbed(replace(field, span=word.span or _balanced(state, extent_of(field.pieces))))
        for field in build.done
    ]


def _finished(state: State, word: Word, here: Span | None, split: bool) -> Word:
    pieces = word.pieces
    first = pieces[0]
    if not first.quoted and first.text.startswith("~") and first.span is not None:
        pieces = (*tildes(state, first), *pieces[1:])
    elif not first.quoted and "=~" in first.text and _ASSIGNMENT.match(first.text):
        at = first.text.index("=~") + 1
        pieces = (first.cut(0, at), *tildes(state, first.cut(at, len(first.text))), *pieces[1:])
    own = _balanced(state, extent_of(pieces)) if split else here
    return _globbed(replace(word, pieces=pieces, span=own))


def _balanced(state: State, span: Span | None) -> Span | None:
    """Return the place of a word inside a string, unless the string's quotes open or close in it."""
    data = state.run.files.get(span.file) if span else None
    if span is None or data is None:
        return None
    quotes = re.findall(rb"(?<!\\)[\"]", data[span.start : span.end])
    return span if len(quotes) % 2 == 0 else None


def _globbed(word: Word) -> Word:
    """Mark a word unknown that may stand for the names of files; brackets alone are taken as text."""
    loose = "".join("x" * len(piece.text) if piece.quoted else piece.text for piece in word.pieces)
    at = re.search(r"[*?]|\[[^\]]+\]", loose)
    if not at or word.unknown:
        return word
    if re.match(r"[-+~]|[^/]*=", raw(word.pieces)[: at.end()]):
        return word
    content = raw(word.pieces)
    if ("*" not in loose and "?" not in loose) or _LIST.fullmatch(loose):
        return replace(word, pieces=assuming(word.pieces, (f"no file is called {content}",)))
    return Word((unknown(content, f"files like {content}"),), word.span, elastic=True)
