"""YAML files, both ways: settings with their bytes, and edits that leave all other bytes alone."""

from __future__ import annotations

import re
from typing import Any, Literal

from rldoctor.sources.yaml_format import Style, spell, writes_capitals
from rldoctor.sources.yaml_insert import insert_all
from rldoctor.sources.yaml_proof import Claim, prove
from rldoctor.sources.yaml_reader import read
from rldoctor.sources.yaml_spots import Found, locate
from rldoctor.sources.yaml_tree import Node, Tree, compose
from rldoctor.types import Document, Edit, Form, RLDoctorError, Setting

__all__ = ["delete", "insert", "insert_all", "read", "replace"]


def insert(document: Document, key: str, value: Any, form: Form = "yaml") -> Edit:
    """Return the edit that writes a new key under the deepest parent that exists.

    Keys that share a missing parent must go through ``insert_all`` together, or it is made twice.
    """
    return insert_all(document, {key: value}, form)[0]


def replace(document: Document, setting: Setting, value: Any) -> Edit:
    """Return the edit that gives a setting a new value where it stands.

    What comes through a merge or an alias is overridden at the place that uses it, so that the
    anchor's other users keep their value.
    """
    if setting.form == "flag" and value is False:
        return delete(document, setting)
    if setting.place is None or setting.value_place is None:
        return insert(document, setting.key, value, setting.form)
    tree = compose(document.path, document.files[document.path])
    found = locate(tree, setting)
    new = _rewritten(tree, found, value, setting.form)
    start, end = setting.place.start, setting.place.end
    edit = Edit(tree.name, setting.place.line, start, end, "replace", _text(tree, start, end), new)
    prove(tree, edit, Claim(found.path, value, setting.form, also=()))
    return edit


def delete(document: Document, setting: Setting) -> Edit:
    """Return the edit that takes a setting away, its whole lines and the comment on them."""
    if setting.place is None or setting.value_place is None:
        raise RLDoctorError(
            f"{setting.key} comes through an anchor, a merge or ${{…}} and has no text of its own to delete",
            file=document.path,
        )
    tree = compose(document.path, document.files[document.path])
    found = locate(tree, setting)
    if found.parent.kind != "mapping":
        raise RLDoctorError(f"{setting.key} is one element of a list: replace the list", file=document.path)
    start, end, new = _without(tree, found)
    kind: Literal["replace", "delete"] = "replace" if new else "delete"
    edit = Edit(tree.name, setting.place.line, start, end, kind, _text(tree, start, end), new)
    prove(tree, edit, Claim(found.path, None, setting.form, gone=True, also=(found.path[:-1],)))
    return edit


def _text(tree: Tree, start: int, end: int) -> str:
    return tree.data[start:end].decode("utf-8")


def _rewritten(tree: Tree, found: Found, value: Any, form: Form) -> str:
    node = found.value
    style = Style(
        like=_text(tree, node.start, node.end),
        flow=found.in_flow,
        capital=writes_capitals(tree.data),
        form=form,
    )
    new = spell(value, style)
    if found.key is None:
        return new
    key = _text(tree, found.key.start, found.key.end)
    return key + _between(_text(tree, found.key.end, node.start), node, new)


def _between(gap: str, node: Node, new: str) -> str:
    """Return what stands between key and value, anchors kept and tags dropped, with the new value."""
    if node.outer < node.start:
        gap = re.sub(r"(^|\s)!\S*[ \t]?", r"\1", gap)
    if ":" not in gap:
        return f"{gap}: {new}"
    if node.start == node.end and not gap[-1:].isspace():
        return f"{gap} {new}"
    if not re.search(r":.*[\r\n]", gap):
        return gap + new
    # The value began on a later line: one line now, the comment after it.
    comments = re.findall(r"(?<=\s)#[^\r\n]*", gap)
    anchors = re.findall(r"(?<=\s)&\S+", re.sub(r"(?<=\s)#[^\r\n]*", "", gap))
    return ": " + " ".join([*anchors, new, *comments])


def _without(tree: Tree, found: Found) -> tuple[int, int, str]:
    """Return the span to take away and what must stand there instead."""
    pairs, index = found.parent.pairs, found.index
    key, value = pairs[index]
    is_root = found.parent is tree.roots[0]
    if len(pairs) == 1 and not (is_root and found.parent.style == "block"):
        start = key.start if found.parent.style == "block" else found.parent.start
        end = _with_comment(tree, value.end) if found.parent.style == "block" else found.parent.end
        return start, end, "{}"
    if found.parent.style == "flow":
        if index + 1 < len(pairs):
            return key.outer, pairs[index + 1][0].outer, ""
        return pairs[index - 1][1].end, value.end, ""
    line_start = tree.data.rfind(b"\n", 0, key.outer) + 1
    if tree.data[line_start : key.outer].strip() not in (b"", b"\xef\xbb\xbf"):
        # `- a: 1`: the dash belongs to what follows.
        if index + 1 == len(pairs):
            raise RLDoctorError("cannot take this key away where it stands", file=tree.name)
        return key.outer, pairs[index + 1][0].outer, ""
    end = _with_comment(tree, value.end)
    stop = tree.data.find(b"\n", end)
    return max(line_start, tree.lines[0]), len(tree.data) if stop < 0 else stop + 1, ""


def _with_comment(tree: Tree, end: int) -> int:
    """Return the end of what stands on the line after ``end``, its line break left out."""
    rest = re.compile(rb"[ \t]*(?:#[^\r\n]*)?").match(tree.data, end)
    return rest.end() if rest else end
