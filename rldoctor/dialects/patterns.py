"""What an argument says of each layer: Megatron reads ``[0]*3+[1]*58`` as a Python expression of lists."""

from __future__ import annotations

import ast
from typing import Any, Final

_MOST: Final = 10_000  # entries of a list, characters of a text


def entries(value: Any) -> list[Any] | None:
    """Return the entries of a text or a list, none of a mere number, None where nobody can tell."""
    if value is None or isinstance(value, int | float):
        return []
    if isinstance(value, list | tuple):
        return list(value)
    text = str(value).strip().strip("'\"")
    if not text or len(text) > _MOST or text.lstrip("-").isdigit():
        return None if len(text) > _MOST else []
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found = _value(tree.body, 0)
    return found if isinstance(found, list) else None


def _value(node: ast.expr, depth: int) -> Any:
    """Return a list, a number, or None for everything else."""
    if depth > 100:
        return None
    match node:
        case ast.Constant(value=int() as number):
            return number
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            values = [_value(part, depth + 1) for part in parts]
            return None if None in values else values
        case ast.BinOp(left=left, op=ast.Add() | ast.Mult() as sign, right=right):
            return _joined(_value(left, depth + 1), sign, _value(right, depth + 1))
    return None


def _joined(left: Any, sign: ast.operator, right: Any) -> Any:
    if isinstance(sign, ast.Mult):
        left, right = (right, left) if isinstance(left, int) else (left, right)
        whole = isinstance(left, list) and isinstance(right, int) and len(left) * right <= _MOST
        return left * right if whole else None
    both = isinstance(left, list) and isinstance(right, list)
    return left + right if both else None
