"""Megatron-LM: flags that are added one by one, those made from dataclasses, and those of entry scripts."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from rldoctor.dialects.declared import Class, Declared, arguments, fields
from scripts.catalogues.reading import Keys, Release, known_classes, tree

BASE = "megatron"
ARGUMENTS = "megatron/training/arguments.py"
ENTRIES = ("pretrain_*.py", "train_rl.py", "tasks/main.py", "examples/**/*.py", "tools/**/*.py")
PROVIDER = "extra_args_provider"


def read(root: Path) -> Release:
    """Return the flags that every program takes, and those that an entry script adds."""
    found = Release({BASE: _base(root)})
    for pattern in ENTRIES:
        for path in sorted(root.glob(pattern)):
            if path.name == "main.py" or PROVIDER in path.read_text(encoding="utf-8", errors="replace"):
                name = path.relative_to(root).as_posix()
                own = _of_entry(path, root)
                found.entries[name] = f"{BASE} {name}" if own else BASE
                if own:
                    found.roots[name] = own
            elif path.stem.startswith("pretrain_"):
                found.entries[path.relative_to(root).as_posix()] = BASE
    return found


def _base(root: Path) -> Keys:
    path = root / ARGUMENTS
    module = tree(path)
    found = arguments(module)
    for imported in _imported(module, root, "arguments"):
        found = arguments(tree(imported)) | found
    known = known_classes(sorted(root.glob("megatron/**/*.py")))
    for call in ast.walk(module):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("ArgumentGroupFactory"):
            found = dict(_made(call, module, known)) | found
    return found


def _made(call: ast.Call, module: ast.Module, known: Mapping[str, Class]) -> Iterator[tuple[str, Declared]]:
    """Yield the flags that a factory makes of a dataclass."""
    excluded = next((word.value for word in call.keywords if word.arg == "exclude"), None)
    left_out = _words(excluded, module) if excluded is not None else ()
    for name, field in fields(ast.unparse(call.args[0]).rpartition(".")[2], known).items():
        if name in left_out or name.startswith("_") or not field.init:
            continue
        yield from _flags(name, field, known)


def _flags(name: str, field: Declared, known: Mapping[str, Class]) -> Iterator[tuple[str, Declared]]:
    dashed = name.replace("_", "-")
    plain = replace(field, type=field.type.rstrip("?"), classes=(), flags=())
    words = next((known[each].words for each in field.classes if each in known and known[each].words), ())
    if words:
        plain = replace(plain, type="str", choices=words)
    flags = field.flags or (f"--{dashed}",)
    if plain.type == "bool":
        plain = replace(plain, type="flag")
        if field.default is True and not field.flags:
            flags = (f"--no-{dashed}", f"--disable-{dashed}")
    for flag in flags:
        yield flag, plain


def _words(node: ast.expr, module: ast.Module) -> tuple[str, ...]:
    """Return the texts of a list, or of the variable that holds one."""
    if isinstance(node, ast.Name):
        found: list[str] = []
        for item in ast.walk(module):
            if isinstance(item, ast.Assign | ast.AugAssign):
                target = item.targets[0] if isinstance(item, ast.Assign) else item.target
                if isinstance(target, ast.Name) and target.id == node.id:
                    found += _words(item.value, module)
        return tuple(found)
    return tuple(part.value for part in ast.walk(node) if isinstance(part, ast.Constant))


def _of_entry(path: Path, root: Path) -> Keys:
    """Return the flags of an entry script: its own, and those of what its provider is imported from."""
    seen, left = {root / ARGUMENTS}, [path]
    found: Keys = {}
    while left:
        file = left.pop()
        seen.add(file)
        module = tree(file)
        found |= arguments(module)
        left += [other for other in _imported(module, root, "arg", beside=file.parent) if other not in seen]
    return found


def _imported(module: ast.Module, root: Path, word: str, beside: Path | None = None) -> Iterator[Path]:
    """Yield the files of the checkout that names with a word in them are imported from."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [alias.name for alias in node.names]
            if any(name.startswith("add_") and word[:3] in name for name in names):
                stem = node.module.replace(".", "/")
                for base in (root, beside or root):
                    if (base / f"{stem}.py").is_file():
                        yield base / f"{stem}.py"
                        break
