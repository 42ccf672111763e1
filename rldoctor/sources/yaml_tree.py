"""YAML text as a tree of nodes that know their bytes; nothing is ever constructed from a tag."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final, Literal

import yaml
from msgspec import Struct, field

from rldoctor.types import Place, RLDoctorError

NODE_LIMIT: Final = 200_000
DEPTH_LIMIT: Final = 100
BYTE_LIMIT: Final = 16 * 2**20
BOM: Final = b"\xef\xbb\xbf"
_LONG_LINE: Final = 10_000
_PROPERTIES = re.compile(r"(?:[&!]\S*\s*(?:#.*\s*)*)*")


class Node(Struct, frozen=True, eq=False):
    """A node and its span in bytes; ``outer`` is where its anchor or tag begins, ``start`` its content."""

    kind: Literal["scalar", "list", "mapping", "alias"]
    outer: int
    start: int
    end: int
    text: str = ""
    style: str = ""
    tag: str | None = None
    items: tuple[Node, ...] = ()
    pairs: tuple[tuple[Node, Node], ...] = ()
    target: Node | None = None


class Entry(Struct, frozen=True):
    """A key of a mapping as a loader sees it; ``merged`` tells that it came through ``<<``."""

    key: Node
    value: Node
    merged: bool = False


class Tree(Struct, eq=False):
    """The documents of one file, with a budget of node visits that bounds the work on hostile input."""

    name: str
    data: bytes
    roots: tuple[Node, ...] = ()
    current: Node | None = None
    lines: list[int] = field(default_factory=list)
    left: int = NODE_LIMIT
    known: dict[int, dict[str, Entry]] = field(default_factory=dict)

    def spend(self) -> None:
        """Count one visited node; refuse when aliases and merges blow a file up."""
        self.left -= 1
        if self.left < 0:
            raise RLDoctorError(
                f"more than {NODE_LIMIT} values once aliases are expanded",
                file=self.name,
                hint="no launch configuration is that large; is this the right file?",
            )


def place(tree: Tree, start: int, end: int) -> Place:
    """Return the span of bytes with its line and column, both from 1; characters, far to the right bytes."""
    line = max(bisect.bisect_right(tree.lines, start) - 1, 0)
    before = tree.data[tree.lines[line] : min(start, tree.lines[line] + _LONG_LINE)]
    column = start - tree.lines[line] - len(before) + len(before.decode("utf-8", "replace")) + 1
    return Place(tree.name, line + 1, column, start, end)


def compose(name: str, data: bytes) -> Tree:
    """Return the tree of a YAML file; RLDoctorError with file, line and column where it is broken."""
    text, shift = _decode(name, data)
    tree = Tree(name, data, lines=_line_starts(data, shift))
    offsets = _offsets(text, shift)
    try:
        events = yaml.parse(text, Loader=_LOADER)
        tree.roots = tuple(_documents(tree, text, offsets, events))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.problem, error.context) if part)
        begin = error.context_mark
        if error.context and begin is not None and mark is not None and begin.line != mark.line:
            what += f" that begins in line {begin.line + 1}"
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise RLDoctorError(f"not valid YAML: {what}", file=name, line=line, column=column) from error
    except yaml.reader.ReaderError as error:
        raise _bad_character(name, text, error) from error
    return tree


_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _bad_character(name: str, text: str, error: yaml.reader.ReaderError) -> RLDoctorError:
    before = text[: error.position]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return RLDoctorError(f"not valid YAML: {error.reason}", file=name, line=line, column=column)


def _decode(name: str, data: bytes) -> tuple[str, int]:
    """Return the text without its byte order mark, and the mark's length in bytes."""
    if len(data) > BYTE_LIMIT:
        raise RLDoctorError(f"{len(data)} bytes are too large for a YAML configuration", file=name)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise RLDoctorError("the file is UTF-16", file=name, hint="save it as UTF-8")
    shift = len(BOM) if data.startswith(BOM) else 0
    try:
        return data[shift:].decode("utf-8"), shift
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, shift + error.start) + 1
        raise RLDoctorError("not UTF-8 text", file=name, line=line, hint="is this a YAML file?") from error


def _line_starts(data: bytes, shift: int) -> list[int]:
    return [shift, *(found.end() for found in re.finditer(rb"\r\n|\n|\r", data))]


def _offsets(text: str, shift: int) -> list[int] | range:
    """Return the byte offset of each character, one more for the end."""
    if text.isascii():
        return range(shift, shift + len(text) + 1)
    return list(accumulate((len(char.encode("utf-8")) for char in text), initial=shift))


class _Open(Struct):
    """A collection whose end has not come yet."""

    event: Any
    children: list[Node] = field(default_factory=list)


def _documents(tree: Tree, text: str, offsets: list[int] | range, events: Iterator[Any]) -> Iterator[Node]:
    stack: list[_Open] = []
    anchors: dict[str, Node] = {}
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            anchors = {}
        elif isinstance(event, yaml.CollectionStartEvent):
            _check_depth(tree, event, len(stack))
            stack.append(_Open(event))
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionEndEvent | yaml.AliasEvent):
            tree.spend()
            node, name = _node(tree, text, offsets, (event, stack, anchors))
            if name:
                anchors[name] = node
            if stack:
                stack[-1].children.append(node)
            else:
                yield node
    tree.left = NODE_LIMIT


def _check_depth(tree: Tree, event: Any, depth: int) -> None:
    if depth >= DEPTH_LIMIT:
        mark = event.start_mark
        raise RLDoctorError(
            f"nested deeper than {DEPTH_LIMIT} levels",
            file=tree.name,
            line=mark.line + 1,
            column=mark.column + 1,
        )


def _node(
    tree: Tree, text: str, offsets: list[int] | range, state: tuple[Any, list[_Open], dict[str, Node]]
) -> tuple[Node, str | None]:
    event, stack, anchors = state
    if isinstance(event, yaml.AliasEvent):
        return _alias(tree, offsets, event, anchors), None
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(text, offsets, event), event.anchor
    opened = stack.pop()
    return _collection(text, offsets, opened, event), opened.event.anchor


def _alias(tree: Tree, offsets: list[int] | range, event: Any, anchors: dict[str, Node]) -> Node:
    start, end = offsets[event.start_mark.index], offsets[event.end_mark.index]
    if event.anchor not in anchors:
        spot = place(tree, start, end)
        raise RLDoctorError(
            f"alias *{event.anchor} stands before its anchor is complete, or has none",
            file=tree.name,
            line=spot.line,
            column=spot.column,
        )
    return Node("alias", start, start, end, text=event.anchor, target=anchors[event.anchor])


def _scalar(text: str, offsets: list[int] | range, event: Any) -> Node:
    outer, end = event.start_mark.index, event.end_mark.index
    start = outer
    if event.anchor or event.tag:
        found = _PROPERTIES.match(text, outer, end)
        start = found.end() if found else outer
    style = "" if event.style in (None, "") else event.style
    if style in ("|", ">"):
        end = outer + len(text[outer:end].rstrip())
    if not style and not event.value:
        start = end = min(start, outer + len(text[outer:end].rstrip()))
    tag = event.tag if event.tag != "!" else "tag:yaml.org,2002:str"
    return Node("scalar", offsets[outer], offsets[start], offsets[end], event.value, style, tag)


def _collection(text: str, offsets: list[int] | range, opened: _Open, event: Any) -> Node:
    first, children = opened.event, opened.children
    outer = offsets[first.start_mark.index]
    is_list = isinstance(first, yaml.SequenceStartEvent)
    if first.flow_style:
        start, end, style = offsets[first.end_mark.index - 1], offsets[event.end_mark.index], "flow"
    else:
        begin = first.start_mark.index
        if first.anchor or first.tag:
            found = _PROPERTIES.match(text, begin)
            begin = found.end() if found else begin
        start, end, style = offsets[begin], children[-1].end if children else offsets[begin], "block"
    if is_list:
        return Node("list", outer, start, end, style=style, tag=first.tag, items=tuple(children))
    pairs = tuple(zip(children[::2], children[1::2], strict=True))
    return Node("mapping", outer, start, end, style=style, tag=first.tag, pairs=pairs)


def real(node: Node) -> Node:
    """Return the node that an alias stands for, any other node itself."""
    return node.target if node.target is not None else node


def entries(tree: Tree, mapping: Node) -> dict[str, Entry]:
    """Return a mapping's keys as a loader sees them: merges followed, the last of duplicates counting."""
    if id(mapping) in tree.known:
        return tree.known[id(mapping)]
    own: dict[str, Entry] = {}
    merged: dict[str, Entry] = {}
    for key, value in mapping.pairs:
        if key.kind == "scalar" and key.text == "<<" and not key.style:
            for name, entry in _merged(tree, real(value)):
                merged.setdefault(name, entry)
        elif real(key).kind == "scalar":
            tree.spend()
            own[real(key).text] = Entry(key, value)
    result = own | {name: entry for name, entry in merged.items() if name not in own}
    tree.known[id(mapping)] = result
    return result


def _merged(tree: Tree, node: Node) -> Iterator[tuple[str, Entry]]:
    for source in node.items if node.kind == "list" else (node,):
        for name, entry in entries(tree, real(source)).items():
            tree.spend()
            yield name, Entry(entry.key, entry.value, merged=True)
