"""Which systems a document speaks: told by the programs it starts and by the keys it sets."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from functools import cache
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.types import Command, Document, Setting

Certainty = Literal["certain", "possible"]
_ARGUMENT: Final = re.compile(r"--?[a-zA-Z][\w-]*(=.*)?|[+~]{0,2}[A-Za-z_][\w@/]*(\.[\w@/-]+)+=.*", re.DOTALL)


class Mark(Struct, frozen=True):
    """What gives a system away: programs (regular expressions) and beginnings of keys."""

    system: str
    programs: tuple[str, ...]
    signature: tuple[str, ...]
    embeds: tuple[str, ...] = ()
    launcher: bool = False
    config_flags: tuple[str, ...] = ()


class Detection(Struct, frozen=True):
    """A system and its commands in one world of a document; ``possible`` is a candidate to be named."""

    system: str
    commands: tuple[Command, ...]
    certainty: Certainty
    world: int = 0
    launcher: bool = False


def detect_among(document: Document, marks: Sequence[Mark]) -> tuple[Detection, ...]:
    """Return the detections of all worlds, surest first within a world, launchers last."""
    found = []
    for number, commands in enumerate(document.worlds):
        spoken: dict[tuple[str, Certainty, bool], list[Command]] = {}
        wrappers = {name for command in commands for name in command.wrapped_by}
        for before, command, after in zip((None, *commands), commands, (*commands[1:], None), strict=False):
            if before is not None and is_argument(command.program):
                continue  # words that the command before them has lost
            for mark, certainty in _speakers(_whole(command, after), marks):
                if command.program in wrappers and not mark.launcher:
                    continue  # what it wraps is what runs
                spoken.setdefault((mark.system, certainty, mark.launcher), []).append(command)
        detections = [
            Detection(system, tuple(several), certainty, number, launcher)
            for (system, certainty, launcher), several in spoken.items()
        ]
        found += sorted(detections, key=lambda each: (each.launcher, each.certainty))
    return tuple(found)


def _whole(command: Command, after: Command | None) -> Command:
    """Return a command with the words that it has lost to the next line, which give it away too."""
    if after is None or command.settings or not is_argument(after.program):
        return command
    return replace(
        command, settings=(Setting(after.program.partition("=")[0], None, "flag"), *after.settings)
    )


def is_argument(program: str) -> bool:
    """Say whether what a line begins with is an argument and no program: ``--lr``, ``trainer.nnodes=2``."""
    return _ARGUMENT.fullmatch(program) is not None


def _speakers(command: Command, marks: Sequence[Mark]) -> list[tuple[Mark, Certainty]]:
    """Return the systems that a command may speak: the one with the most signs, or all that tie."""
    keys = {setting.key for setting in command.settings}
    hits = {mark.system: _hits(keys, mark) for mark in marks}
    started = [mark for mark in marks if starts(command, mark)]
    if started:
        best = max(hits[mark.system] for mark in started)
        chosen = [mark for mark in started if hits[mark.system] == best]
        alone = len(chosen) == 1 and (best > 0 or chosen[0].launcher or _named(command, chosen[0]))
        return [(mark, "certain" if alone else "possible") for mark in chosen]
    candidates = [mark for mark in marks if hits[mark.system] and not mark.launcher]
    inner = {system for mark in candidates for system in mark.embeds if _own_hits(command, mark, marks)}
    candidates = [mark for mark in candidates if mark.system not in inner]
    best = max((hits[mark.system] for mark in candidates), default=0)
    near = [mark for mark in candidates if 2 * hits[mark.system] > best]
    sure = len(near) == 1 and (best >= 2 or _is_dotted(command, near[0]))
    return [(mark, "certain" if sure else "possible") for mark in near]


def _named(command: Command, mark: Mark) -> bool:
    """Say whether the program's name holds the system's, as ``verl.trainer.main_ppo`` does."""
    return any(mark.system in re.split(r"\W+", name) for name in (command.program, *command.wrapped_by))


def _is_dotted(command: Command, mark: Mark) -> bool:
    """Say whether a key below a system's own root is set: one of those is enough."""
    own = tuple(prefix for prefix in mark.signature if prefix.endswith("."))
    return any(setting.key.startswith(own) for setting in command.settings) if own else False


def starts(command: Command, mark: Mark) -> bool:
    """Say whether a command, or what wraps it, is a program of a system."""
    names = [command.program, *(() if mark.launcher else command.wrapped_by)]
    return any(_needle(each) in name and re.fullmatch(each, name) for name in names for each in mark.programs)


def _hits(keys: Set[str], mark: Mark) -> int:
    return sum(key.startswith(mark.signature) for key in keys) if mark.signature and keys else 0


def _own_hits(command: Command, mark: Mark, marks: Sequence[Mark]) -> int:
    """Return how many keys only the embedding system's signature knows."""
    inner = tuple(key for other in marks if other.system in mark.embeds for key in other.signature)
    return sum(s.key.startswith(mark.signature) and not s.key.startswith(inner) for s in command.settings)


@cache
def _needle(program: str) -> str:
    """Return the text that a program's expression begins with: without it none needs to be compiled."""
    text = program.removeprefix("(?:.*/)?")
    end = next((at for at, sign in enumerate(text) if not (sign.isalnum() or sign in "_/ -")), len(text))
    return text[:end] if text[end : end + 1] not in ("?", "*", "{", "|") else ""
