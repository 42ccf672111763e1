"""Catalogues as they are shipped: one line a key, with the releases and roots it holds for as bits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rldoctor.dialects.declared import Declared, Expression
from rldoctor.expr import version_key
from scripts.catalogues.reading import Release

Spec = tuple[Any, ...]
Renames = list[dict[str, Any]]


def encode(system: str, releases: Mapping[str, Release], renames: Renames) -> str:
    """Return the text of a system's catalogue; releases are ordered oldest first."""
    names = sorted(releases, key=version_key)
    roots = sorted({root for release in releases.values() for root in release.roots})
    keys: dict[str, dict[str, dict[str, int]]] = {}
    entries: dict[tuple[str, str], int] = {}
    for bit, name in enumerate(names):
        for program, root in releases[name].entries.items():
            entries[program, root] = entries.get((program, root), 0) | 1 << bit
        for root, declared in releases[name].roots.items():
            for key, said in declared.items():
                masks = keys.setdefault(key, {}).setdefault(_spec(said), {})
                masks[root] = masks.get(root, 0) | 1 << bit
    scopes: dict[str, int] = {}
    rows = {
        key: [_row(spec, masks, roots, scopes) for spec, masks in specs.items()]
        for key, specs in keys.items()
    }
    head = {
        "system": system,
        "releases": names,
        "roots": roots,
        "entries": [[program, root, mask] for (program, root), mask in sorted(entries.items())],
        "renames": renames,
        "scopes": [json.loads(scope) for scope in scopes],
    }
    return _lines(head, rows)


def _row(spec: str, masks: Mapping[str, int], roots: list[str], scopes: dict[str, int]) -> list[Any]:
    scope = json.dumps(sorted([roots.index(root), mask] for root, mask in masks.items()))
    return [scopes.setdefault(scope, len(scopes)), *json.loads(spec)]


def _spec(said: Declared) -> str:
    """Return type, default and choices as one text, so that equal ones are told once."""
    row: list[Any] = [said.type, _plain(said.default), [_plain(choice) for choice in said.choices]]
    while len(row) > 1 and row[-1] in (None, []):
        row.pop()
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Expression):
        return {"=": value.text}
    if isinstance(value, str | bool | None) or (isinstance(value, int | float) and value == value):
        return value if value not in (float("inf"), float("-inf")) else {"=": str(value)}
    if isinstance(value, list | tuple | set) and len(value) <= 16:
        return [_plain(item) for item in value]
    return {"=": str(value)[:80]}


def _lines(head: Mapping[str, Any], rows: Mapping[str, Any]) -> str:
    def compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def listed(name: str, items: Iterable[str], close: str) -> str:
        return f'"{name}":{"[{"[close == "}"]}\n' + ",\n".join(items) + f"\n{close}"

    parts = [f'"{name}":{compact(head[name])}' for name in ("system", "releases", "roots")]
    parts += [listed(name, map(compact, head[name]), "]") for name in ("entries", "renames", "scopes")]
    parts.append(listed("keys", (f"{compact(key)}:{compact(rows[key])}" for key in sorted(rows)), "}"))
    return "{" + ",\n".join(parts) + "}\n"


def decode(path: Path) -> dict[str, Release]:
    """Return the releases of a catalogue as they were read, so that one can be added to them."""
    data = json.loads(path.read_text(encoding="utf-8"))
    found = {name: Release() for name in data["releases"]}
    for program, root, mask in data["entries"]:
        for bit, name in enumerate(data["releases"]):
            if mask >> bit & 1:
                found[name].entries[program] = root
    for key, rows in data["keys"].items():
        for scope, *spec in rows:
            for root, mask in data["scopes"][scope]:
                for bit, name in enumerate(data["releases"]):
                    if mask >> bit & 1:
                        found[name].roots.setdefault(data["roots"][root], {})[key] = _declared(spec)
    return found


def _declared(spec: list[Any]) -> Declared:
    kind, default, choices = (*spec, None, [])[:3] if len(spec) < 3 else spec
    return Declared(kind, _value(default), tuple(_value(choice) for choice in choices or ()))


def _value(plain: Any) -> Any:
    return Expression(plain["="]) if isinstance(plain, dict) else plain
