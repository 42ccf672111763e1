"""A Hydra configuration put together from its defaults list, by reading YAML alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_HEADER = re.compile(r"^\s*#\s*@package\s+(\S+)", re.MULTILINE)
_CHOICE = re.compile(r"\$\{(\w+)\}")


class CannotCompose(Exception):
    """A defaults list that names what is not there."""


@dataclass(frozen=True)
class Folders:
    """Where configurations are looked for, and the options chosen for top-level groups."""

    roots: tuple[Path, ...]
    chosen: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> Path:
        """Return the file of a configuration; CannotCompose if no folder has it."""
        for root in self.roots:
            path = root / f"{name.removesuffix('.yaml')}.yaml"
            if path.is_file():
                return path
        raise CannotCompose(name)

    def lacks(self, name: str) -> bool:
        """Say whether no folder has a configuration."""
        return not any((root / f"{name}.yaml").is_file() for root in self.roots)


@dataclass(frozen=True)
class Default:
    """One item of a defaults list: a configuration and the package that it fills; None for ``_self_``."""

    config: str | None
    package: str = ""


def compose(name: str, folders: Folders) -> dict[str, Any]:
    """Return the configuration that Hydra would give for a name without overrides."""
    found = _composed(name, "", folders, dict(folders.chosen))
    found.pop("hydra", None)
    return found


def choices(name: str, folders: Folders) -> dict[str, str]:
    """Return the top-level groups of a configuration that others are chosen by, with what is chosen."""
    text = folders.find(name).read_text(encoding="utf-8")
    named = set(_CHOICE.findall(" ".join(str(item) for item in _load(text).get("defaults", []))))
    items = (item for item in _load(text).get("defaults", []) if isinstance(item, dict))
    return {group: str(option) for item in items for group, option in item.items() if group in named}


def placed(name: str, folders: Folders) -> tuple[str, ...]:
    """Return the groups of a configuration that fill the section of their own name (``engine@engine``)."""
    items = _load(folders.find(name).read_text(encoding="utf-8")).get("defaults", [])
    keys = (key for item in items if isinstance(item, dict) for key in item)
    return tuple(key.partition("@")[0] for key in keys if key == "@".join([key.partition("@")[0]] * 2))


def _composed(name: str, package: str, folders: Folders, chosen: dict[str, str]) -> dict[str, Any]:
    text = folders.find(name).read_text(encoding="utf-8")
    body = _load(text)
    header = _HEADER.search(text)
    if header and header[1].startswith("_global_"):
        package = ""
    defaults = body.pop("defaults", None) or []
    result: dict[str, Any] = {}
    items = list(_items(defaults, name, package, folders, chosen))
    if not any(item.config is None for item in items):
        items.insert(0, Default(None))
    for item in items:
        inner = (
            _placed(body, package)
            if item.config is None
            else _composed(item.config, item.package, folders, chosen)
        )
        _merge(result, inner)
    return result


def _items(
    defaults: list[Any], name: str, package: str, folders: Folders, chosen: dict[str, str]
) -> Iterator[Default]:
    for item in defaults:
        if item == "_self_":
            yield Default(None)
        elif isinstance(item, str):
            config, _, at = item.partition("@")
            yield Default(_absolute(config, name), _package(at, "", package))
        else:
            yield from _group(item, name, package, folders, chosen)


def _group(
    item: Mapping[str, Any], name: str, package: str, folders: Folders, chosen: dict[str, str]
) -> Iterator[Default]:
    for key, option in item.items():
        optional = key.startswith("optional ")
        group, _, at = key.removeprefix("optional ").removeprefix("override ").partition("@")
        if group.startswith(("hydra", "/hydra")) or option is None:
            continue
        if "@" not in key and isinstance(option, str):
            option = chosen.setdefault(group, option)
        if group == at and not package:
            option = chosen.get(group, option)
        for each in option if isinstance(option, list) else [option]:
            word = _CHOICE.sub(lambda found: chosen.get(found[1], found[0]), str(each))
            config = f"{_absolute(group, name)}/{word}"
            if not (optional and folders.lacks(config)):
                yield Default(config, _package(at, group, package))


def _absolute(config: str, within: str) -> str:
    """Return a configuration's name from the roots; a relative one stands beside the one that names it."""
    if config.startswith("/"):
        return config[1:]
    parts = within.rpartition("/")[0].split("/") if "/" in within else []
    for part in config.split("/"):
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/".join(parts)


def _package(at: str, group: str, above: str) -> str:
    if at.startswith("_global_"):
        return at.removeprefix("_global_").lstrip(".")
    own = "" if at == "_here_" else at or group.strip("/").replace("../", "").replace("/", ".")
    return ".".join(part for part in (above, own) if part)


def _placed(body: dict[str, Any], package: str) -> dict[str, Any]:
    for part in reversed([part for part in package.split(".") if part]):
        body = {part: body}
    return deepcopy(body)


def _merge(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _merge(under[key], value)
        else:
            under[key] = value


def _load(text: str) -> dict[str, Any]:
    loaded = yaml.load(text, Loader=_Loader)
    return loaded if isinstance(loaded, dict) else {}


class _Loader(yaml.CSafeLoader):
    """YAML as OmegaConf reads it: ``1e-6`` is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$|^[-+]?\d[\d_]*\.[\d_]*$|^\.\d[\d_]*$"),
    list("-+0123456789."),
)
