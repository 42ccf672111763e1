"""Expressions to values: literals, names, joins, the few pure calls; everything else is open."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from rldoctor.sources.python import literals
from rldoctor.sources.python.values import (
    Function,
    Items,
    Open,
    Plain,
    Record,
    Table,
    Text,
    Value,
    blurring,
    bounded,
    bounded_list,
    pieces_of,
    said,
    text_of,
    truth,
)
from rldoctor.sources.shell.text import Pieces, Span, decoded

if TYPE_CHECKING:
    from rldoctor.sources.python.running import Walk

LARGEST: Final = 10**18
DEEPEST: Final = 6
NUMBERS: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Div: operator.truediv,
}
COMPARED: Final[Mapping[type, Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}


def value(walk: Walk, node: ast.expr) -> Value:
    """Return what an expression gives."""
    walk.step()
    handler = _HANDLERS.get(type(node))
    return handler(walk, node) if handler is not None else Open(ast.unparse(node))


def _constant(walk: Walk, node: ast.Constant) -> Value:
    if isinstance(node.value, str):
        return Text(literals.pieces(walk.file, walk.data, node, lambda *_: (), walk.starts))
    if node.value is None or isinstance(node.value, int | float):
        start, end = literals.bounds(node, walk.starts)
        return Plain(node.value, Span(walk.file, start, end))
    return Open(ast.unparse(node))


def _formatted(walk: Walk, node: ast.JoinedStr) -> Value:
    def fill(text: str, site: Span) -> Pieces:
        return _field(walk, text, site)

    if walk.is_apart:  # its own literals have no places in older Pythons
        inner = [each.value if isinstance(each, ast.FormattedValue) else each for each in node.values]
        return bounded(Text(tuple(piece for each in inner for piece in pieces_of(value(walk, each)))))
    return bounded(Text(literals.pieces(walk.file, walk.data, node, fill, walk.starts)))


def _field(walk: Walk, text: str, site: Span) -> Pieces:
    """Return what a replacement field gives: a word is put there, a fragment stays itself."""
    try:
        shape = ast.parse(f"f'''{{{text}}}'''" if "'''" not in text else text, mode="eval").body
        node = ast.parse(f"({text}\n)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # a format, or newer than this Python
        return pieces_of(Open(text))
    if isinstance(shape, ast.JoinedStr) and len(shape.values) != 1:
        return pieces_of(Open(text))
    with walk.apart(site.start, text):
        found = pieces_of(value(walk, node))
    if any(char.isspace() for piece in found for char in piece.text):
        return found
    return tuple(replace(piece, site=site) for piece in found)


def _name(walk: Walk, node: ast.Name) -> Value:
    return walk.lookup(node.id)


def _attribute(walk: Walk, node: ast.Attribute) -> Value:
    whole = value(walk, node.value)
    if isinstance(whole, Record) and node.attr in whole.fields:
        found: Value = whole.fields[node.attr]
        return found
    return Open(ast.unparse(node))


def _binary(walk: Walk, node: ast.BinOp) -> Value:
    left, right = value(walk, node.left), value(walk, node.right)
    if isinstance(node.op, ast.Add) and isinstance(left, Items) and isinstance(right, Items):
        return bounded_list(Items([*left, *right]))
    if isinstance(node.op, ast.Add) and (isinstance(left, Text) or isinstance(right, Text)):
        return bounded(Text((*pieces_of(left), *pieces_of(right))))
    if isinstance(node.op, ast.Div) and isinstance(left, Text):
        return bounded(Text((*left.pieces, *pieces_of(said("/")), *pieces_of(right))))
    if isinstance(left, Plain) and isinstance(right, Plain):
        return _computed(node, left, right)
    return blurring(ast.unparse(node), left, right)


def _computed(node: ast.BinOp, left: Plain, right: Plain) -> Value:
    compute = NUMBERS.get(type(node.op))
    if compute is None or left.value is None or right.value is None:
        return Open(ast.unparse(node))
    if isinstance(node.op, ast.FloorDiv | ast.Mod | ast.Div) and right.value == 0:
        return Open(ast.unparse(node))
    if max(abs(left.value), abs(right.value)) > LARGEST:
        return Open(ast.unparse(node))
    return Plain(compute(left.value, right.value), None, (*left.assumes, *right.assumes))


def _choice(walk: Walk, node: ast.IfExp) -> Value:
    return value(walk, node.body if walk.decide(node.test) else node.orelse)


def _logic(walk: Walk, node: ast.BoolOp) -> Value:
    found: Value = Plain(None)
    for each in node.values:
        found = value(walk, each)
        held = truth(found)
        if held is None:
            return blurring(ast.unparse(node), found)
        if held is isinstance(node.op, ast.Or):
            return found
    return found


def _unary(walk: Walk, node: ast.UnaryOp) -> Value:
    inner = value(walk, node.operand)
    if isinstance(node.op, ast.Not):
        held = truth(inner)
        return blurring(ast.unparse(node), inner) if held is None else Plain(not held)
    if isinstance(node.op, ast.USub) and isinstance(inner, Plain) and inner.value is not None:
        return Plain(-inner.value, None, inner.assumes)
    return Open(ast.unparse(node))


def _compare(walk: Walk, node: ast.Compare) -> Value:
    left, right = value(walk, node.left), value(walk, node.comparators[0])
    one, other = plain(left), plain(right)
    op = node.ops[0]
    if len(node.ops) > 1 or one is Open or other is Open:
        return blurring(ast.unparse(node), left, right)
    if isinstance(op, ast.In | ast.NotIn) and isinstance(other, str | list | dict):
        return Plain((one in other) is isinstance(op, ast.In))
    compare = COMPARED.get(type(op))
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if compare is None or not (numbers or isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot)):
        return blurring(ast.unparse(node), left, right)
    return Plain(compare(one, other))


def plain(found: Value, depth: int = 0) -> Any:
    """Return a value as Python would hold it, the class ``Open`` where a part of it is open."""
    if depth > DEEPEST:
        return Open
    if isinstance(found, Plain):
        return found.value
    if isinstance(found, Text):
        text = text_of(found)
        return Open if text is None else decoded(text)
    if isinstance(found, Items):
        values = [plain(each, depth + 1) for each in found]
        return Open if any(each is Open for each in values) else values
    if isinstance(found, Table):
        table = {key: plain(each, depth + 1) for key, each in found.items()}
        return Open if any(each is Open for each in table.values()) else table
    return Open


def _list(walk: Walk, node: ast.List | ast.Tuple) -> Value:
    found = Items()
    for each in node.elts:
        inner = value(walk, each.value if isinstance(each, ast.Starred) else each)
        if isinstance(each, ast.Starred) and isinstance(inner, Items):
            found += inner
        else:
            found.append(inner)
    return bounded_list(found)


def _dictionary(walk: Walk, node: ast.Dict) -> Value:
    found = Table()
    for key, each in zip(node.keys, node.values, strict=True):
        inner = value(walk, each)
        if key is None:
            found.update(inner if isinstance(inner, Table) else {})
            continue
        name = text_of(value(walk, key))
        if name is not None:
            found[name] = inner
    return found


def _comprehension(walk: Walk, node: ast.ListComp | ast.GeneratorExp) -> Value:
    loop = node.generators[0]
    source = value(walk, loop.iter)
    if len(node.generators) > 1 or not isinstance(source, Items) or not isinstance(loop.target, ast.Name):
        return Open(ast.unparse(node))
    found = Items()
    for each in source:
        walk.assign(loop.target.id, each)
        if all(walk.decide(test) for test in loop.ifs):
            found.append(value(walk, node.elt))
    return found


def _subscript(walk: Walk, node: ast.Subscript) -> Value:
    whole = value(walk, node.value)
    if ast.unparse(node.value) in ("os.environ", "environ"):
        name = text_of(value(walk, node.slice))
        return walk.variable(name, None) if name else Open(ast.unparse(node))
    if isinstance(node.slice, ast.Slice):
        return Open(ast.unparse(node))
    key = plain(value(walk, node.slice))
    if isinstance(whole, Table) and isinstance(key, str) and key in whole:
        found: Value = whole[key]
        return found
    if isinstance(whole, Items) and isinstance(key, int) and -len(whole) <= key < len(whole):
        item: Value = whole[key]
        return item
    return Open(ast.unparse(node))


def _call(walk: Walk, node: ast.Call) -> Value:
    from rldoctor.sources.python import calls

    return calls.call(walk, node)


def _lambda(walk: Walk, node: ast.Lambda) -> Value:
    return Function(node)


def _walrus(walk: Walk, node: ast.NamedExpr) -> Value:
    found = value(walk, node.value)
    walk.assign(node.target.id, found)
    return found


_HANDLERS: Final[Mapping[type, Callable[[Any, Any], Value]]] = {
    ast.Constant: _constant,
    ast.JoinedStr: _formatted,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.BinOp: _binary,
    ast.IfExp: _choice,
    ast.BoolOp: _logic,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.List: _list,
    ast.Tuple: _list,
    ast.Dict: _dictionary,
    ast.ListComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.Subscript: _subscript,
    ast.Call: _call,
    ast.Lambda: _lambda,
    ast.NamedExpr: _walrus,
}
