"""Conditions on metrics that no step of a series fulfils: told by one look at its columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from rldoctor.expr import Node, compare

if TYPE_CHECKING:
    from rldoctor.logs.series import Series

ORDERS: Final = ("<", "<=", ">", ">=", "==")  # which no missing value fulfils


def is_metric(name: str) -> bool:
    """Say whether a name of a condition is a metric; all others are facts."""
    return "." not in name and name != "system"


def never(condition: Node, series: Series) -> bool:
    """Say whether a condition holds at no step; False where that takes more than a look at the columns.

    Most rules on metrics end here: asking each of some thousand steps is what a healthy log would wait for.
    """
    match condition:
        case ["and", parts]:
            return any(never(part, series) for part in parts)
        case ["or", parts]:
            return all(never(part, series) for part in parts)
        case ["call", "isnan", [["name", metric]], _]:
            return not any(math.isnan(value) for value in series.column(metric).known())
        case ["cmp", left, [[symbol, right]]] if symbol in ORDERS:
            return _never_compares(left, symbol, right, series)
    return False


def _never_compares(left: Node, symbol: str, right: Node, series: Series) -> bool:
    least = _least(right, series)
    match left:
        case ["call", "count", [inner, _], _] if least is not None:
            return not compare(symbol, 0, least) and symbol != "<" and never(inner, series)
        case ["name", name] | ["call", "min" | "max", [["call", "last", [["name", name], _], _]], _]:
            number = _number(right)
            values = series.column(name).known() if number is not None and is_metric(name) else None
            return values is not None and not any(compare(symbol, value, number) for value in values)
    return False


def _least(node: Node, series: Series) -> Any:
    """Return the least that a number or the length of a window can be, None where it is something else."""
    match node:
        case ["call", "len", [["call", "last", [["name", metric], _], _]], _]:
            return int(series.column(metric).is_full())
    return _number(node)


def _number(node: Node) -> Any:
    value = node[1][1] if node[0] == "neg" and node[1][0] == "const" else node[1]
    if node[0] not in ("neg", "const") or not isinstance(value, int | float):
        return None
    return -value if node[0] == "neg" else value
