"""Assignments, ``export``, ``declare``, ``local``, ``readonly`` and ``unset``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rldoctor.sources.shell import arithmetic, expansion
from rldoctor.sources.shell.call import assignment
from rldoctor.sources.shell.state import UNSET, State, Variable, scalar
from rldoctor.sources.shell.text import Piece, Word, computed, raw, slice_pieces

if TYPE_CHECKING:
    from tree_sitter import Node


def assign(node: Node, state: State) -> list[State]:
    """Set the variables of a statement that is nothing but assignments."""
    nodes = [node] if node.type == "variable_assignment" else node.named_children
    state.status = "yes"
    for each in nodes:
        if each.type == "variable_assignment":
            name, variable = assignment(each, state)
            state.assign(name, variable)
    return state.ended(state.status)


def declare(node: Node, state: State) -> list[State]:
    """Run ``export``, ``declare`` and their kin, and ``unset``."""
    word = node.children[0].type
    options = ""
    for child in node.children[1:]:
        text = state.source.text[child.start_byte : child.end_byte]
        if text.startswith(("-", "+")):
            options += text
        elif word in ("unset", "unsetenv"):
            if "f" not in options:
                _unset(state, text)
        elif child.type == "variable_assignment":
            name, variable = assignment(child, state)
            _declare(state, word, options, name, variable)
        elif child.is_named and child.type != "comment":
            _declare_word(state, word, options, (child.start_byte, child.end_byte))
    return state.ended("yes")


def _unset(state: State, name: str) -> None:
    name = name.strip("\"'")
    state.variables[name] = UNSET
    state.exported.pop(name, None)


def _declare_word(state: State, word: str, options: str, span: tuple[int, int]) -> None:
    """Declare what stands as a plain word: a name, or an assignment that bash makes only when it runs."""
    for field in expansion.fields(state, *span):
        name, equals, _ = raw(field.pieces).partition("=")
        if not name.isidentifier():
            continue
        if equals:
            value = slice_pieces(field.pieces, len(name) + 1, len(raw(field.pieces)))
            _declare(state, word, options, name, Variable("scalar", (Word(value),), span=field.span))
        else:
            _declare(state, word, options, name, None)


def _declare(state: State, word: str, options: str, name: str, variable: Variable | None) -> None:
    if word == "local" and state.local is not None and name not in state.local:
        state.local[name] = state.variables.get(name)
    if "i" in options and variable is not None:
        value = arithmetic.evaluate(state, variable.pieces)
        loose = Piece(f"${name}", unknown=True, depends=(name,))
        variable = scalar((loose if value is None else computed(str(value), variable.pieces),), variable.span)
    if "A" in options:
        old = variable or Variable("map")
        state.assign(name, replace(old, kind="map") if old.kind != "map" else old)
    elif "a" in options and variable is None:
        state.variables.setdefault(name, Variable("array"))
    elif variable is not None:
        state.assign(name, variable)
    elif word == "local":
        state.variables[name] = UNSET
    if word == "export" or "x" in options:
        if "n" in options:
            state.exported.pop(name, None)
        else:
            state.exported[name] = None
