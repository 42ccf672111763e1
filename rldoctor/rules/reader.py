"""Reading of a rule file's nodes: each value as what it has to be, each mistake noted, none raised."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from rldoctor.rules import marked
from rldoctor.types import RLDoctorError
from rldoctor.vocabulary import nearest

Fields = Mapping[str, marked.Node]


def unknown(what: str, word: str, known: Collection[str]) -> str:
    """Return the message for a word that is none of the known ones: the nearest, or all of a few."""
    near = nearest(word, known)
    if near:
        return f"unknown {what} {word}, did you mean {near}?"
    return f"unknown {what} {word}" + (f", known: {', '.join(known)}" if len(known) <= 12 else "")


class Reader(Struct):
    """Notes the mistakes of one file; ``lines`` is its text."""

    file: str
    lines: list[str] = field(default_factory=list)
    mistakes: list[RLDoctorError] = field(default_factory=list)

    def note(self, message: str, node: marked.Node, within: int = 0) -> None:
        """Note a mistake at a node, ``within`` characters into its text."""
        line, column = marked.place(node, self.lines, within)
        self.mistakes.append(RLDoctorError(message, file=self.file, line=line, column=column))

    def in_place(self) -> list[RLDoctorError]:
        """Return the mistakes in the order of the file."""
        return sorted(self.mistakes, key=lambda error: (error.line, error.column))

    def fields(
        self, node: marked.Node, what: str, allowed: Sequence[str], required: Sequence[str] = ()
    ) -> dict[str, marked.Node]:
        """Return the values of a mapping by key; keys unknown, doubled or missing are noted."""
        if node.id != "mapping":
            if marked.kind(node) != "null" or required:
                self.note(f"{what} is a mapping of {', '.join(allowed[:6])}", node)
            return {}
        found: dict[str, marked.Node] = {}
        for key, key_node, value in marked.pairs(node):
            if key not in allowed:
                self.note(unknown("key", key, allowed), key_node)
            elif key in found:
                self.note(f"{key} stands here twice", key_node)
            else:
                found[key] = value
        for key in required:
            if key not in found:
                self.note(f"{what} has no {key}", node)
        return found

    def in_order(self, node: marked.Node, order: Sequence[str]) -> None:
        """Note the first key of a mapping that stands before one it has to follow."""
        keys = [(key, key_node) for key, key_node, _ in marked.pairs(node) if key in order]
        for (key, _), (follower, follower_node) in itertools.pairwise(keys):
            if order.index(follower) < order.index(key):
                self.note(f"{follower} stands before {key}", follower_node)
                return

    def text(self, node: marked.Node) -> str:
        """Return a text that is not empty; a number or word is taken as it is written."""
        if node.id != "scalar" or not node.value.strip():
            self.note("this is a text", node)
            return ""
        return str(node.value)

    def word(self, node: marked.Node, what: str, known: Collection[str]) -> Any:
        """Return one of the known words."""
        word = self.text(node)
        if word and word not in known:
            self.note(unknown(what, word, known), node)
        return word if word in known else next(iter(known))

    def items(self, node: marked.Node, what: str) -> list[marked.Node]:
        """Return the nodes of a list that is not empty."""
        if node.id != "sequence" or not node.value:
            self.note(f"{what} is a list of at least one", node)
            return []
        return list(node.value)

    def one_or_more(self, node: marked.Node, what: str) -> list[marked.Node]:
        """Return the nodes of a list, or the only one."""
        return [node] if node.id == "scalar" else self.items(node, what)

    def texts(self, node: marked.Node, what: str) -> tuple[str, ...]:
        """Return the texts of a list, or the only one."""
        return tuple(text for item in self.one_or_more(node, what) if (text := self.text(item)))

    def words(self, node: marked.Node, what: str, known: Collection[str]) -> tuple[Any, ...]:
        """Return the known words of a list, or the only one."""
        return tuple(self.word(item, what, known) for item in self.one_or_more(node, what))

    def flag(self, node: marked.Node) -> bool:
        """Return true or false."""
        if marked.kind(node) != "bool":
            self.note("this is true or false", node)
        return marked.plain(node) is True

    def number(self, node: marked.Node, least: int, most: int) -> int:
        """Return a whole number between two."""
        value = marked.plain(node)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.note(f"this is a whole number from {least} to {most}", node)
        return least

    def table(self, node: marked.Node, what: str, key: str, known: Collection[str] | None) -> dict[str, Any]:
        """Return the nodes of a mapping by key; with ``known``, unknown keys are noted and left out."""
        if node.id != "mapping" or not node.value:
            self.note(f"{what} is a mapping", node)
            return {}
        allowed = known if known is not None else [name for name, _, _ in marked.pairs(node)]
        found: dict[str, Any] = {}
        for name, key_node, value in marked.pairs(node):
            if name not in allowed:
                self.note(unknown(key, name, allowed), key_node)
            elif name in found:
                self.note(f"{name} stands here twice", key_node)
            else:
                found[name] = value
        return found
