"""How a value is spelled in a shell word, by the quotes that stand around it."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from rldoctor.sources.shell.sourcing import shell_text
from rldoctor.types import RLDoctorError

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

Context = Literal["bare", "double", "single", "heredoc"]

_SAFE = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_CONTEXTS: dict[str, Context] = {
    "string": "double",
    "translated_string": "double",
    "raw_string": "single",
    "ansi_c_string": "single",
    "heredoc_body": "heredoc",
}


@lru_cache(maxsize=8)
def _tree(data: bytes) -> Tree:
    from rldoctor.sources.shell.statements import parse
    from rldoctor.sources.shell.text import Source

    return parse(Source("", shell_text(data)))


def node_at(data: bytes, start: int, end: int) -> Node | None:
    """Return the smallest node of the syntax tree over these bytes."""
    return _tree(data).root_node.descendant_for_byte_range(start, end)


def ancestor(data: bytes, start: int, end: int, *kinds: str) -> Node | None:
    """Return the nearest node of these kinds that holds the bytes."""
    node = node_at(data, start, end)
    while node is not None and node.type not in kinds:
        node = node.parent
    return node


def context_at(data: bytes, start: int, end: int) -> Context:
    """Return the quotes that these bytes stand in."""
    node = node_at(data, start, end)
    while node is not None:
        found = _CONTEXTS.get(node.type)
        if found and node.start_byte < start and end < node.end_byte + (found == "heredoc"):
            return found
        if node.type in ("command_substitution", "expansion"):
            start, end = node.start_byte, node.end_byte
        node = node.parent
    return "bare"


def spelled(value: Any) -> str:
    """Return a Python value as the systems write it in a word: ``null``, ``True``, ``[1,2]``."""
    if value is None:
        return "null"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(spelled(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{spelled(each)}" for key, each in value.items()) + "}"
    return str(value)


def protected(text: str, context: Context) -> str:
    """Return text so that it means itself in this context; bare words are quoted if they must be."""
    if _SAFE.fullmatch(text):
        return text
    if context == "bare":
        return _quoted(text)
    if context == "double":
        return re.sub(r'([\\"$`])', r"\\\1", text)
    if context == "heredoc":
        return re.sub(r"([\\$`])", r"\\\1", text)
    if "'" in text:
        raise RLDoctorError(f"{text} cannot be written inside single quotes")
    return text


def _quoted(text: str) -> str:
    if re.fullmatch(r"[\w@%+=:,./\[\]-]+", text, re.ASCII) and "=" in text:
        return text
    if "'" not in text:
        return f"'{text}'"
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'


def value_in_word(text: str, context: Context, prefix: str) -> str:
    """Return a value that follows ``prefix`` in the same word."""
    if context == "bare" and re.fullmatch(r"[\w@%+=:,./\[\]-]*", text, re.ASCII) and "=" in prefix:
        return text
    return protected(text, context) if text or context != "bare" else "''"


def json_text(value: Any) -> str:
    """Return what stands between the quotes of a JSON string."""
    return json.dumps(str(value), ensure_ascii=False)[1:-1]
