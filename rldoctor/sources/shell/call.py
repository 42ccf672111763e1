"""A simple command with its words expanded, ready to be run or told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct, field

from rldoctor.sources.shell import expansion, lexer
from rldoctor.sources.shell.state import State, Variable, scalar
from rldoctor.sources.shell.text import Piece, Pieces, Source, Span, Word

if TYPE_CHECKING:
    from tree_sitter import Node

REDIRECTS = frozenset({"file_redirect", "herestring_redirect", "heredoc_redirect"})


class Call(Struct, eq=False):
    """A simple command. ``tail`` is where one more argument would go; ``raws`` are its words as written."""

    words: list[Word]
    raws: list[str]
    span: Span | None
    tail: Span | None
    prefix: dict[str, Variable] = field(default_factory=dict)
    stdin: Pieces | None = None
    redirected: bool = False

    @property
    def name(self) -> str:
        """Return the program's word, empty where there is none."""
        return self.words[0].text if self.words else ""

    @property
    def arguments(self) -> list[Word]:
        """Return the words after the program."""
        return self.words[1:]


def read_call(node: Node, state: State, stdin: Pieces | None) -> Call:
    """Return a command node as a call: words expanded in order, redirections apart."""
    call = Call([], [], None, None, stdin=stdin)
    state.assumes = ()
    spans: list[tuple[int, int]] = []
    end = rest_of(node, state.source.text)
    for child in node.children:
        if end is not None and child.start_byte >= end:
            break
        if child.type == "variable_assignment" and not spans:
            name, variable = assignment(child, state)
            call.prefix[name] = variable
        elif child.type in REDIRECTS:
            redirect(child, state, call)
            spans += [(extra.start_byte, extra.end_byte) for extra in _swallowed(child)]
        elif child.is_named and child.type != "comment":
            _add_span(spans, child, state.source.text)
    for start, end in spans:
        call.words += expansion.fields(state, start, end)
        call.raws.append(state.source.text[start:end])
    _locate(call, node, spans, state.source)
    return call


def rest_of(node: Node, text: str) -> int | None:
    """Return where a command goes on beyond its line, which it does not in bash: the parser joined two."""
    at = node.start_byte
    for child in node.children:
        gap = text[at : child.start_byte]
        if "\n" in gap and re.search(r"(?<!\\)\n", gap):
            return child.start_byte
        at = child.end_byte
    return None


def _add_span(spans: list[tuple[int, int]], node: Node, text: str) -> None:
    """Add a word's span; nodes that touch are one word for bash."""
    start, end = node.start_byte, node.end_byte
    while start < end and text[start] in " \t\n":
        start += 1
    if spans and spans[-1][1] == start and text[start - 1] not in " \t\n":
        spans[-1] = (spans[-1][0], end)
    elif start < end:
        spans.append((start, end))


def _swallowed(node: Node) -> list[Node]:
    return node.children_by_field_name("destination")[1:] if node.type == "file_redirect" else []


def _locate(call: Call, node: Node, spans: list[tuple[int, int]], source: Source) -> None:
    if not spans:
        call.span = source.span(node.start_byte, node.end_byte)
        return
    start, end = min(node.start_byte, spans[0][0]), spans[-1][1]
    call.span = source.span(start, end)
    kept = [span for span in spans if not _is_rest(source.text[span[0] : span[1]])] or spans[:1]
    call.tail = source.span(kept[-1][1], kept[-1][1]) if source.pieces is None else _edge(call.span)


def _edge(span: Span | None) -> Span | None:
    return None if span is None else Span(span.file, span.end, span.end)


def _is_rest(word: str) -> bool:
    return word.strip('"') in ("$@", "${@}", "$*", "${*}") or word.startswith(('"${@:', "${@:"))


def redirect(node: Node, state: State, call: Call) -> None:
    """Take in a redirection: what feeds standard input, and whether standard output goes elsewhere."""
    if node.type == "heredoc_redirect":
        call.stdin = here_document(node, state)
    elif node.type == "herestring_redirect":
        words = [child for child in node.children if child.is_named]
        if words:
            call.stdin = (*expansion.text(state, words[0].start_byte, words[-1].end_byte), Piece("\n"))
    elif node.type == "file_redirect":
        text = state.source.text[node.start_byte : node.end_byte]
        if text.startswith((">", "1>", "&>")):
            call.redirected = True
        elif text.startswith(("<", "0<")):
            call.stdin = (Piece("", unknown=True, depends=(text,)),)


def here_document(node: Node, state: State) -> Pieces | None:
    """Return the text of a here-document."""
    found = {child.type: child for child in node.children}
    start, body = found.get("heredoc_start"), found.get("heredoc_body")
    if start is None or body is None:
        return ()
    text = state.source.text
    first = text.rfind("\n", 0, body.start_byte) + 1
    if any(char in text[start.start_byte : start.end_byte] for char in "'\"\\"):
        return state.source.cut(first, body.end_byte)
    return expansion.text(state, first, body.end_byte, "heredoc")


def assignment(node: Node, state: State) -> tuple[str, Variable]:
    """Return the name and the value of ``NAME=value``, ``NAME+=value`` or ``NAME[i]=value``."""
    text = state.source.text
    name = node.child_by_field_name("name")
    sign = next((child for child in node.children if child.type in ("=", "+=")), None)
    if name is None or sign is None:
        return text[node.start_byte : node.end_byte], scalar((Piece(""),))
    start = sign.end_byte
    end = max(node.end_byte, _value_end(text, start))
    span = state.source.span(node.start_byte, end)
    whole = text[name.start_byte : name.end_byte]
    base, _, subscript = whole.partition("[")
    append = sign.type == "+="
    if subscript:
        inside = (name.start_byte + len(base) + 1, name.end_byte - 1)
        return base, _with_element(state, base, inside, expansion.assigned(state, start, end))
    if text.startswith("(", start):
        return base, _array(state, base, start + 1, end - 1, append)
    value = expansion.assigned(state, start, end) or state.source.literal("", start, start, False)
    return base, _appended(state, base, value, span) if append else scalar(value, span)


def _value_end(text: str, start: int) -> int:
    if start >= len(text) or text[start] in " \t\n;&|":
        return start
    return (
        next((end for _, end in lexer.words(text, start, len(text), ";&|)<>")), start)
        if (text[start] not in "(<>)")
        else start
    )


def _appended(state: State, name: str, value: Pieces, span: Span | None) -> Variable:
    old = state.variables.get(name)
    if old is None:
        text = f"${name}"
        head: Pieces = () if state.is_unset(name) else (Piece(text, unknown=True, depends=(name,)),)
        return scalar(head + value, span)
    if old.kind == "array" and old.words:
        first = Word(old.words[0].pieces + scalar(value).pieces, old.words[0].span)
        return Variable("array", (first, *old.words[1:]), span=old.span)
    return scalar(old.pieces + value, span)


def _array(state: State, name: str, start: int, end: int, append: bool) -> Variable:
    old = state.variables.get(name)
    mapped = old is not None and old.kind == "map"
    words = list(old.words) if old is not None and append else []
    keys = list(old.keys) if old is not None and append else []
    text = state.source.text
    for first, last in lexer.words(text, start, end):
        equals = text.find("]=", first, last) if text[first] == "[" else -1
        if equals < 0:
            words += expansion.fields(state, first, last)
            continue
        mapped = True
        keys.append("".join(p.text for p in expansion.text(state, first + 1, equals)))
        words.append(Word(expansion.text(state, equals + 2, last), state.source.span(first, last)))
    bare = tuple(Word(scalar(w.pieces).pieces, w.span, w.elastic) for w in words)
    if mapped and len(keys) == len(bare):
        return Variable("map", bare, tuple(keys))
    return Variable("array", bare)


def _with_element(state: State, name: str, inside: tuple[int, int], value: Pieces) -> Variable:
    old = state.variables.get(name) or Variable("array")
    word = Word(scalar(value).pieces)
    text = "".join(piece.text for piece in expansion.text(state, *inside))
    if old.kind == "map" or not text.isdigit():
        pairs = dict(zip(old.keys, old.words, strict=False)) | {text: word}
        return Variable("map", tuple(pairs.values()), tuple(pairs))
    index = int(text)
    if index > len(old.words):
        loose = Word((Piece("${" + name + "[@]}", unknown=True, depends=(name,)),), elastic=True)
        return Variable("array", (*old.words, loose))
    return Variable("array", (*old.words[:index], word, *old.words[index + 1 :]))
