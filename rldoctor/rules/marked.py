"""YAML that remembers places, so that each mistake in a rule file has its line and column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final, TypeAlias

from rldoctor.types import RLDoctorError

Node: TypeAlias = Any
_MAX_DEPTH: Final = 40
_MAX_DIGITS: Final = 300
# The core schema of YAML 1.2: `on` and `yes` are words, 1:30 and 2026-01-01 texts, 1e-6 is a number.
_SCHEMA: Final = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+0123456789."),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
)


def compose(text: str, file: str) -> Node:
    """Return the node of a YAML text, None for an empty one; RLDoctorError with the place if not YAML."""
    import yaml

    try:
        return yaml.compose(text, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise RLDoctorError(f"not YAML: {error.problem}", file=file, line=line, column=column) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise RLDoctorError(f"not YAML: {error}", file=file) from error


@cache
def _loader() -> Any:
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - add_implicit_resolver fills it

    for tag, pattern, first in _SCHEMA:
        starts = [*first, ""] if tag == "null" else list(first)
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern})\Z"), starts)
    return Loader


def place(node: Node, lines: Sequence[str], within: int = 0) -> tuple[int, int]:
    """Return line and column of a node, or of what is ``within`` characters into the text of a scalar."""
    mark = node.start_mark
    column = mark.column + (1 if node.id == "scalar" and node.style in ("'", '"') else 0)
    if within and node.id == "scalar" and lines[mark.line][column:].startswith(node.value):
        return mark.line + 1, column + within
    return mark.line + 1, mark.column + 1


def pairs(node: Node) -> Iterator[tuple[str, Node, Node]]:
    """Yield key, key node and value node of a mapping; what is no word as a key is shown as one."""
    for key, value in node.value:
        yield (key.value if isinstance(key.value, str) else f"<{key.id}>"), key, value


def kind(node: Node) -> str:
    """Return mapping, sequence, str, int, float, bool or null."""
    return str(node.id) if node.id != "scalar" else str(node.tag.rpartition(":")[2])


def plain(node: Node, depth: int = 0) -> Any:
    """Return a node's data: dicts with text keys, lists, text, numbers, True, False, None."""
    if depth > _MAX_DEPTH:
        return None
    if node.id == "mapping":
        return {key: plain(value, depth + 1) for key, _, value in pairs(node)}
    if node.id == "sequence":
        return [plain(item, depth + 1) for item in node.value]
    return _scalar(node)


def _scalar(node: Node) -> Any:
    text, tag = node.value, kind(node)
    if not any(tag == name and re.fullmatch(pattern, text) for name, pattern, _ in _SCHEMA):
        return text
    match tag:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text[:_MAX_DIGITS], 0 if text[:2] in ("0x", "0o") else 10)
        case _:
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
