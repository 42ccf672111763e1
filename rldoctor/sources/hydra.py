"""Composition of a Hydra configuration from files that are here: its defaults list, groups, packages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor.types import Document, RLDoctorError, Setting

MOST_FILES: Final = 64
DEEPEST: Final = 8
SELF: Final = "_self_"
_REFERENCE: Final = re.compile(r"\$\{([\w.]+)\}")
_PACKAGE: Final = re.compile(rb"(?m)^\s*#\s*@package\s+(\S+)\s*$")
_GROUP: Final = re.compile(r"(?:(?:optional|override)\s+)*(?P<group>[^@\s]+)(?:@(?P<package>\S+))?")
_ENTRY: Final = re.compile(r"defaults\.(?P<number>\d+)(?:\.(?P<group>.+))?")


class Composed(Struct):
    """The settings from the lowest to the highest, their files, and the bases that are not here.

    ``seen`` are the files with the packages into which they have gone: one file may go into several.
    """

    settings: list[Setting]
    files: dict[str, bytes]
    bases: list[str]
    problems: list[RLDoctorError]
    read: dict[str, Document] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)


class Choice(Struct, frozen=True):
    """One line of a defaults list: a file by group and name, and the package that it goes into."""

    group: str
    name: str
    package: str | None = None


def composed(path: Path, above: Mapping[str, Setting]) -> Composed:
    """Return what a configuration gives below a command's own settings, which choose its groups.

    RLDoctorError if a file of it cannot be read.
    """
    found = Composed([], {}, [], [])
    chosen = {key: str(each.value) for key, each in above.items() if each.form == "override"}
    _compose(found, path, path.parent, "", chosen)
    last = {**{each.key: each for each in found.settings}, **above}
    found.settings = [_resolved(each, last, bool(found.bases)) for each in found.settings]
    return found


def _resolved(setting: Setting, last: Mapping[str, Setting], has_base: bool) -> Setting:
    """Return a setting that another's value stands for: ``${data.max_prompt_length}``.

    What only a base can tell that is not here stays a reference, for the defaults of that base.
    """
    here = setting
    for _ in range(DEEPEST):
        part = _REFERENCE.fullmatch(here.value) if isinstance(here.value, str) else None
        if here.state == "known" or part is None:
            break
        if part[1] not in last:
            return replace(setting, value=here.value, state="known", depends=()) if has_base else setting
        here = last[part[1]]
    if here is setting or here.state == "unknown":
        return setting
    return replace(setting, value=here.value, state="known", depends=(), assumes=here.assumes)


def _compose(
    found: Composed,
    path: Path,
    root: Path,
    package: str,
    chosen: Mapping[str, str],
    line: Choice | None = None,
) -> None:
    from rldoctor import sources

    if len(found.read) >= MOST_FILES:
        return
    document = found.read.get(str(path)) or sources.read(str(path))
    package = _inside(package, _own_package(document.files[str(path)], line))
    if (str(path), package) in found.seen:
        return
    found.seen.add((str(path), package))
    if str(path) not in found.read:
        found.read[str(path)] = document
        found.files.update(document.files)
        found.problems += document.problems
    own = document.worlds[0][0].settings if document.worlds and document.worlds[0] else ()
    entries = list(_lines(own))
    if SELF not in entries:
        entries.append(SELF)  # as Hydra since 1.1 has it: a file's own values stand above its list
    roots = [root, *_search_path(own, root)]
    for entry in entries:
        if isinstance(entry, Choice):
            _include(found, entry, roots, path, package, chosen)
        else:
            said = (
                each for each in own if not _is_defaults(each.key) and (each.key != "defaults" or not line)
            )
            found.settings += [_under(package, each) for each in said]


def _own_package(data: bytes, line: Choice | None) -> str:
    """Return the package that a file's line gives it, else the one at its top, else its group."""
    if line is not None and line.package is not None:
        return line.package
    told = _PACKAGE.search(data[:2000])
    name = told[1].decode("utf-8", "replace") if told is not None else "_group_"
    group = line.group.replace("../", "").replace("/", ".") if line is not None else ""
    return group if name in ("_group_", "_name_") else name


def _inside(parent: str, package: str) -> str:
    """Return a package in that of the file whose list names it, as Hydra joins them."""
    if package.startswith("_global_"):
        return package.removeprefix("_global_").lstrip(".")
    own = "" if package == "_here_" else package
    return f"{parent}.{own}" if parent and own else parent or own


def _lines(own: tuple[Setting, ...]) -> Iterator[Choice | str]:
    """Yield the defaults list in its order."""
    whole = next((each.value for each in own if each.key == "defaults"), None)
    for item in whole if isinstance(whole, list) else []:
        if item == SELF:
            yield SELF
        elif isinstance(item, str):
            yield Choice("", item.lstrip("/"))
        elif isinstance(item, dict):
            yield from (choice for key, name in item.items() for choice in _grouped(str(key), name))


def _grouped(key: str, name: Any) -> Iterator[Choice]:
    part = _GROUP.fullmatch(key)
    for each in name if isinstance(name, list) else [name]:
        if part is not None and isinstance(each, str):
            yield Choice(part["group"].lstrip("/"), each, part["package"])


def _include(
    found: Composed, line: Choice, roots: list[Path], path: Path, package: str, chosen: Mapping[str, str]
) -> None:
    marked = f"{line.group}@{line.package}" if line.package else line.group
    name = chosen.get(marked, chosen.get(line.group, line.name)) if line.group else line.name
    folders = [path.parent, *roots]
    file = next((each for root in folders if (each := _file(root, line.group, name)) is not None), None)
    if file is None:
        if not line.group:
            found.bases.append(name)
        return
    if len(found.seen) < 4 * MOST_FILES and len(file.parts) - len(roots[0].parts) <= DEEPEST:
        _compose(found, file, roots[0], package, chosen, line)


def _file(root: Path, group: str, name: str) -> Path | None:
    stem = name.removesuffix(".yaml").removesuffix(".yml")
    if not re.fullmatch(r"[\w./-]+", stem) or ".." in stem.split("/"):
        return None
    file = root / group / f"{stem}.yaml"
    return file if file.is_file() else None


def _search_path(own: tuple[Setting, ...], root: Path) -> Iterator[Path]:
    """Yield the folders of ``hydra.searchpath`` that are here, from the root's folder and those above it."""
    found = next((each.value for each in own if each.key == "hydra.searchpath"), None)
    for item in found if isinstance(found, list) else []:
        name = str(item).removeprefix("file://")
        for folder in (root, *list(root.resolve().parents)[:DEEPEST]):
            if "://" not in name and (folder / name).is_dir():
                yield folder / name
                break


def _is_defaults(key: str) -> bool:
    return _ENTRY.fullmatch(key) is not None


def _under(package: str, setting: Setting) -> Setting:
    return replace(setting, key=f"{package}.{setting.key}") if package else setting
