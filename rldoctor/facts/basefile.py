"""The config file below a command line: settings that the command's own words stand above."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor import dialects
from rldoctor.dialects import Dialect, grammar, nearby, release
from rldoctor.facts.modelled import found, roots
from rldoctor.types import Command, Document, Form, Place, RLDoctorError, Setting

UPWARDS: Final = 8
_UNRESOLVED: Final = r"^.*[$`}][^/]*/?"


class Below(Struct, frozen=True):
    """Settings of the config file that a command names; without ``complete`` it could not be read.

    ``shipped`` are those of its files that the launched program brings along.
    """

    document: Document
    settings: tuple[Setting, ...] = ()
    complete: bool = True
    assumes: tuple[str, ...] = ()
    base: str | None = None
    shipped: frozenset[str] = frozenset()


def below(document: Document, command: Command, dialect: Dialect) -> Below:
    """Return the settings below a command's own, and the document with that file's bytes."""
    settings = {setting.key: setting for setting in command.settings}
    named = [settings[flag] for flag in dialect.config_flags if flag in settings]
    if named:
        base = _read(document, str(named[-1].value), dialect.form)
        return replace(base, settings=_following(base.settings, settings))
    hydra = dialect.hydra
    if document.kind == "yaml" and hydra and "defaults" in settings:
        return _others(document, command)
    name = settings.get(str(hydra.get("name")))
    if name is None or _stem(name) in hydra["known"]:
        return _own_tree(document, command, dialect, _stem(name) if name is not None else None)
    folder = settings.get(str(hydra.get("path")))
    root = str(folder.value).strip("'\"") if folder is not None else ""
    root = root if Path(root).is_dir() else _resolved(root)
    return _composed(document, f"{root}/{_stem(name)}.yaml" if root else f"{_stem(name)}.yaml", command)


def _own_tree(document: Document, command: Command, dialect: Dialect, name: str | None) -> Below:
    """Return what a program of the user's own tree starts from, where no release known here describes it."""
    system, program = dialect.system, command.program
    if document.kind not in ("shell", "command") or not dialect.hydra or not program:
        return Below(document)
    foreign = not grammar.is_entry(system, program)
    asked = release.beside(system, str(Path(document.path).parent))
    if not foreign and not release.is_before(system, asked[0] if asked is not None else None):
        return Below(document)
    path = nearby.config(program, document.path, name)
    if path is not None:
        whole = _composed(document, str(path), command)
        return replace(whole, shipped=frozenset(whole.document.files) - frozenset(document.files))
    return Below(document, assumes=(f"{program} starts from {system}'s own settings",) if foreign else ())


def _others(document: Document, command: Command) -> Below:
    """Return what the groups of a configuration give that is itself what is checked."""
    whole = _composed(document, document.path, command)
    others = tuple(each for each in whole.settings if each.place and each.place.file != document.path)
    return replace(whole, settings=others, document=replace(whole.document, problems=document.problems))


def _composed(document: Document, name: str, command: Command) -> Below:
    """Return what a Hydra configuration gives with the groups that the command chooses."""
    own = Path(name) if name == document.path and Path(name).is_file() else None
    path = own or config_path(document, name)  # what is checked keeps its spelling: it is one file, not two
    if path is None:
        return _absent(document, name)
    from rldoctor.sources import hydra

    above = {each.key: each for each in command.settings if each.form != "delete"}
    try:
        found = hydra.composed(path, above if document.kind != "yaml" else {})
    except RLDoctorError as error:
        return Below(replace(document, problems=(*document.problems, error)), complete=False)
    problems = (*document.problems, *found.problems)
    whole = replace(document, files={**document.files, **found.files}, problems=problems)
    settings = _following(tuple(found.settings), above)
    base = found.bases[0] if found.bases else None
    elsewhere = frozenset(name for name in found.files if not Path(name).is_relative_to(path.parent))
    return Below(whole, settings, base=base, shipped=elsewhere)


def _following(settings: tuple[Setting, ...], above: Mapping[str, Setting]) -> tuple[Setting, ...]:
    """Return the settings of a file; what interpolates a key that the command sets follows the command."""
    sources: dict[Place | None, Setting] = {
        each.value_place: each for each in settings if each.key in above and each.value_place
    }
    return tuple(_followed(each, sources.get(each.defined_at), above) for each in settings)


def _followed(setting: Setting, source: Setting | None, above: Mapping[str, Setting]) -> Setting:
    if source is None or source is setting or source.value != setting.value:
        return setting
    new = above[source.key]
    return replace(setting, value=new.value, state=new.state, depends=new.depends, assumes=new.assumes)


def reader_of(document: Document, command: Command) -> str | None:
    """Return the system that the config file named by a command is written for, None where nobody tells."""
    for system, name in dialects.config_readers(command):
        path = config_path(document, name)
        if path is None:
            continue
        try:
            inner = _parsed(str(path), path.stat().st_mtime_ns)
        except RLDoctorError:  # told again, with its place, when the system's own facts are asked for
            continue
        if any(each.system == system and each.certainty == "certain" for each in dialects.detect(inner)):
            return system
    return None


def _stem(name: Setting) -> str:
    return str(name.value).strip("'\"").removesuffix(".yaml").removesuffix(".yml")


def _resolved(path: str) -> str:
    """Return the end of a path that is known: what follows the last variable in it."""
    return re.sub(_UNRESOLVED, "", path.strip("'\"")).removeprefix("./")


def _places(path: str, document: Document) -> Iterator[Path]:
    """Yield where a config may be: as named, else under the folders above the script."""
    direct = found(path, document)
    if direct is not None:
        yield direct
    end = _resolved(path)
    for root in roots(document):
        here = root.resolve()
        for folder in (here, *list(here.parents)[:UPWARDS]):
            yield folder / end


def _absent(document: Document, name: str) -> Below:
    """Return what a lost config leaves: of a log it is assumed to change nothing, else it is unknown."""
    if document.kind == "log":
        return Below(document, assumes=(f"{name} leaves it at the default",))
    return Below(document, complete=False)


def _read(document: Document, name: str, form: Form) -> Below:
    path = config_path(document, name)
    if path is None:
        return _absent(document, name)
    try:
        inner = _parsed(str(path), path.stat().st_mtime_ns)
    except RLDoctorError as error:
        return Below(replace(document, problems=(*document.problems, error)), complete=False)
    settings = inner.worlds[0][0].settings if inner.worlds and inner.worlds[0] else ()
    if form == "flag":
        settings = tuple(replace(each, key=f"--{each.key.replace('_', '-')}") for each in settings)
    return Below(replace(document, files={**document.files, **inner.files}), settings)


def config_path(document: Document, name: str, *, folder: bool = False) -> Path | None:
    """Return the file, or the folder, that a launch names, None where it is not here."""
    wanted = Path.is_dir if folder else Path.is_file
    return next((place for place in _places(name, document) if wanted(place)), None)


@lru_cache(maxsize=16)
def _parsed(path: str, stamp: int) -> Document:
    """Return what a config says; the worlds of a script share it as long as its ``stamp`` is the same."""
    from rldoctor import sources

    return sources.read(path)
