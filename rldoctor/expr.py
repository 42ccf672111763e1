"""The condition language of rules and dialect rows: a checked, three-valued subset of Python expressions.

A compiled condition is nested lists that JSON can store, its first item a tag:
``["const", 8]``, ``["name", "train.tp"]``, ``["list", [node, …]]``, ``["and", [node, …]]``,
``["or", [node, …]]``, ``["not", node]``, ``["neg", node]``, ``["op", "+", left, right]``,
``["cmp", first, [["<", node], …]]``, ``["vcmp", …]`` (compares versions), ``["if", condition, then, else]``
and ``["call", name, [node, …], {keyword: node}]``.

The unknown value is contagious, except where ``and``, ``or`` and ``in [...]`` can decide without it.
None makes order comparisons false and arithmetic None. Evaluation never raises for any values.
"""

from __future__ import annotations

import ast
import keyword
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from rldoctor.types import UNKNOWN, RLDoctorError

Node: TypeAlias = list[Any]

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
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
BUILTINS: Final[Mapping[str, Callable[..., Any]]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "len": len,
    "ceil": math.ceil,
    "floor": math.floor,
    "int": int,
    "float": float,
    "str": str,
    "round": round,
    "missing": lambda wanted, given: [item for item in wanted if item not in given],
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
_KEYWORDS: Final = "|".join(_STAND_INS)
_HIDDEN: Final = re.compile(rf"(?<=[a-z]\.)({_KEYWORDS})(?!\w)|(?<![\w'\"])({_KEYWORDS})(?=\.[a-z])")
_SHOWN: Final = {stand_in: word for word, stand_in in _STAND_INS.items()}
_SHOW: Final = re.compile("|".join(rf"\b{stand_in}\b" for stand_in in _SHOWN))


class ExprError(RLDoctorError):
    """A text that is not in the condition language; ``column`` counts from 1 within it."""


class Scope(Protocol):
    """What a condition is evaluated over."""

    def lookup(self, name: str) -> Any:
        """Return the value of a dotted name, UNKNOWN where nobody told it."""

    def call(self, function: str, args: Sequence[Node], keywords: Mapping[str, Node]) -> Any:
        """Return the value of a function that is no builtin; its arguments come unevaluated."""


def compile(text: str) -> Node:
    """Return the compiled condition, or raise ExprError with the column and what is not allowed."""
    if len(text) > MAX_LENGTH:
        raise ExprError(f"a condition has at most {MAX_LENGTH} characters", column=1)
    line = re.sub(r"\s", " ", text)
    line, indent = line.strip(), len(line) - len(line.lstrip())
    hidden = _HIDDEN.sub(lambda found: _STAND_INS[found[0]], line)
    try:
        tree = ast.parse(hidden, mode="eval").body
    except SyntaxError as error:
        column = indent + (error.offset or len(line) + 1)
        raise ExprError(f"not an expression: {error.msg}", column=column) from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise ExprError(f"not an expression: {error or 'nested too deeply'}", column=1) from error
    return _Compiler(line, indent).node(tree, 0)


def names(node: Node) -> tuple[str, ...]:
    """Return the dotted names that a condition reads, each once, in the order of its text."""
    return tuple(dict.fromkeys(part[1] for part in walk(node) if part[0] == "name"))


def functions(node: Node) -> tuple[str, ...]:
    """Return the functions that a condition calls, builtins left out, each once, in order."""
    return tuple(
        dict.fromkeys(part[1] for part in walk(node) if part[0] == "call" and part[1] not in BUILTINS)
    )


def walk(node: Node) -> Iterator[Node]:
    """Yield a condition and every condition inside it, in the order of its text."""
    yield node
    for child in _children(node):
        yield from walk(child)


def _children(node: Node) -> list[Node]:
    match node:
        case ["list" | "and" | "or", items]:
            return list(items)
        case ["not" | "neg", operand]:
            return [operand]
        case ["op", _, left, right]:
            return [left, right]
        case ["if", condition, then, other]:
            return [then, condition, other]
        case ["cmp" | "vcmp", first, rest]:
            return [first, *(right for _, right in rest)]
        case ["call", _, args, keywords]:
            return [*args, *keywords.values()]
        case _:
            return []


def evaluate(node: Node, scope: Scope) -> Any:
    """Return the value of a compiled condition, UNKNOWN where it hangs on what nobody told."""
    tag = node[0]
    if tag == "name":
        return scope.lookup(node[1])
    return node[1] if tag == "const" else _EVALUATORS[tag](node, scope)


def version_key(text: str) -> tuple[tuple[int, ...], int]:
    """Return a key that orders releases: 0.7 = 0.7.0 < 0.10, and 0.7.0rc1 and 0.7.0.dev1 before 0.7."""
    found = re.match(r"\s*v?(?P<release>\d+(?:\.\d+)*)(?P<rest>[^+]*)", text)
    if found is None:
        return ((), 0)
    release = [int(part[:9]) for part in found["release"].split(".")]
    while release and release[-1] == 0:
        release.pop()
    early = re.match(r"[._-]?(a|b|rc|c|alpha|beta|pre|preview|dev)[._-]?\d*\b", found["rest"].strip())
    return (tuple(release), -1 if early else 0)


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
                return ["const", _SHOW.sub(_shown, value) if isinstance(value, str) else value]
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
        if any(option.arg is None or name in BUILTINS for option in tree.keywords):
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


def _shown(found: re.Match[str]) -> str:
    return _SHOWN[found[0]]


def _list(node: Node, scope: Scope) -> Any:
    values = [evaluate(item, scope) for item in node[1]]
    return UNKNOWN if any(value is UNKNOWN for value in values) else values


def _logic(node: Node, scope: Scope) -> Any:
    decisive, unknown, value = node[0] == "or", False, None
    for part in node[1]:
        value = evaluate(part, scope)
        if value is UNKNOWN:
            unknown = True
        elif bool(value) is decisive:
            return decisive if unknown else value
    return UNKNOWN if unknown else value


def _not(node: Node, scope: Scope) -> Any:
    value = evaluate(node[1], scope)
    return UNKNOWN if value is UNKNOWN else not value


def _negative(node: Node, scope: Scope) -> Any:
    value = evaluate(node[1], scope)
    return value if value is UNKNOWN else (-value if _is_number(value) else None)


def _arithmetic(node: Node, scope: Scope) -> Any:
    left, right = evaluate(node[2], scope), evaluate(node[3], scope)
    if left is UNKNOWN or right is UNKNOWN:
        return UNKNOWN
    joins = node[1] == "+" and type(left) is type(right) and isinstance(left, str | list)
    if not joins and not (_is_number(left) and _is_number(right)):
        return None
    try:
        return _OPERATORS[node[1]](left, right)
    except (ZeroDivisionError, OverflowError):
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _comparison(node: Node, scope: Scope) -> Any:
    return _chain(node, scope, _compare)


def _version_comparison(node: Node, scope: Scope) -> Any:
    return _chain(node, scope, _compare_versions)


def _chain(node: Node, scope: Scope, compare: Callable[[str, Any, Any], bool]) -> Any:
    left, unknown = evaluate(node[1], scope), False
    for symbol, part in node[2]:
        if symbol.endswith("in") and part[0] == "list":
            holds, right = _member(symbol, left, part[1], scope), None
        else:
            right = evaluate(part, scope)
            holds = UNKNOWN if left is UNKNOWN or right is UNKNOWN else compare(symbol, left, right)
        if holds is False:
            return False
        unknown = unknown or holds is UNKNOWN
        left = right
    return UNKNOWN if unknown else True


def _member(symbol: str, item: Any, parts: Sequence[Node], scope: Scope) -> Any:
    if item is UNKNOWN:
        return UNKNOWN
    values = [evaluate(part, scope) for part in parts]
    if any(value is not UNKNOWN and value == item for value in values):
        return symbol == "in"
    return UNKNOWN if any(value is UNKNOWN for value in values) else symbol != "in"


def _compare(symbol: str, left: Any, right: Any) -> bool:
    try:
        if symbol.endswith("in"):
            return bool(left in right) is (symbol == "in")
        return bool(_OPERATORS[symbol](left, right))
    except TypeError:
        return symbol == "not in"


def _compare_versions(symbol: str, left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return _compare(symbol, version_key(left), version_key(right))
    return _compare(symbol, left, right)


def _choice(node: Node, scope: Scope) -> Any:
    condition = evaluate(node[1], scope)
    if condition is UNKNOWN:
        return UNKNOWN
    return evaluate(node[2] if condition else node[3], scope)


def _call(node: Node, scope: Scope) -> Any:
    _, name, args, keywords = node
    if name not in BUILTINS:
        return scope.call(name, args, keywords)
    values = [evaluate(argument, scope) for argument in args]
    if any(value is UNKNOWN for value in values):
        return UNKNOWN
    if any(value is None for value in values):
        return None
    try:
        return BUILTINS[name](*values)
    except (TypeError, ValueError, OverflowError):
        return None


_EVALUATORS: Final[Mapping[str, Callable[[Node, Scope], Any]]] = {
    "list": _list,
    "and": _logic,
    "or": _logic,
    "not": _not,
    "neg": _negative,
    "op": _arithmetic,
    "cmp": _comparison,
    "vcmp": _version_comparison,
    "if": _choice,
    "call": _call,
}
