"""Files that a command names beside its flags: what one role's trainer or a group of engines has instead."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor import dialects
from rldoctor.dialects import Dialect
from rldoctor.facts.modelled import found
from rldoctor.types import Command, Document, Fact, Origin, RLDoctorError, Role, Setting

TRAINERS: Final = "--megatron-config-path"
ENGINES: Final = "--sglang-config"
OF_ROLE: Final[Mapping[str, Role]] = {"actor": "policy", "critic": "critic"}
NOT_TAKEN: Final = ("num_nodes", "num_gpus_per_node")
NO_ENGINE: Final = ("placeholder",)
_ENTRY: Final = re.compile(r"(?P<list>megatron|sglang)\.(?P<number>\d+)\.(?P<rest>.+)")
_GROUP: Final = re.compile(r"(?:server|engine)_groups\.(?P<number>\d+)\.(?P<rest>.+)")


class Named(Struct, frozen=True):
    """The command as those files have it, what they say of other roles, and the document with their bytes."""

    document: Document
    command: Command
    facts: tuple[Fact, ...] = ()


def named(
    document: Document, command: Command, dialect: Dialect
) -> tuple[Document, Command, tuple[Fact, ...]]:
    """Return the command with the settings of the files that it names; one that is not here is left out."""
    files = {setting.key: str(setting.value) for setting in command.settings if setting.state == "known"}
    here = Named(document, command)
    for flag, read in ((TRAINERS, _trainers), (ENGINES, _engines)):
        path = found(files[flag], document) if flag in files else None
        if path is not None and path.is_file():
            here = _taken(here, str(path), dialect, read)
    return here.document, here.command, here.facts


def _taken(here: Named, path: str, dialect: Dialect, read: Any) -> Named:
    from rldoctor import sources

    try:
        inner = sources.read(path)
    except RLDoctorError as error:
        document = replace(here.document, problems=(*here.document.problems, error))
        return replace(here, document=document)
    settings = inner.worlds[0][0].settings if inner.worlds and inner.worlds[0] else ()
    more, facts = read(_entries(settings), dialect)
    return Named(
        replace(here.document, files={**here.document.files, **inner.files}),
        replace(here.command, settings=(*here.command.settings, *more)),
        (*here.facts, *facts),
    )


def _entries(settings: tuple[Setting, ...]) -> dict[str, dict[str, Setting]]:
    """Return the entries of the file's list, each with its settings by what stands behind its number."""
    entries: dict[str, dict[str, Setting]] = defaultdict(dict)
    for setting in settings:
        if part := _ENTRY.fullmatch(setting.key):
            entries[part["number"]][part["rest"]] = setting
    return entries


def _trainers(entries: Mapping[str, Mapping[str, Setting]], dialect: Dialect) -> Any:
    """Return the actor's settings, which stand above the flags, and the critic's as facts."""
    above: list[Setting] = []
    facts: list[Fact] = []
    for entry in entries.values():
        role = OF_ROLE.get(str(entry["role"].value)) if "role" in entry else None
        for key, setting in entry.items():
            name = re.sub(r"^(overrides|args)\.", "", key)
            if role is None or name == key or name in NOT_TAKEN:
                continue
            flag = f"--{name.replace('_', '-')}"
            if role == "policy":
                above.append(replace(setting, key=flag))
            else:
                facts += _facts(dialect, flag, setting, role)
    return above, facts


def _facts(dialect: Dialect, flag: str, setting: Setting, role: Role) -> Iterator[Fact]:
    """Yield what a flag says of another role than the one whose rows speak of it."""
    for row in dialect.rows:
        if row.role == "policy" and flag in row.keys and setting.state == "known":
            origin = Origin("written", f"{setting.key}={setting.value}", setting.key, setting.place)
            yield Fact(role, row.concept, dialects.decode(row, setting.value), origin)
            return


def _engines(entries: Mapping[str, Mapping[str, Setting]], dialect: Dialect) -> Any:
    """Return what all engines that are trained share, and how many GPUs the groups take in all."""
    groups = [group for entry in entries.values() for group in _groups(entry)]
    counts = [group["num_gpus"].value for group in groups if "num_gpus" in group]
    facts = []
    if counts and len(counts) == len(groups) and all(isinstance(count, int) for count in counts):
        place = groups[0]["num_gpus"].place
        text = f"{' + '.join(map(str, counts))} GPUs of its groups"
        origin = Origin("written", text, ENGINES, place)
        facts.append(Fact("policy", "rollout.listed_gpus", sum(counts), origin))
    running = [group for group in groups if _kind(group) not in NO_ENGINE]
    return list(_shared(running)), facts


def _groups(entry: Mapping[str, Setting]) -> list[dict[str, Setting]]:
    groups: dict[str, dict[str, Setting]] = defaultdict(dict)
    whole = {key: setting for key, setting in entry.items() if key == "num_gpus_per_engine"}
    for key, setting in entry.items():
        if part := _GROUP.fullmatch(key):
            groups[part["number"]][part["rest"]] = setting
    return [{**whole, **group} for group in groups.values()]


def _kind(group: Mapping[str, Setting]) -> str:
    return str(group["worker_type"].value) if "worker_type" in group else ""


def _shared(groups: list[dict[str, Setting]]) -> Iterator[Setting]:
    """Yield the settings on which all groups agree, spelled as the flags that they stand above."""
    for key, setting in groups[0].items() if groups else ():
        if any(repr(group[key].value) != repr(setting.value) if key in group else True for group in groups):
            continue
        if key == "num_gpus_per_engine":
            yield replace(setting, key="--rollout-num-gpus-per-engine")
        elif key.startswith("overrides."):
            name = key.removeprefix("overrides.").replace("_", "-")
            yield replace(setting, key=f"--sglang-{name}")
