"""What an argument says of layers: ``[0]*3+[1]*58`` is a Python expression, ``Et*3|(tt|)*6mL`` a layout."""

from __future__ import annotations

import ast
import re
from typing import Any, Final

_MOST: Final = 10_000  # entries of a list, characters of a text
_REPEATED: Final = (
    re.compile(r"\(([^()]+)\)\*(\d{1,4})", re.ASCII),
    re.compile(r"([^*()])\*(\d{1,4})", re.ASCII),
)
_DECODER: Final = "t"


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


def stages(value: Any) -> list[str] | None:
    """Return the letters of each stage of a pipeline's layout, None where nobody can tell."""
    if value is None:
        return []
    text = str(value).strip().strip("'\"").replace(",", "")
    for repeated in _REPEATED:
        if sum(len(found[1]) * int(found[2]) for found in repeated.finditer(text)) > _MOST:
            return None
        text = repeated.sub(lambda found: found[1] * int(found[2]), text)
    return text.split("|") if re.fullmatch(r"[A-Za-z|]+", text) else None


def decoders(value: Any) -> list[str] | None:
    """Return the decoder layers of a pipeline's layout, None where nobody can tell."""
    found = stages(value)
    return None if found is None else [letter for stage in found for letter in stage if letter == _DECODER]


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
