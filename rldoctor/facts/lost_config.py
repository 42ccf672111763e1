"""Configuration files that a launch does not name though it must, or names though they are not there.

A path that is not on this machine says nothing by itself: people check on a laptop what runs on a cluster. It
does where the program of the launch is found from the same folder, or where a file has almost that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rldoctor import dialects
from rldoctor.dialects import nearby, suggest
from rldoctor.facts.basefile import config_path
from rldoctor.facts.walk import Facts
from rldoctor.types import Event, LogLine, Setting

_FORWARDED: Final = rb"\$[@*]|\$\{[@*]"
YAML: Final = (".yaml", ".yml")


def lost_configs(facts: Facts) -> Iterator[Event]:
    """Yield what is wrong with the configuration file of a launch."""
    document, command = facts.document, facts.start.command
    if (
        document is None
        or command is None
        or document.kind not in ("shell", "command")
        or not command.program
    ):
        return
    dialect = dialects.load(str(facts.system))
    flags = dialect.config_flags
    named = [setting for setting in command.settings if setting.key in flags]
    if named:
        yield from _absent(named[-1], facts)
    elif dialect.config_required:
        yield from _unnamed(dialect, facts)
    yield from _hydra(facts)


def _unnamed(dialect: dialects.Dialect, facts: Facts) -> Iterator[Event]:
    """Yield a launch without the file that it needs; words that nobody could read may name it."""
    command, document = facts.start.command, facts.document
    if command is None or document is None or command.assumes or not command.settings:
        return
    place = command.place
    text = document.files.get(place.file, b"")[place.start : place.end] if place is not None else b""
    if re.search(_FORWARDED, text) or not dialects.is_program(dialect.system, command):
        return
    said = dialect.config_required
    why = f"{said['why']} ({said['where']})"
    about = {"why": why, "nearest": None, "consequence": said["fate"], "certain": True}
    yield _event(dialect.config_flags[0], "", about, facts, command.settings[0])


def _absent(setting: Setting, facts: Facts) -> Iterator[Event]:
    """Yield a file that is not where the program is started from, or beside the script."""
    document, command = facts.document, facts.start.command
    name = _plain(setting)
    if document is None or command is None or setting.state == "unknown" or name.startswith(("/", "~", "$")):
        return
    if config_path(document, name) is not None or _is_made(name, facts):
        return
    root = nearby.root(command.program, document.path)
    folder = (root if root is not None else Path(document.path).parent) / Path(name).parent
    near = _near(Path(name).name, folder)
    if root is None and near is None:
        return
    where = f"there is no {name} in {root}, where {command.program} is"
    about = {
        "why": where if root is not None else f"{near} is there",
        "nearest": str(Path(name).parent / near) if near is not None else None,
        "consequence": "refused",
        "certain": root is not None,
    }
    yield _event(setting.key, name, about, facts, setting)


def _hydra(facts: Facts) -> Iterator[Event]:
    """Yield a configuration that the folder of --config-path does not have."""
    document, command = facts.document, facts.start.command
    flags = dialects.load(str(facts.system)).hydra
    if document is None or command is None or not flags:
        return
    settings = {setting.key: setting for setting in command.settings}
    path, name = settings.get(flags["path"]), settings.get(flags["name"])
    if path is None or name is None or name.state == "unknown":
        return
    stem = f"{_plain(name).removesuffix('.yaml')}.yaml"
    folder = _folder(_plain(path), facts)
    if folder is None or (folder / stem).is_file() or _is_made(stem, facts):
        return
    near = _near(stem, folder)
    about = {
        "why": f"{folder} has no {stem}",
        "nearest": near.rpartition(".")[0] if near is not None else None,
        "consequence": "refused",
        "certain": True,
    }
    yield _event(name.key, str(name.value), about, facts, name)


def _folder(path: str, facts: Facts) -> Path | None:
    """Return the folder of --config-path: a relative one stands beside the program, as Hydra has it."""
    document, command = facts.document, facts.start.command
    if document is None or command is None or path.startswith(("pkg:", "file:")):
        return None
    if path.startswith(("/", "$", "~", "`")):
        return config_path(document, path, folder=True)
    beside = nearby.file_of(command.program, document.path)
    return beside.parent / path if beside is not None and (beside.parent / path).is_dir() else None


def _plain(setting: Setting) -> str:
    return str(setting.value).strip("'\"")


def _is_made(name: str, facts: Facts) -> bool:
    """Say whether the script speaks of the file elsewhere too: it may well write it."""
    files = facts.document.files.values() if facts.document is not None else ()
    return sum(data.count(Path(name).name.encode()) for data in files) > 1


def _near(name: str, folder: Path) -> str | None:
    """Return the configuration in a folder whose name is almost this one."""
    if not folder.is_dir():
        return None
    names = sorted(path.name for path in folder.iterdir() if path.suffix in YAML)
    found = suggest.word(name, names)
    return found if found is not None and suggest.distance(name, found) <= suggest.TYPO else None


def _event(key: str, value: str, about: dict[str, Any], facts: Facts, at: Setting) -> Event:
    fields = {"key": key, "written": key, "value": value, "system": facts.system}
    place = at.place
    lines = (LogLine(place.file, place.line, ""),) if place is not None else ()
    return Event("config_missing", {**fields, **about}, lines=lines)
