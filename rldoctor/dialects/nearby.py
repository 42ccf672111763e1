"""Keys that a user's own source adds: the entry script of a launch and what stands beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Set
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rldoctor.types import RLDoctorError

if TYPE_CHECKING:
    from rldoctor.dialects.declared import Class

UPWARDS: Final = 6
MOST_FILES: Final = 30
MOST_OF_A_PACKAGE: Final = 1000
MOST_BYTES: Final = 1_000_000
DEEPEST: Final = 7  # classes that extend one another
DECLARED: Final = "areal/api/cli_args.py"
BEGINS: Final = ("pyproject.toml", "setup.py", "requirements.txt", ".git")
_LOADED: Final = r"load_expr_config\([^,()]*,\s*(\w+)\s*\)"
_HYDRA: Final = r"@hydra\.main\(([^()]*)\)"
_ARGUMENT: Final = r"config_(path|name)\s*=\s*[\"']([\w./:-]+)[\"']"
_SCRIPT: Final = re.compile(r"[\w./-]+\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def flags(program: str, path: str) -> frozenset[str]:
    """Return the flags that an entry script, and modules that it imports from beside it, declare."""
    entry = file_of(program, path)
    if entry is None:
        return frozenset()
    return frozenset(flag for file in (entry, *_imports(entry)) for flag in _flags(file))


def says(program: str, path: str, word: str) -> bool:
    """Say whether a word stands in quotes in the entry script or in a module of its tree that it imports."""
    entry = file_of(program, path)
    files = (entry, *_imports(entry)) if entry is not None else ()
    return any(f"{quote}{word}{quote}" in text for text in map(_text, files) for quote in "'\"")


def fields(program: str, path: str, roots: tuple[str, ...]) -> frozenset[str]:
    """Return the fields of classes that extend one of the roots, in the entry script or beside the file."""
    from rldoctor.dialects import declared  # reading Python takes a while to load

    entry = file_of(program, path) if program else None
    files = (entry, *_imports(entry)) if entry is not None else _beside(Path(path).parent)
    tree = next((found for above in _above(path) if _is_readable(found := above / DECLARED)), None)
    read = [*([tree] if tree is not None else ()), *files]  # the user's own class of a name counts
    known = {name: each for file in read for name, each in _classes(file).items()}
    loaded = {name for file in read for name in re.findall(_LOADED, _text(file))}
    own = [name for name in known if name in loaded or name in roots or _extends(name, known, roots)]
    return frozenset(key for name in own for key in declared.Flattening(known).of(name))


def holds(keys: Set[str], key: str) -> bool:
    """Say whether a key is one of some, or below one that is open: whose own fields none of them tells."""
    sections = {each.rpartition(".")[0] for each in keys}
    return key in keys or any(key.startswith(f"{each}.") for each in keys - sections)


def beside(keys: Set[str], key: str) -> Set[str] | None:
    """Return keys of which some stand beside another one; None where its section comes from elsewhere."""
    section = key.rpartition(".")[0]
    empty = section in keys  # {}
    return keys if empty or any(each.rpartition(".")[0] == section for each in keys) else None


def config(program: str, path: str, name: str | None = None) -> Path | None:
    """Return the configuration that a program of the user's own tree hands to Hydra, or one beside it."""
    entry = file_of(program, path)
    found = re.search(_HYDRA, _text(entry)) if entry is not None else None
    if entry is None or found is None:
        return None
    told = dict(re.findall(_ARGUMENT, found[1]))
    stem = (name or told.get("name", "")).removesuffix(".yaml")
    folder, package = told.get("path", ""), told.get("path", "").removeprefix("pkg://")
    places = [entry.parent / folder]
    if package != folder:
        inner = package.replace(".", "/")
        places = [above / inner for above in list(entry.resolve().parents)[: UPWARDS * 2]]
    files = (place / f"{stem}.yaml" for place in places if stem and not stem.startswith(("/", ".")))
    return next((Path(os.path.normpath(file)) for file in files if _is_readable(file)), None)


def overrides(program: str, path: str, name: str | None = None) -> frozenset[str]:
    """Return the keys of the configuration, the named one if any, that a program of the user's tree has."""
    file = config(program, path, name)
    if file is None:
        return frozenset()
    from rldoctor.sources import hydra

    try:
        return frozenset(setting.key for setting in hydra.composed(file, {}).settings)
    except RLDoctorError:  # a file that cannot be read says nothing
        return frozenset()


def registers(program: str, path: str, word: str) -> bool:
    """Say whether the package of a program of the user's own tree registers a word."""
    tree, name = root(program, path), re.split(r"[./]", program)[0]
    quoted = rf"[\"']{re.escape(word)}[\"']"
    mark = re.compile(rf"(?:register\w*\(|Enum|=)[^\n]*{quoted}|{quoted} in ")
    folder = tree / name if tree is not None and name else _project(path)
    if folder is None or not folder.is_dir():
        return says(program, path, word)
    files = islice(folder.rglob("*.py"), MOST_OF_A_PACKAGE)  # a tree may hold data beside its package
    return says(program, path, word) or any(mark.search(_text(file)) for file in files if _is_readable(file))


def _project(path: str) -> Path | None:
    """Return the folder of the project that a file stands in, as far as anything shows where it begins."""
    return next((above for above in _above(path) if any((above / each).exists() for each in BEGINS)), None)


def _above(path: str) -> list[Path]:
    return list(Path(path).resolve().parents)[:UPWARDS]


def file_of(program: str, path: str) -> Path | None:
    """Return the file of a program, from the folder of what launches it or one above."""
    if not _SCRIPT.fullmatch(program):
        return None
    name = program if program.endswith(".py") else program.replace(".", "/") + ".py"
    package, _, inner = name.partition("/")  # a project may hold a checkout of what it starts: verl/verl/…
    names = (name, f"{package}/{name}") if inner else (name,)
    files = (folder / each for folder in (Path(path).parent, *_above(path)) for each in names)
    return next((file for file in files if _is_readable(file)), None)


def root(program: str, path: str) -> Path | None:
    """Return the folder from which a launch starts a program that is here."""
    entry = file_of(program, path)
    if entry is None:
        return None
    depth = program.removesuffix(".py").replace("/", ".").lstrip(".").count(".")
    return entry.parents[depth]


def _extends(name: str, known: dict[str, Class], roots: tuple[str, ...], depth: int = 0) -> bool:
    bases = known[name].bases if name in known and depth < DEEPEST else ()
    return any(base in roots or _extends(base, known, roots, depth + 1) for base in bases)


def _is_readable(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= MOST_BYTES


def _beside(folder: Path) -> Iterator[Path]:
    yield from [path for path in sorted(folder.glob("*.py")) if _is_readable(path)][:MOST_FILES]


def _imports(entry: Path) -> list[Path]:
    """Return the files that a script imports from its own folder or the folders above."""
    words = re.findall(r"^\s*(?:from|import)\s+([\w.]+)", _text(entry), re.MULTILINE)
    found = []
    for word in dict.fromkeys(words):
        stem = word.strip(".").replace(".", "/")
        for folder in (entry.parent, *list(entry.resolve().parents)[:UPWARDS]):
            if stem and _is_readable(folder / f"{stem}.py"):
                found.append(folder / f"{stem}.py")
                break
    return found[:MOST_FILES]


@lru_cache(maxsize=64)
def _flags(file: Path) -> frozenset[str]:
    from rldoctor.dialects import declared

    try:
        return frozenset(declared.arguments(declared.parse(_text(file), str(file))))
    except RLDoctorError:  # a script that cannot be read declares nothing that is known here
        return frozenset()


@lru_cache(maxsize=64)
def _classes(file: Path) -> dict[str, Class]:
    from rldoctor.dialects import declared

    try:
        return declared.classes(declared.parse(_text(file), str(file)))
    except RLDoctorError:  # a script that cannot be read declares nothing that is known here
        return {}


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
