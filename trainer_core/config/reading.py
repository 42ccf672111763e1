"""Reads a configuration strictly: all mistakes at once, with line, column and the nearest known name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from trainer_core.config import Config
from trainer_core.config.contradictions import contradictions
from trainer_core.types import UserError

MAX_BYTES = 1 << 20
NUMBERS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, at a line and column that count from 1."""

    line: int
    column: int
    text: str


class ConfigError(UserError):
    """All mistakes of one configuration."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        ordered = sorted(problems, key=lambda p: (p.line, p.column, p.text))
        super().__init__("\n".join(f"{file}:{p.line}:{p.column}: {p.text}" for p in ordered))
        self.problems = tuple(ordered)


@dataclass(slots=True)
class Written:
    """What a text says: leaf values by path, where each key stands, and what is wrong."""

    values: dict[str, Any] = field(default_factory=dict)
    marks: dict[str, tuple[int, int]] = field(default_factory=dict)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def complain(self, node: yaml.Node, text: str) -> None:
        """Note a mistake at a node."""
        self.problems.append(Problem(node.start_mark.line + 1, node.start_mark.column + 1, text))


@cache
def knobs(kind: type = Config, prefix: str = "") -> Mapping[str, tuple[Any, Mapping[str, Any]]]:
    """Return every setting by its dotted path: its type, and its metadata with meaning, unit and ``hot``."""
    found: dict[str, tuple[Any, Mapping[str, Any]]] = {}
    hints = get_type_hints(kind)
    for part in fields(kind):
        path = prefix + part.name
        if is_dataclass(hints[part.name]):
            found |= knobs(hints[part.name], path + ".")
        else:
            found[path] = (hints[part.name], part.metadata | {"default": part.default})
    return found


def read(path: Path, overrides: Sequence[str] = ()) -> tuple[Config, str]:
    """Return the configuration in a file and its text, with ``key=value`` overrides written into the text."""
    if not path.is_file():
        raise UserError(f"{path}: no such configuration file")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES} bytes: not a configuration")
    text = path.read_bytes().decode("utf-8", errors="replace")
    for word in overrides:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"--set {word}: expected key=value")
        if key not in knobs():
            raise UserError(f"--set {word}: unknown setting {key}{_nearest(key, knobs())}")
        text = splice(text, key, value, str(path))
    return parse(text, str(path)), text


def parse(text: str, file: str = "config.yaml") -> Config:
    """Return the configuration that a text describes, or raise ConfigError with all its mistakes."""
    written = scan(text, file)
    config: Config = _build(Config, written.values)
    if not written.problems:
        for path, complaint in contradictions(config, frozenset(written.values)):
            line, column = _where(path, written.marks)
            written.problems.append(Problem(line, column, complaint))
    if written.problems:
        raise ConfigError(file, written.problems)
    return config


def scan(text: str, file: str = "config.yaml") -> Written:
    """Return what a text says, setting by setting; values that cannot be used are told and left out."""
    written = Written()
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = (
            Problem(mark.line + 1, mark.column + 1, str(error.problem)) if mark else Problem(1, 1, str(error))
        )
        raise ConfigError(file, [place]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(file, [Problem(1, 1, f"not YAML: {' '.join(str(error).split())}")]) from error
    if root is not None:
        _section(root, Config, "", written)
    return written


def _section(node: yaml.Node, kind: type, prefix: str, written: Written) -> None:
    if not isinstance(node, yaml.MappingNode):
        if node.value not in ("", "null", "~"):
            written.complain(node, f"{prefix.rstrip('.') or 'the file'} must hold settings, one a line")
        return
    hints = get_type_hints(kind)
    for key, value in node.value:
        path = f"{prefix}{key.value}"
        if not isinstance(key, yaml.ScalarNode) or key.value not in hints:
            written.complain(key, f"unknown setting {path}{_nearest(path, [*knobs(), *_sections()])}")
        elif path in written.marks:
            written.complain(key, f"{path} is set twice")
        else:
            written.marks[path] = (key.start_mark.line + 1, key.start_mark.column + 1)
            if is_dataclass(hints[key.value]):
                _section(value, hints[key.value], path + ".", written)
            else:
                _leaf(value, hints[key.value], path, written)


def _leaf(node: yaml.Node, hint: Any, path: str, written: Written) -> None:
    about = knobs()[path][1]
    value = _value(node)
    wanted = _wanted(value, hint)
    if wanted:
        written.complain(node, f"{path} must be {wanted}, not {_shown(node)}")
        return
    value = _typed(value, hint)
    if about["choices"] and value is not None and value not in about["choices"]:
        written.complain(
            node,
            f"{path} must be one of {', '.join(about['choices'])}, not {value}"
            + _nearest(str(value), about["choices"]),
        )
    elif about["least"] is not None and isinstance(value, int | float) and not value >= about["least"]:
        written.complain(node, f"{path} must be at least {about['least']:g}, not {value:g}")
    else:
        written.values[path] = value
        written.spans[path] = (node.start_mark.index, node.end_mark.index)


def _value(node: yaml.Node) -> Any:
    """Return a node's value; numbers such as 1e-3, which YAML 1.1 takes for text, are numbers."""
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    if not isinstance(node, yaml.ScalarNode):
        return {}
    if node.tag.endswith(":null"):
        return None
    if node.tag.endswith(":bool"):
        return node.value.lower() in ("true", "yes", "on")
    if not node.style:
        return _number(node.value)
    return node.value


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue  # not this kind of number: text is what is left
    return text


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def _wanted(value: Any, hint: Any) -> str:
    """Return what was wanted instead of the value, or nothing where the value fits."""
    kinds = _kinds(hint)
    if value is None:
        return "" if NoneType in kinds else f"{NUMBERS.get(kinds[0], 'a list')}"
    kind = next(k for k in kinds if k is not NoneType)
    if get_origin(kind) is tuple:
        whole = isinstance(value, list) and all(type(item) is int for item in value)
        return "" if whole else "a list of whole numbers"
    fits = {
        bool: type(value) is bool,
        int: type(value) is int,
        float: type(value) in (int, float) and isfinite(value),
        str: not isinstance(value, list | dict),
    }[kind]
    return "" if fits else NUMBERS[kind]


def _typed(value: Any, hint: Any) -> Any:
    kind = next(k for k in _kinds(hint) if k is not NoneType)
    if value is None:
        return None
    return tuple(value) if get_origin(kind) is tuple else kind(value)


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "settings"


def _build(kind: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    hints = get_type_hints(kind)
    made = {}
    for part in fields(kind):
        path = prefix + part.name
        if part.default is MISSING:
            made[part.name] = _build(hints[part.name], values, path + ".")
        elif path in values:
            made[part.name] = values[path]
    return kind(**made)


def _sections() -> Iterator[str]:
    return (part.name for part in fields(Config) if part.default is MISSING)


def _nearest(word: str, known: Any) -> str:
    names = list(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if not close:
        last = {name.rpartition(".")[2]: name for name in names}
        close = [last[found] for found in get_close_matches(word.rpartition(".")[2], last, n=1, cutoff=0.7)]
    return f"; did you mean {close[0]}?" if close else ""


def _where(path: str, marks: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    return marks.get(path) or marks.get(path.rpartition(".")[0]) or (1, 1)


def splice(text: str, path: str, value: str, file: str = "config.yaml") -> str:
    """Return the text with one setting changed or added; all other characters stay."""
    written = scan(text, file)
    section, _, name = path.rpartition(".")
    if path in written.spans:
        start, end = written.spans[path]
        return text[:start] + value + text[end:]
    if path in written.marks:
        return _replace_unusable(text, written.marks[path], name, value)
    lines = text.splitlines(keepends=True)
    if section and section in written.marks:
        at = written.marks[section][0]
        inside = [mark for key, mark in written.marks.items() if key.startswith(section + ".")]
        if not inside or any(line == at for line, _ in inside):  # `section: {…}` or `section:` alone
            return _into_flow(lines, at, f"{name}: {value}")
        return "".join([*lines[:at], f"{' ' * (inside[0][1] - 1)}{name}: {value}\n", *lines[at:]])
    if text.lstrip().startswith("{"):
        return _into_flow([text], 1, f"{section}: {{{name}: {value}}}" if section else f"{name}: {value}")
    added = f"{section}:\n  {name}: {value}\n" if section else f"{name}: {value}\n"
    return (text if text.endswith("\n") or not text else text + "\n") + added


def _replace_unusable(text: str, mark: tuple[int, int], name: str, value: str) -> str:
    lines = text.splitlines(keepends=True)
    indent = lines[mark[0] - 1][: mark[1] - 1]
    lines[mark[0] - 1] = f"{indent}{name}: {value}\n"
    return "".join(lines)


def _into_flow(lines: list[str], at: int, pair: str) -> str:
    line = lines[at - 1]
    if "{" in line:
        head, brace, rest = line.partition("{")
        comma = "" if rest.strip().startswith("}") else ", "
        lines[at - 1] = f"{head}{brace}{pair}{comma}{rest}"
        return "".join(lines)
    return "".join([*lines[:at], f"  {pair}\n", *lines[at:]])
