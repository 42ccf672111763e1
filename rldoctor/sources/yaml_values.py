"""What a YAML node means: typed scalars, OmegaConf interpolations, Python lists and dicts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import yaml
from msgspec import Struct
from msgspec.structs import replace

from rldoctor.sources.yaml_tree import Node, Tree, compose, entries, real
from rldoctor.types import RLDoctorError, State

_CHAIN_LIMIT: Final = 20
_TEXT_LIMIT: Final = 2**16
_CORE: Final = "tag:yaml.org,2002:"
_CONSTRUCT: Final = yaml.constructor.SafeConstructor()
# OmegaConf's rule: `1e-6` is a number, though plain PyYAML wants a dot in it.
_FLOAT = re.compile(
    r"""(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
    |[-+]?\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))""",
    re.VERBOSE,
)
_MISSING: Final = "???"  # OmegaConf: someone else has to give it
_RESOLVER_CALL = re.compile(r"\s*([A-Za-z_][\w.]*)\s*:(.*)", re.DOTALL)


class Value(Struct, frozen=True):
    """A node's value; ``source`` is the literal it was taken from when it is not the node's own text."""

    value: Any
    state: State = "known"
    depends: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()
    source: Node | None = None
    target: Node | None = None
    path: tuple[str, ...] = ()


def implicit_tag(text: str) -> str:
    """Return the short name of the type that a plain scalar has (``int``, ``bool``, ``str``, …)."""
    if _FLOAT.fullmatch(text):
        return "float"
    known = yaml.SafeLoader.yaml_implicit_resolvers
    for tag, pattern in [*known.get(text[:1], ()), *known.get(None, ())]:
        if pattern.match(text):
            return str(tag).removeprefix(_CORE)
    return "str"


def scalar(node: Node) -> Any:
    """Return the Python value of a scalar; timestamps and all that is no number stay text."""
    kind = (node.tag or "").removeprefix(_CORE) or ("str" if node.style else implicit_tag(node.text))
    if kind == "null":
        return None
    if kind == "bool":
        return _bool(node.text)
    if kind not in ("int", "float"):
        return node.text
    read = _CONSTRUCT.construct_yaml_int if kind == "int" else _CONSTRUCT.construct_yaml_float
    try:
        return read(yaml.ScalarNode(_CORE + kind, node.text))
    except ValueError:  # `0x_`, a million digits: text to every reader that does not crash on it
        return node.text


def _bool(text: str) -> Any:
    return _CONSTRUCT.bool_values.get(text.lower(), text)


def evaluate(tree: Tree, node: Node, path: tuple[str, ...], chain: int = 0) -> Value:
    """Return what a node at a path means, interpolations resolved within the file."""
    tree.spend()
    if node.kind == "alias":
        inner = evaluate(tree, real(node), path, chain)
        return inner if inner.source else replace(inner, source=real(node))
    if node.kind == "scalar":
        return _scalar_value(tree, node, path, chain)
    if node.kind == "list":
        parts = [evaluate(tree, item, (*path, str(i)), chain) for i, item in enumerate(node.items)]
        return _joined([part.value for part in parts], parts)
    named = {name: evaluate(tree, e.value, (*path, name), chain) for name, e in entries(tree, node).items()}
    return _joined({name: part.value for name, part in named.items()}, named.values())


def _joined(value: Any, parts: Iterable[Value]) -> Value:
    parts = tuple(parts)
    states = {part.state for part in parts}
    state: State = "unknown" if "unknown" in states else "assumed" if "assumed" in states else "known"
    depends = dict.fromkeys(name for part in parts for name in part.depends)
    assumes = dict.fromkeys(name for part in parts for name in part.assumes)
    return Value(value, state, tuple(depends), tuple(assumes))


def _scalar_value(tree: Tree, node: Node, path: tuple[str, ...], chain: int) -> Value:
    if (node.tag and not node.tag.startswith(_CORE)) or node.tag == f"{_CORE}binary":
        return Value(node.text, "unknown", (node.tag,))
    value = scalar(node)
    if isinstance(value, str) and "${" in value:
        return _interpolate(tree, value, path, chain)
    if value == _MISSING:
        return Value(value, "unknown", (".".join(path),))
    return Value(value)


def _interpolate(tree: Tree, text: str, path: tuple[str, ...], chain: int) -> Value:
    pieces = list(_pieces(text))
    if len(pieces) == 1 and pieces[0][0]:
        return _reference(tree, pieces[0][1], path, chain)
    parts, size = [], 0
    for is_ref, body in pieces:
        parts.append(_reference(tree, body, path, chain) if is_ref else Value(body))
        size += len(str(parts[-1].value))
        if size > _TEXT_LIMIT:
            return Value(text, "unknown", (body[:_TEXT_LIMIT],))
    joined = _joined("".join(str(part.value) for part in parts), parts)
    return replace(joined, value=text) if joined.state == "unknown" else joined


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Yield (is a reference, body) for ``${body}`` and the literal text between."""
    at = begin = 0
    while (found := text.find("${", at)) >= 0:
        end = _closing(text, found + 2)
        if end < 0:
            break
        if found and text[found - 1] == "\\":
            at = found + 2
            continue
        if found > begin:
            yield False, text[begin:found]
        yield True, text[found + 2 : end]
        at = begin = end + 1
    if begin < len(text):
        yield False, text[begin:]


def _closing(text: str, at: int) -> int:
    depth = 1
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return -1


def _reference(tree: Tree, body: str, path: tuple[str, ...], chain: int) -> Value:
    if chain > _CHAIN_LIMIT:
        return Value("${" + body + "}", "unknown", (body,))
    call = _RESOLVER_CALL.fullmatch(body)
    if call is None:
        return _key_reference(tree, body, path, chain)
    name, arguments = call[1], _arguments(call[2])
    unknown = Value("${" + body + "}", "unknown", (arguments[0] if name == "oc.env" else name,))
    if name not in ("oc.env", "oc.select") or not arguments:
        return unknown
    if name == "oc.select":
        found = _key_reference(tree, arguments[0], path, chain)
        if found.state != "unknown" or len(arguments) < 2:
            return found
    if len(arguments) < 2:
        return unknown
    default = _default(tree, arguments[1], path, chain)
    if default.state == "unknown":
        return default
    value = default.value
    if name == "oc.env" and value is not None:
        value = str(value)  # the environment gives text, and OmegaConf makes its default text too
    why = f"{arguments[0]} is unset"
    return replace(default, value=value, state="assumed", assumes=(*default.assumes, why), source=None)


def _arguments(text: str) -> list[str]:
    parts, depth, begin = [], 0, 0
    for i, char in enumerate(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append(text[begin:i].strip())
            begin = i + 1
    return [*parts, text[begin:].strip()]


def _default(tree: Tree, text: str, path: tuple[str, ...], chain: int) -> Value:
    if "${" in text:
        return _interpolate(tree, text, path, chain + 1)
    try:
        small = compose(tree.name, text.encode())
    except RLDoctorError:  # OmegaConf's grammar allows words that YAML's does not; they are text
        return Value(text)
    if not small.roots:
        return Value(None)
    root = small.roots[0]
    return Value(text) if root.style == "block" else evaluate(small, root, (), _CHAIN_LIMIT)


def _key_reference(tree: Tree, body: str, path: tuple[str, ...], chain: int) -> Value:
    unknown = Value("${" + body + "}", "unknown", (body,))
    if "${" in body:
        inner = _interpolate(tree, body, path, chain + 1)
        if inner.state == "unknown":
            return inner
        body = str(inner.value)
    stripped = body.strip().replace("[", ".").replace("]", "")
    ups = len(stripped) - len(stripped.lstrip("."))
    base = path[: max(len(path) - ups, 0)] if ups else ()
    target = (*base, *stripped[ups:].split("."))
    node = find(tree, target, chain + 1)
    if node is None:
        return unknown
    value = evaluate(tree, node, target, chain + 1)
    source = value.source or (node if value.state == "known" and value.target is None else None)
    return replace(value, source=source, target=value.target or real(node), path=value.path or target)


def find(tree: Tree, path: tuple[str, ...], chain: int = 0) -> Node | None:
    """Return the node at a path of keys, through aliases, merges and whole-value interpolations."""
    node = tree.current
    if node is None:
        return None
    for i, part in enumerate(path):
        node = real(node)
        if node.kind == "scalar" and "${" in node.text and chain <= _CHAIN_LIMIT:
            node = _interpolate(tree, node.text, path[:i], chain + 1).target or node
        inner = _child(tree, node, part)
        if inner is None:
            return None
        node = inner
    return node


def _child(tree: Tree, node: Node, part: str) -> Node | None:
    if node.kind == "mapping":
        entry = entries(tree, node).get(part)
        return entry.value if entry else None
    if node.kind == "list" and part.isdecimal() and int(part) < len(node.items):
        return node.items[int(part)]
    return None
