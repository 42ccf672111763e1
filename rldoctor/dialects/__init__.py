"""How each system spells settings: tables of rows, and what their files and logs look like.

Adding a system is a folder with its tables and its name here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rldoctor import compiled
from rldoctor.dialects.detect import Detection, Mark, starts
from rldoctor.dialects.detect import detect_among as _detect_among
from rldoctor.dialects.rows import Dialect, Row, as_json, embedded
from rldoctor.dialects.values import decode, default, encode
from rldoctor.types import Command, Document, Fact, RLDoctorError
from rldoctor.vocabulary import unknown_word

if TYPE_CHECKING:
    from rldoctor.dialects.limits import Limit

__all__ = ["NAMES", "Detection", "Dialect", "Row", "computed", "config_readers", "decode", "default"]
__all__ += ["detect", "encode", "load", "log_shape", "refusals"]

NAMES: Final = (
    "verl",
    "slime",
    "chatlearn",
    "megatron",
    "areal",
    "trainer_core",
    "easyr1",
    "openrlhf",
    "nemo_rl",
    "prime_rl",
    "swift",
    "trl",
    "vllm",
    "sglang",
    "ray",
    "torchrun",
)
FOLDER: Final = Path(__file__).parent


@cache
def load(system: str) -> Dialect:
    """Return a system's table, read once a process; RLDoctorError with the nearest name for another."""
    if system not in NAMES:
        raise RLDoctorError(unknown_word("system", system, NAMES), hint=f"known: {', '.join(NAMES)}")
    return Dialect.from_json(compiled.load(f"dialect-{system}", _sources(), lambda: _build(system)))


def detect(document: Document) -> tuple[Detection, ...]:
    """Return the systems that a document speaks, one detection a world and system, surest first."""
    return _detect_among(document, _marks())


def is_program(system: str, command: Command) -> bool:
    """Say whether a command starts one of a system's own programs."""
    return any(mark.system == system and starts(command, mark) for mark in _marks())


def config_readers(command: Command) -> tuple[tuple[str, str], ...]:
    """Return the systems that may read a config file which a command names, each with the file's name."""
    named = {setting.key: str(setting.value) for setting in command.settings}
    pairs = ((mark.system, flag) for mark in _marks() for flag in mark.config_flags)
    return tuple((system, named[flag]) for system, flag in pairs if flag in named)


@cache
def log_shape(system: str) -> dict[str, Any]:
    """Return what a system's ``logs.yaml`` says; empty for a system that prints no logs of its own."""
    path = FOLDER / system / "logs.yaml"
    if not path.is_file():
        return {}
    return compiled.load(f"logs-{system}", (path, Path(__file__)), lambda: _yaml(path))


def computed(dialect: Dialect) -> Callable[[Any], Iterable[Fact]] | None:
    """Return the function with a system's own formulas, or None."""
    if dialect.computed is None:
        return None
    compute: Callable[[Any], Iterable[Fact]] = importlib.import_module(dialect.computed).compute
    return compute


def refusals(dialect: Dialect) -> Callable[[Any, str], Iterable[Limit]] | None:
    """Return the function that says what a release refuses beyond its limits, or None."""
    if dialect.refusals is None:
        return None
    refuse: Callable[[Any, str], Iterable[Limit]] = importlib.import_module(dialect.refusals).refuse
    return refuse


@cache
def _marks() -> tuple[Mark, ...]:
    data = compiled.load("detection", _sources(), _build_marks)
    return tuple(
        Mark(
            mark["system"],
            tuple(mark["programs"]),
            tuple(mark["signature"]),
            tuple(mark["embeds"]),
            mark["launcher"],
            tuple(mark["config_flags"]),
        )
        for mark in data["marks"]
    )


def _sources() -> tuple[Path, ...]:
    tables = (FOLDER / name / "keys.yaml" for name in NAMES)
    code = (Path(__file__), FOLDER / "rows.py", FOLDER / "table.py", FOLDER.parent / "expr" / "compiling.py")
    return (*tables, *code)


def _build(system: str) -> dict[str, Any]:
    from rldoctor.dialects import table

    own = table.read(FOLDER / system / "keys.yaml")
    others = {embed.system: table.read(FOLDER / embed.system / "keys.yaml") for embed in own.embeds}
    return as_json(embedded(own, others))


def _build_marks() -> dict[str, Any]:
    from rldoctor.dialects import table

    own = (table.read(FOLDER / name / "keys.yaml") for name in NAMES)
    return {
        "marks": [
            {
                "system": dialect.system,
                "programs": [*dialect.programs, *(name for each in dialect.others for name in each.programs)],
                "signature": dialect.signature,
                "embeds": [embed.system for embed in dialect.embeds],
                "launcher": dialect.launcher,
                "config_flags": dialect.config_flags,
            }
            for dialect in own
        ]
    }


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data
