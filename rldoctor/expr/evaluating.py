"""The value of a compiled condition over a scope, in three-valued logic."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rldoctor.expr.nodes import Node, Scope
from rldoctor.expr.releases import version_key
from rldoctor.types import UNKNOWN

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


def _missing(items: list[Any], others: list[Any]) -> list[Any]:
    """Return the items of a list that another lacks."""
    if not isinstance(items, list | tuple) or not isinstance(others, list | tuple):
        raise TypeError("missing(a, b) takes two lists")
    return [item for item in items if item not in others]


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
    "sum": sum,
    "gcd": math.gcd,
    "missing": _missing,
}


def evaluate(node: Node, scope: Scope) -> Any:
    """Return the value of a compiled condition, UNKNOWN where it hangs on what nobody told."""
    tag = node[0]
    if tag == "name":
        return scope.lookup(node[1])
    return node[1] if tag == "const" else _EVALUATORS[tag](node, scope)


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
    return _chain(node, scope, compare)


def _version_comparison(node: Node, scope: Scope) -> Any:
    return _chain(node, scope, _compare_versions)


def _chain(node: Node, scope: Scope, compare: Callable[[str, Any, Any], bool]) -> Any:
    before, left, unknown = node[1], evaluate(node[1], scope), False
    for symbol, part in node[2]:
        if part[0] == "list" and symbol.endswith("in"):
            holds, right = _member(symbol, left, part[1], scope), None
        else:
            right = evaluate(part, scope)
            if left is UNKNOWN and right is None and before[0] == "name":
                holds = _against_nothing(symbol, before[1], scope)
            else:
                holds = UNKNOWN if left is UNKNOWN or right is UNKNOWN else compare(symbol, left, right)
        if holds is False:
            return False
        unknown = unknown or holds is UNKNOWN
        before, left = part, right
    return UNKNOWN if unknown else True


def _against_nothing(symbol: str, name: str, scope: Scope) -> Any:
    """Say how an unknown value compares with None: one that somebody gave is something, whatever it is."""
    return symbol == "!=" if symbol in ("==", "!=") and scope.is_given(name) else UNKNOWN


def _member(symbol: str, item: Any, parts: Sequence[Node], scope: Scope) -> Any:
    if item is UNKNOWN:
        return UNKNOWN
    unknown = False
    for part in parts:
        value = evaluate(part, scope)
        if value is UNKNOWN:
            unknown = True
        elif value == item:
            return symbol == "in"
    return UNKNOWN if unknown else symbol != "in"


def compare(symbol: str, left: Any, right: Any) -> bool:
    """Say how two known values compare; of unlike types only ``!=`` and ``not in`` are true."""
    try:
        compares = _OPERATORS.get(symbol)
        if compares is None:
            return bool(left in right) is (symbol == "in")
        return bool(compares(left, right))
    except TypeError:
        return symbol == "not in"


def _compare_versions(symbol: str, left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return compare(symbol, version_key(left), version_key(right))
    return compare(symbol, left, right)


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
    for nothing in (UNKNOWN, None):
        for value in values:
            if value is nothing:
                return nothing
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
