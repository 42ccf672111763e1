"""New keys in a YAML file: where they go, at which indentation, in which manner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from rldoctor.sources.yaml_format import Style, spell, text, writes_capitals
from rldoctor.sources.yaml_proof import Claim, prove
from rldoctor.sources.yaml_reader import FLAGS, recipe_form
from rldoctor.sources.yaml_spots import full_path
from rldoctor.sources.yaml_tree import Node, Tree, compose, entries, place, real
from rldoctor.types import Document, Edit, Form, RLDoctorError


class _Missing(dict[str, Any]):
    """A parent that has to be made, unlike a mapping that is itself a value."""


class _Slot(Struct):
    """A place where keys can be added: a mapping, an empty value, an alias, or an empty file."""

    path: tuple[str, ...]
    node: Node | None
    key: Node | None
    in_flow: bool
    new: _Missing = field(default_factory=_Missing)
    claims: list[Claim] = field(default_factory=list)


def insert_all(document: Document, values: Mapping[str, Any], form: Form = "yaml") -> tuple[Edit, ...]:
    """Return the edits that write new keys, missing parents made once, one edit a place."""
    tree = compose(document.path, document.files[document.path])
    _check_form(tree, form)
    slots: dict[int, _Slot] = {}
    for key, value in values.items():
        slot, rest = _slot(tree, full_path(key, form), key)
        slot = slots.setdefault(id(slot.node), slot)
        _add(slot, rest, value)
        slot.claims.append(Claim((*slot.path, *rest), value, form, also=(slot.path, (*slot.path, "<<"))))
    return tuple(_proved(tree, slot, form) for slot in slots.values())


def _check_form(tree: Tree, form: Form) -> None:
    """Refuse flags and variables in a file that is no recipe of Megatron-LM: it has no place for them."""
    root = tree.roots[0] if tree.roots else None
    recipe = root is not None and root.kind == "mapping" and recipe_form(tree, root, FLAGS) == "flag"
    if form in ("flag", "env") and not recipe:
        what = "command-line flags" if form == "flag" else "environment variables"
        raise RLDoctorError(f"a YAML file of this kind gives no {what}", file=tree.name)


def _add(slot: _Slot, rest: tuple[str, ...], value: Any) -> None:
    level = slot.new
    for part in rest[:-1]:
        level = level.setdefault(part, _Missing())
    level[rest[-1]] = value


def _proved(tree: Tree, slot: _Slot, form: Form) -> Edit:
    edit = _edit(tree, slot, form)
    prove(tree, edit, *slot.claims)
    return edit


def _slot(tree: Tree, path: tuple[str, ...], key: str) -> tuple[_Slot, tuple[str, ...]]:
    """Return the deepest existing place on a path and the keys that are missing below it."""
    slot = _Slot((), tree.roots[0] if tree.roots else None, None, False)
    for i, part in enumerate(path):
        node = slot.node
        inner = _own_child(node, part) if node is not None else None
        if inner is None:
            _check(tree, slot, path[i:], key)
            return slot, path[i:]
        flow = slot.in_flow or (node is not None and node.style == "flow")
        slot = _Slot((*slot.path, part), inner[1], inner[0], flow)
    raise RLDoctorError(f"{key} is set already", file=tree.name, hint="replace it instead")


def _own_child(node: Node, part: str) -> tuple[Node | None, Node] | None:
    """Return the key and value that the node's own text has for a part of a path."""
    for key, value in reversed(node.pairs):
        if real(key).text == part:
            return key, value
    if node.kind == "list" and part.isdecimal() and int(part) < len(node.items):
        return None, node.items[int(part)]
    return None


def _check(tree: Tree, slot: _Slot, rest: tuple[str, ...], key: str) -> None:
    node = slot.node
    if node is None:
        return
    name = ".".join(slot.path) or "the file"
    inner = real(node)
    if inner.kind == "mapping":
        if len(rest) > 1 and rest[0] in entries(tree, inner):
            raise _refused(tree, node, f"{name}.{rest[0]} comes through an anchor; write {key} by hand")
        return
    if inner is not node or inner.kind == "list" or inner.text not in ("", "null", "~", "Null", "NULL"):
        raise _refused(tree, node, f"{name} is no mapping, so {key} cannot stand below it")


def _refused(tree: Tree, node: Node, message: str) -> RLDoctorError:
    spot = place(tree, node.start, node.end)
    return RLDoctorError(message, file=tree.name, line=spot.line, column=spot.column)


def _edit(tree: Tree, slot: _Slot, form: Form) -> Edit:
    node = slot.node
    style = Style(flow=slot.in_flow, capital=writes_capitals(tree.data), form=form)
    if node is None or (not slot.path and node.kind == "scalar"):
        return _at_end(tree, _block(slot.new, "", _step(tree), style))
    if node.kind == "mapping" and node.style == "block":
        return _in_block(tree, node, slot.new, style)
    style = Style(flow=True, capital=style.capital, form=form)
    if node.kind == "mapping":
        return _in_flow(tree, node, slot.new, style)
    merge = f"<<: *{node.text}, " if node.kind == "alias" else ""
    new = "{" + merge + _flow(slot.new, style) + "}"
    space = "" if node.start < node.end or tree.data[node.start - 1 : node.start].isspace() else " "
    return _replacing(tree, slot, space + new)


def _replacing(tree: Tree, slot: _Slot, new: str) -> Edit:
    """Return the edit of a whole pair (or list item) whose value becomes ``new``."""
    node = slot.node
    assert node is not None
    start = slot.key.start if slot.key else node.start
    head = tree.data[start : node.start].decode("utf-8")
    old = tree.data[start : node.end].decode("utf-8")
    return Edit(tree.name, place(tree, start, start).line, start, node.end, "replace", old, head + new)


def _in_flow(tree: Tree, node: Node, new: _Missing, style: Style) -> Edit:
    at = node.pairs[-1][1].end if node.pairs else node.start + 1
    words = (", " if node.pairs else "") + _flow(new, style)
    return Edit(tree.name, place(tree, at, at).line, at, at, "insert", "", words)


def _in_block(tree: Tree, node: Node, new: _Missing, style: Style) -> Edit:
    first, last = node.pairs[0][0], node.pairs[-1][1]
    line_start = max(tree.data.rfind(b"\n", 0, first.outer) + 1, tree.lines[0])
    indent = " " * len(tree.data[line_start : first.outer].decode("utf-8"))
    words = _block(new, indent, _step(tree), style)
    stop = tree.data.find(b"\n", max(last.end, last.start))
    return _at_end(tree, words) if stop < 0 else _inserted(tree, stop + 1, _lines(tree, words))


def _at_end(tree: Tree, words: list[str]) -> Edit:
    data = tree.data
    begun = "" if not data or data.endswith((b"\n", b"\r")) or len(data) == tree.lines[0] else newline(data)
    ended = "" if begun else newline(data)
    return _inserted(tree, len(data), begun + newline(data).join(words) + ended)


def _lines(tree: Tree, words: list[str]) -> str:
    return "".join(word + newline(tree.data) for word in words)


def _inserted(tree: Tree, at: int, new: str) -> Edit:
    line = place(tree, at, at).line + (1 if new.startswith(("\n", "\r")) else 0)
    return Edit(tree.name, line, at, at, "insert", "", new)


def _block(new: _Missing, indent: str, step: str, style: Style) -> list[str]:
    lines = []
    for key, value in new.items():
        name = text(key, Style())
        if isinstance(value, _Missing):
            lines += [f"{indent}{name}:", *_block(value, indent + step, step, style)]
        else:
            lines.append(f"{indent}{name}: {spell(value, style)}")
    return lines


def _flow(new: _Missing, style: Style) -> str:
    return ", ".join(
        f"{text(key, Style(flow=True))}: "
        + ("{" + _flow(value, style) + "}" if isinstance(value, _Missing) else spell(value, style))
        for key, value in new.items()
    )


def newline(data: bytes) -> str:
    """Return the file's own line break."""
    return "\r\n" if b"\r\n" in data else "\n"


def _step(tree: Tree) -> str:
    """Return one level of indentation as the file has it."""
    found = re.search(
        rb"^[^\s#-][^\n#]*:[ \t]*(?:#[^\n]*)?\r?\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*( +)[^\s#-]", tree.data, re.M
    )
    return " " * len(found[1]) if found else "  "
