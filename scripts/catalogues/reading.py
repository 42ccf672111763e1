"""What a checkout of one release gives."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rldoctor.dialects.declared import Class, Declared, classes, parse
from rldoctor.types import RLDoctorError

Keys = dict[str, Declared]


@dataclass
class Release:
    """Keys by root (a configuration or parser), and which root an entry program uses."""

    roots: dict[str, Keys] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)


def tree(path: Path) -> ast.Module:
    """Return the tree of a Python file; a file that is broken upstream is said and left out."""
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"), str(path))
    except RLDoctorError as error:
        print(f"left out {error}", file=sys.stderr)
        return ast.Module([], [])


def known_classes(paths: Iterable[Path]) -> dict[str, Class]:
    """Return the classes of some files by name; of two of one name the later."""
    return dict(_classes(paths))


def _classes(paths: Iterable[Path]) -> Iterator[tuple[str, Class]]:
    for path in paths:
        yield from classes(tree(path)).items()
