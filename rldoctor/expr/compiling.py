"""From the text of a condition to nodes: parsed by Python, every part of it allowed by name, or refused."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from typing import Final

from rldoctor.expr.nodes import BUILTIN_NAMES, ExprError, Node

MAX_LENGTH: Final = 4000
MAX_DEPTH: Final = 60

_ARITHMETIC: Final[Mapping[type[ast.AST], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
_COMPARISONS: Final[Mapping[type[ast.AST], str]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_HINTS: Final[Mapping[type[ast.AST], str]] = {
    ast.Is: "write == None",
    ast.IsNot: "write != None",
    ast.Tuple: "write a list: [a, b]",
    ast.Set: "write a list: [a, b]",
    ast.Pow: "multiply instead",
    ast.BitAnd: "write and",
    ast.BitOr: "write or",
    ast.Invert: "write not",
}


# Parts of names may be keywords of Python (async.staleness, batch.global): the parser is given stand-ins
# of the same length, so that columns stay.
_STAND_INS: Final = {word: word[0] + word[1:].upper() for word in keyword.kwlist if word.islower()}
_SHOWN: Final = {stand_in: word for word, stand_in in _STAND_INS.items()}


def compile(text: str) -> Node:
    """Return the compiled condition, or raise ExprError with the column and what is not allowed."""
    if len(text) > MAX_LENGTH:
        raise ExprError(f"a condition has at most {MAX_LENGTH} characters", column=1)
    line = re.sub(r"\s", " ", text)
    line, indent = line.strip(), len(line) - len(line.lstrip())
    try:
        tree = ast.parse(_hide(line), mode="eval").body
    except SyntaxError as error:
        column = indent + (error.offset or len(line) + 1)
        raise ExprError(f"not an expression: {error.msg}", column=column) from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise ExprError(f"not an expression: {error or 'nested too deeply'}", column=1) from error
    return _Compiler(line, indent).node(tree, 0)


class _Compiler:
    """Turns a parsed expression into nodes; knows the text, to tell the place of a mistake."""

    def __init__(self, text: str, indent: int) -> None:
        self.text, self.indent = text, indent

    def refuse(self, tree: ast.AST, place: ast.expr) -> ExprError:
        text = ast.get_source_segment(self.text, place) or type(tree).__name__
        before = self.text.encode()[: place.col_offset].decode()
        column = self.indent + len(before) + 1
        hint = _HINTS.get(type(tree), "")
        return ExprError(f"not allowed in a condition: {text}", column=column, hint=hint)

    def node(self, tree: ast.expr, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ExprError("nested too deeply", column=1)
        match tree:
            case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
                return ["const", _show(value) if isinstance(value, str) else value]
            case ast.Name() | ast.Attribute():
                return ["name", self.dotted(tree)]
            case ast.List(elts=items):
                return ["list", [self.node(item, depth + 1) for item in items]]
            case ast.BoolOp(op=logic, values=items):
                tag = "and" if isinstance(logic, ast.And) else "or"
                return [tag, [self.node(item, depth + 1) for item in items]]
            case ast.IfExp(test=test, body=body, orelse=other):
                return ["if", *(self.node(part, depth + 1) for part in (test, body, other))]
            case _:
                return self.operation(tree, depth + 1)

    def operation(self, tree: ast.expr, depth: int) -> Node:
        match tree:
            case ast.UnaryOp(op=ast.Not() | ast.USub() as sign, operand=operand):
                return ["not" if isinstance(sign, ast.Not) else "neg", self.node(operand, depth)]
            case ast.BinOp(left=left, op=symbol, right=right) if type(symbol) in _ARITHMETIC:
                return ["op", _ARITHMETIC[type(symbol)], self.node(left, depth), self.node(right, depth)]
            case ast.Compare():
                return self.comparison(tree, depth)
            case ast.Call(func=ast.Name(id=name)):
                return self.call(tree, name, depth)
            case ast.UnaryOp(op=wrong) | ast.BinOp(op=wrong):
                raise self.refuse(wrong, tree)
            case _:
                raise self.refuse(tree, tree)

    def comparison(self, tree: ast.Compare, depth: int) -> Node:
        for wrong in tree.ops:
            if type(wrong) not in _COMPARISONS:
                raise self.refuse(wrong, tree)
        first, *others = (self.node(part, depth) for part in (tree.left, *tree.comparators))
        parts = [[_COMPARISONS[type(symbol)], other] for symbol, other in zip(tree.ops, others, strict=True)]
        versions = any(part[0] == "name" and part[1].startswith("version.") for part in (first, *others))
        return ["vcmp" if versions else "cmp", first, parts]

    def call(self, tree: ast.Call, name: str, depth: int) -> Node:
        for wrong in (argument for argument in tree.args if isinstance(argument, ast.Starred)):
            raise self.refuse(wrong, wrong)
        if any(option.arg is None or name in BUILTIN_NAMES for option in tree.keywords):
            raise self.refuse(tree, tree)
        keywords = {str(option.arg): self.node(option.value, depth) for option in tree.keywords}
        return ["call", name, [self.node(argument, depth) for argument in tree.args], keywords]

    def dotted(self, tree: ast.expr) -> str:
        parts, inner = [], tree
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            raise self.refuse(tree, tree)
        return ".".join(_SHOWN.get(word, word) for word in [inner.id, *reversed(parts)])


def _hide(line: str) -> str:
    """Return the text with stand-ins for the keywords that are parts of names."""
    if not any(f".{word}" in line or f"{word}." in line for word in _STAND_INS):
        return line
    words = "|".join(_STAND_INS)
    parts = rf"(?<=[a-z]\.)({words})(?!\w)|(?<![\w'\"])({words})(?=\.[a-z])"
    return re.sub(parts, lambda found: _STAND_INS[found[0]], line)


def _show(text: str) -> str:
    """Return a text constant with the keywords that were hidden in it."""
    for stand_in, word in _SHOWN.items():
        text = text.replace(f".{stand_in}", f".{word}").replace(f"{stand_in}.", f"{word}.")
    return text
