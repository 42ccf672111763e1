"""Facts of a machine for ``check --host``: what exists there, in the vocabulary's words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from rldoctor.host import gpus, limits
from rldoctor.host.lines import GIB, Line
from rldoctor.types import RLDoctorError

COMMAND: Final = "rldoctor host --format json"
MOST_BYTES: Final = 4_000_000


class _Saved(msgspec.Struct):
    """The part of a saved report that a check reads."""

    command: str
    facts: dict[str, int | float | str | bool]


def of_lines(lines: Iterable[Line]) -> dict[str, Any]:
    """Return the facts that lines tell; without GPUs nothing is said of GPUs."""
    told: dict[str, Any] = {}
    for line in lines:
        if line.topic == "gpus" and line.values.get("count"):
            told["cluster.gpus_per_node"] = line.values["count"]
            told["cluster.gpu_memory_gib"] = round(line.values["memory_bytes"] / GIB, 2)
        elif line.topic == "memory":
            told["cluster.host_memory_gib"] = round(line.values["memory_bytes"] / GIB, 2)
            told["cluster.cpus"] = line.values["cpus"]
    return told


def of_this() -> dict[str, str]:
    """Return the facts of this machine, as texts."""
    return _texts(of_lines([*gpus.lines(), *limits.lines()]))


def of_file(name: str) -> dict[str, str]:
    """Return the facts of a saved report, as texts; RLDoctorError where it is none."""
    path = Path(name)
    hint = f"`{COMMAND} > {name}` on the machine that runs the job"
    if not path.is_file():
        raise RLDoctorError("there is no such file", file=name, hint=hint)
    if path.stat().st_size > MOST_BYTES:
        raise RLDoctorError("this is no report of a host", file=name, hint=hint)
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RLDoctorError(f"this is no report of a host: {error}", file=name, hint=hint) from error
    if saved.command != "host":
        raise RLDoctorError(f"this is a report of `rldoctor {saved.command}`", file=name, hint=hint)
    return _texts(saved.facts)


def _texts(facts: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in facts.items()}
