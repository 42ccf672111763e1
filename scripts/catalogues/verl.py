"""verl: the Hydra configuration of every entry module, composed, with the types of its dataclasses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rldoctor.dialects.declared import Class, Declared, classes, fields, parse
from scripts.catalogues import hydra
from scripts.catalogues.reading import Release

CONFIGS = "verl/trainer/config"
_MAIN = re.compile(r"@hydra\.main\(\s*config_path=[\"']([\w./-]+)[\"'],\s*config_name=[\"'](\w+)[\"']")


def read(root: Path) -> Release:
    """Return the keys of each configuration and which entry module uses which."""
    found = Release()
    known = dict(_dataclasses(root))
    for module, folder, name in _mains(root):
        at = folder.relative_to(root).as_posix()
        found.entries[module] = f"{at}/{name}"
        for config in sorted(folder.glob("*.yaml")):
            if not config.stem.startswith("_"):
                _add(found, f"{at}/{config.stem}", folder, root / CONFIGS, known)
    found.roots = {name: keys for name, keys in found.roots.items() if _is_main(name, found)}
    return found


def _is_main(name: str, found: Release) -> bool:
    """Say whether a configuration is an entry's own, or a whole one beside it."""
    own = name.partition("+")[0] in found.entries.values()
    return own or any(key.startswith("actor_rollout_ref.") for key in found.roots[name])


def _mains(root: Path) -> Iterator[tuple[str, Path, str]]:
    for path in sorted(root.glob("**/*.py")):
        parts = path.relative_to(root).parts
        if parts[0] in ("verl", "recipe", "examples"):
            told = _MAIN.search(path.read_text(encoding="utf-8", errors="replace"))
            if told:
                module = ".".join(parts).removesuffix(".py")
                yield module, (path.parent / told[1]).resolve(), told[2]


def _add(found: Release, name: str, folder: Path, base: Path, known: dict[str, Class]) -> None:
    """Add a configuration, and once more for each option of a group that others are chosen by."""
    stem = name.rpartition("/")[2]
    folders = (folder, base)
    try:
        body = hydra.compose(stem, hydra.Folders(folders))
    except (hydra.CannotCompose, UnicodeDecodeError):
        return
    found.roots[name] = _keys(body, known)
    for group, usual in hydra.choices(stem, hydra.Folders(folders)).items():
        for path in sorted((base / group).glob("*.yaml")):
            if path.stem != usual:
                other = hydra.compose(stem, hydra.Folders(folders, {group: path.stem}))
                found.roots[f"{name}+{group}={path.stem}"] = _keys(other, known)
    if "engine" in hydra.placed(stem, hydra.Folders(folders)):
        for path in sorted((base / "engine").glob("*.yaml")):
            whole = {"engine": path.stem, "optim": path.stem}
            if (base / "optim" / path.name).is_file():
                other = hydra.compose(stem, hydra.Folders(folders, whole))
                found.roots[f"{name}+engine={path.stem}"] = _keys(other, known)


def _dataclasses(root: Path) -> Iterator[tuple[str, Class]]:
    for path in sorted([*root.glob("verl/**/config/*.py"), *root.glob("verl/**/config*.py")]):
        yield from classes(parse(path.read_text(encoding="utf-8"))).items()


def _keys(body: dict[str, Any], known: dict[str, Class], prefix: str = "") -> dict[str, Declared]:
    target = str(body.get("_target_", "")).rpartition(".")[2]
    typed = fields(target, known)
    found: dict[str, Declared] = {}
    for key, value in body.items():
        full = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            found[full] = Declared("section")
            found |= _keys(value, known, f"{full}.")
        else:
            found[full] = Declared(_type(value, typed.get(str(key))), value)
    return found


def _type(value: Any, field: Declared | None) -> str:
    """Return the type that a key has: what its dataclass says, else what its value shows."""
    if isinstance(value, dict):
        return "section"
    if field is not None and field.type.rstrip("?") in ("int", "float", "bool", "str", "list"):
        return field.type
    if isinstance(value, bool):
        return "bool"
    return "list" if isinstance(value, list) else "any"
