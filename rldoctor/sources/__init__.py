"""Reading and writing of formats: launch scripts, command lines, YAML, environment, JSON in shell words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rldoctor.sources.opening import load, refuse_log, standard_input, text_bytes
from rldoctor.sources.told import Told, told_of
from rldoctor.types import Command, Document, Edit, Form, Place, RLDoctorError, Setting

__all__ = ["Told", "can_edit", "delete", "insert", "read", "read_text", "replace", "set_env", "unset_env"]
__all__ += ["insert_all", "told_of"]

Kind = Literal["yaml", "shell", "command", "python"]

STDIN = "-"
_YAML_LINE = rb"(?m)^(?!\s*(#|$))(---|- |[\"']?[\w./ -]+[\"']?\s*:(\s|$)|defaults:|%YAML)"
_SHELL_LINE = rb"(?m)^(#!.*(sh|bash)\b|\s*(export|source|set|if|for|python3?|torchrun|ray|bash)\s|\w+=)"


def read(path: str, told: Told | None = None) -> Document:
    """Return what a launch script, a pasted command or a YAML file says; sourced files are read too.

    ``-`` is standard input, which is no file that could be edited.
    """
    if path == STDIN:
        return read_text(standard_input(), path, told=told)
    data = text_bytes(load(Path(path)), path)
    refuse_log(path, data)
    _refuse_overrides(Path(path))
    kind = _kind_of(path, data)
    if kind == "yaml":
        from rldoctor.sources import yaml

        return yaml.read(path, data)
    if kind == "python":
        return _read_python(data, path, told, path)
    return _read_shell(data, path, kind, told, path)


def read_text(text: str | bytes, name: str, kind: Kind | None = None, told: Told | None = None) -> Document:
    """Return what a text says that is no file; ``name`` stands for it in places."""
    data = text_bytes(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text, name)
    kind = kind or _kind_of(name, data)
    if kind == "yaml":
        from rldoctor.sources import yaml

        return yaml.read(name, data)
    if kind == "python":
        return _read_python(data, name, told, None)
    return _read_shell(data, name, kind, told, None)


def _refuse_overrides(path: Path) -> None:
    """Refuse what Hydra keeps of a command line: the resolved configuration beside it says all."""
    if path.name == "overrides.yaml" and path.with_name("config.yaml").is_file():
        hint = f"check {path.with_name('config.yaml')}"
        raise RLDoctorError("these are a run's overrides alone", file=str(path), hint=hint)


def _read_python(data: bytes, name: str, told: Told | None, path: str | None) -> Document:
    from rldoctor.sources.python import reader

    return reader.read(name, data, told or Told(), path)


def _read_shell(
    data: bytes, name: str, kind: Literal["shell", "command"], told: Told | None, path: str | None
) -> Document:
    from rldoctor.sources.shell import reader

    return reader.read(name, data, told or Told(), kind, path)


def _kind_of(name: str, data: bytes) -> Kind:
    suffix = Path(name).suffix.lower()
    if suffix in (".yaml", ".yml", ".json"):
        return "yaml"
    if suffix == ".py":
        return "python"
    if suffix in (".sh", ".bash", ".slurm", ".sbatch", ".env"):
        return "shell"
    first = re.search(_YAML_LINE, data)
    shell = re.search(_SHELL_LINE, data)
    if first and not (shell and shell.start() <= first.start()):
        before = data[: first.start()]
        if all(not line.strip() or line.lstrip().startswith(b"#") for line in before.splitlines()):
            return "yaml"
    return "shell" if data.startswith(b"#!") or data.count(b"\n") > 40 else "command"


def can_edit(setting: Setting) -> bool:
    """Return whether a setting stands in a file, its value with it, so that it can be changed there."""
    place = setting.place
    if place is None or setting.form != "flag" or setting.value is True or setting.defined_at is not None:
        return place is not None
    return place.end - place.start > len(setting.key)


def replace(document: Document, setting: Setting, value: Any) -> tuple[Edit, ...]:
    """Return the edits that give a setting a value, in its system's own spelling."""
    document = _home(document, setting)
    if document.kind == "yaml":
        from rldoctor.sources import yaml

        return (yaml.replace(document, setting, value),)
    if _in_python(document, setting.place):
        from rldoctor.sources.python import editing

        return editing.replace(document, setting, value)
    from rldoctor.sources.shell import replacing

    return replacing.replace(document, setting, value)


def insert(
    document: Document, command: Command, key: str, value: Any, form: Form, near: Setting | None = None
) -> tuple[Edit, ...]:
    """Return the edits that add a setting to a command, where a person would put it: beside ``near``."""
    if document.kind == "yaml":
        from rldoctor.sources import yaml

        return (yaml.insert(document, key, value, _yaml_form(command)),)
    if form == "env":
        return set_env(document, command, key, value)
    if document.kind == "python":
        from rldoctor.sources.python import editing

        return editing.insert(document, command, key, value, form, near)
    from rldoctor.sources.shell import inserting

    return inserting.insert(document, command, key, value, form, near)


def insert_all(document: Document, values: Mapping[str, Any]) -> tuple[Edit, ...]:
    """Return the edits that add several settings to a YAML file, a missing parent of theirs made once."""
    from rldoctor.sources import yaml

    command = document.worlds[0][0] if document.worlds and document.worlds[0] else Command("")
    return yaml.insert_all(document, values, _yaml_form(command))


def _yaml_form(command: Command) -> Form:
    return "flag" if any(setting.form == "flag" for setting in command.settings) else "yaml"


def delete(document: Document, setting: Setting) -> tuple[Edit, ...]:
    """Return the edits that take a setting out."""
    document = _home(document, setting)
    if document.kind == "yaml":
        from rldoctor.sources import yaml

        return (yaml.delete(document, setting),)
    if _in_python(document, setting.place):
        from rldoctor.sources.python import editing

        return editing.delete(document, setting)
    from rldoctor.sources.shell import deleting

    return deleting.delete(document, setting)


def set_env(document: Document, command: Command, name: str, value: Any) -> tuple[Edit, ...]:
    """Return the edits that give a command an environment variable."""
    if document.kind == "yaml":
        return _set_in_yaml(document, command, name, value)
    if document.kind == "python":
        from rldoctor.sources.python import editing

        return editing.set_variable(document, command, name, value)
    from rldoctor.sources import environment

    return environment.set_env(document, command, name, value)


def unset_env(document: Document, command: Command, name: str) -> tuple[Edit, ...]:
    """Return the edits that take an environment variable from a command."""
    if document.kind == "yaml":
        found = [setting for setting in command.env if setting.key == name]
        return delete(document, found[-1]) if found else ()
    if document.kind == "python":
        return ()
    from rldoctor.sources import environment

    return environment.unset_env(document, command, name)


def _home(document: Document, setting: Setting) -> Document:
    """Return the document that a setting stands in: a YAML file that a script names is one of its own."""
    place = setting.place
    if place is None or place.file == document.path or not place.file.endswith((".yaml", ".yml")):
        return document
    return Document(place.file, "yaml", ((),), {place.file: document.files[place.file]})


def _in_python(document: Document, place: Place | None) -> bool:
    """Say whether a place stands in a launcher itself, not in a script that it sources."""
    return document.kind == "python" and (place is None or place.file == document.path)


def _set_in_yaml(document: Document, command: Command, name: str, value: Any) -> tuple[Edit, ...]:
    """Set a variable in a recipe that has a mapping for them; a plain configuration has no environment."""
    found = [setting for setting in command.env if setting.key == name]
    if found:
        return replace(document, found[-1], value)
    if not command.env:
        return ()
    from rldoctor.sources import yaml

    return (yaml.insert(document, name, value, "env"),)
