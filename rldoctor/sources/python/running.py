"""The statements of a launcher in the order in which they run, in one world of undecidable tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct, field

from rldoctor.sources.python import expressions
from rldoctor.sources.python.values import (
    Function,
    Items,
    Open,
    Plain,
    Record,
    Table,
    Text,
    Value,
    assumed,
    pieces_of,
    said,
    text_of,
    truth,
)
from rldoctor.sources.shell.state import State, scalar
from rldoctor.sources.shell.text import unprotected

MOST_STEPS: Final = 50_000
MOST_DEPTH: Final = 24
MOST_LOOPS: Final = 200
BUILTIN: Final[dict[str, Value]] = {
    "True": Plain(True),
    "False": Plain(False),
    "None": Plain(None),
    "__name__": said("__main__"),
}


class Ended(Exception):
    """The launcher would end here, or is too long to follow."""


class Walk(Struct, eq=False):
    """One run of a file: ``choices`` are the outcomes of its open tests, ``tests`` what those were."""

    file: str
    data: bytes
    starts: list[int]
    states: list[State]
    choices: Sequence[bool] = ()
    tests: list[str] = field(default_factory=list)
    scopes: list[dict[str, Value]] = field(default_factory=lambda: [{}])
    imports: dict[str, str] = field(default_factory=dict)
    steps: int = 0
    is_apart: bool = False
    lines: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Keep where the file's own lines begin."""
        self.lines = self.starts

    def step(self) -> None:
        """Count a step; a file without end is left."""
        self.steps += 1
        if self.steps > MOST_STEPS or len(self.scopes) > MOST_DEPTH:
            raise Ended

    def lookup(self, name: str) -> Value:
        """Return what a name holds here."""
        for scope in (self.scopes[-1], self.scopes[0], BUILTIN):
            if name in scope:
                return scope[name]
        return Open(name)

    def assign(self, name: str, value: Value) -> None:
        """Give a name a value in the innermost scope."""
        self.scopes[-1][name] = value

    @contextmanager
    def apart(self, start: int, text: str) -> Iterator[None]:
        """Read an expression that was parsed apart, in brackets: its places count from ``start``."""
        lines = (start + 1 + len(text[: at.end()].encode()) for at in re.finditer("\n", text))
        with self._counting([start, *lines, start], True):
            yield

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """Read what stands in the file itself, whoever calls it."""
        with self._counting(self.lines, False):
            yield

    @contextmanager
    def _counting(self, starts: list[int], is_apart: bool) -> Iterator[None]:
        before = self.starts, self.is_apart
        self.starts, self.is_apart = starts, is_apart
        try:
            yield
        finally:
            self.starts, self.is_apart = before

    def decide(self, test: ast.expr) -> bool:
        """Return how a test comes out: as the values say, else as this world has it."""
        held = truth(expressions.value(self, test))
        if held is not None:
            return held
        said_before = ast.unparse(test)
        number = len(self.tests)
        self.tests.append(said_before)
        outcome = self.choices[number] if number < len(self.choices) else False
        for state in self.states:
            told = said_before if outcome else f"not ({said_before})"
            state.assumes = tuple(dict.fromkeys((*state.assumes, told)))
        return outcome

    def variable(self, name: str, default: Value | None) -> Value:
        """Return an environment variable: told, set by the file, else its default, which is assumed."""
        kept = self.states[0].variables.get(name) if self.states else None
        if kept is not None and kept.kind == "scalar":
            return Text(kept.pieces)
        if default is None:
            return Open(f"${name}", (name,))
        return assumed(default, f"{name} is unset")

    def export(self, name: str, value: Value) -> None:
        """Set an environment variable for what is launched from here on."""
        for state in self.states:
            state.variables[name] = scalar(unprotected(pieces_of(value)))
            state.exported[name] = None


def block(walk: Walk, nodes: Sequence[ast.stmt]) -> Value | None:
    """Run statements one after the other; return what they return, None if they do not."""
    for node in nodes:
        walk.step()
        handler = _HANDLERS.get(type(node))
        returned = handler(walk, node) if handler is not None else None
        if returned is not None:
            return returned
    return None


def _assign(walk: Walk, node: ast.Assign) -> None:
    found = expressions.value(walk, node.value)
    for target in node.targets:
        bind(walk, target, found)


def _annotated(walk: Walk, node: ast.AnnAssign) -> None:
    if node.value is not None:
        bind(walk, node.target, expressions.value(walk, node.value))


def bind(walk: Walk, target: ast.expr, found: Value) -> None:
    """Give a target a value: a name, several, an attribute, a key."""
    if isinstance(target, ast.Name):
        walk.assign(target.id, found)
    elif isinstance(target, ast.Tuple | ast.List):
        several = isinstance(found, Items) and len(found) == len(target.elts)
        for number, each in enumerate(target.elts):
            bind(
                walk, each, found[number] if several and isinstance(found, Items) else Open(ast.unparse(each))
            )
    elif isinstance(target, ast.Attribute):
        whole = expressions.value(walk, target.value)
        if isinstance(whole, Record):
            whole.fields[target.attr] = found
    elif isinstance(target, ast.Subscript):
        _bind_key(walk, target, found)


def _bind_key(walk: Walk, target: ast.Subscript, found: Value) -> None:
    name = text_of(expressions.value(walk, target.slice))
    if name is None:
        return
    if ast.unparse(target.value) in ("os.environ", "environ"):
        walk.export(name, found)
        return
    whole = expressions.value(walk, target.value)
    if isinstance(whole, Table):
        whole[name] = found


def _augmented(walk: Walk, node: ast.AugAssign) -> None:
    old = ast.copy_location(ast.parse(ast.unparse(node.target), mode="eval").body, node.target)
    whole = ast.copy_location(ast.BinOp(old, node.op, node.value), node)
    bind(walk, node.target, expressions.value(walk, whole))


def _expression(walk: Walk, node: ast.Expr) -> None:
    expressions.value(walk, node.value)


def _if(walk: Walk, node: ast.If) -> Value | None:
    return block(walk, node.body if walk.decide(node.test) else node.orelse)


def _for(walk: Walk, node: ast.For) -> Value | None:
    source = expressions.value(walk, node.iter)
    several = list(source) if isinstance(source, Items | Table) else [Open(ast.unparse(node.target))]
    for each in several[:MOST_LOOPS]:
        bind(walk, node.target, said(each) if isinstance(each, str) else each)
        returned = block(walk, node.body)
        if returned is not None:
            return returned
    return None


def _while(walk: Walk, node: ast.While) -> Value | None:
    return block(walk, node.body) if truth(expressions.value(walk, node.test)) is not False else None


def _with(walk: Walk, node: ast.With) -> Value | None:
    for item in node.items:
        found = expressions.value(walk, item.context_expr)
        if item.optional_vars is not None:
            bind(walk, item.optional_vars, found)
    return block(walk, node.body)


def _try(walk: Walk, node: ast.Try) -> Value | None:
    returned = block(walk, node.body)
    return returned if returned is not None else block(walk, [*node.orelse, *node.finalbody])


def _define(walk: Walk, node: ast.FunctionDef | ast.ClassDef) -> None:
    walk.assign(node.name, Function(node))


def _return(walk: Walk, node: ast.Return) -> Value:
    return expressions.value(walk, node.value) if node.value is not None else Plain(None)


def _import(walk: Walk, node: ast.Import | ast.ImportFrom) -> None:
    """Remember what a name stands for; nothing is imported."""
    module = f"{node.module}." if isinstance(node, ast.ImportFrom) and node.module else ""
    for each in node.names:
        name = each.asname or (each.name if module else each.name.partition(".")[0])
        walk.imports[name] = f"{module}{each.name if each.asname or module else name}"


def _raise(walk: Walk, node: ast.Raise) -> None:
    raise Ended


_HANDLERS: Final[dict[type, Callable[[Any, Any], Value | None]]] = {
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Expr: _expression,
    ast.If: _if,
    ast.For: _for,
    ast.While: _while,
    ast.With: _with,
    ast.Try: _try,
    ast.FunctionDef: _define,
    ast.ClassDef: _define,
    ast.Return: _return,
    ast.Import: _import,
    ast.ImportFrom: _import,
    ast.Raise: _raise,
}
