"""Broken shell: finds the lines that break more than themselves, so that the rest can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

Parse = Callable[[str], "Node"]

_MOST_CULPRITS = 8
_MOST_LINES = 3000
_MOST_STATEMENT = 300


def recovered(text: str, root: Node, parse: Parse) -> Node:
    """Return the tree without the lines that break it, if that leaves less broken than there was."""
    broken = _broken(root)
    if text.count("\n") > _MOST_LINES or not any("\n" in text[n.start_byte : n.end_byte] for n in broken):
        return root
    lines = text.splitlines(keepends=True)
    for at in _culprits(lines, parse):
        lines[at] = " " * len(lines[at].rstrip("\r\n")) + lines[at][len(lines[at].rstrip("\r\n")) :]
    repaired = parse("".join(lines))
    return repaired if _size(_broken(repaired)) < _size(broken) else root


def _culprits(lines: list[str], parse: Parse) -> list[int]:
    """Return the lines at which no statement can be read, whatever follows."""
    found: list[int] = []
    at = 0
    while at < len(lines) and len(found) < _MOST_CULPRITS:
        end = _statement_end(lines, at, parse)
        if end is None:
            found.append(at)
            at += 1
        else:
            at = end
    return found


def _statement_end(lines: list[str], at: int, parse: Parse) -> int | None:
    for end in range(at + 1, min(at + _MOST_STATEMENT, len(lines)) + 1):
        if lines[end - 1].rstrip("\r\n").endswith("\\") and end < len(lines):
            continue
        if not parse("".join(lines[at:end])).has_error:
            return end
    return None


def _size(nodes: list[Node]) -> int:
    return sum(node.end_byte - node.start_byte for node in nodes)


def _broken(root: Node) -> list[Node]:
    """Return the outermost broken nodes, in order."""
    pending, found = [root], []
    while pending:
        node = pending.pop()
        if node.is_error:
            found.append(node)
        elif node.has_error:
            pending += reversed(node.children)
    return found
