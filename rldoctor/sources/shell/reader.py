"""Reads a launch script or a pasted command line: worlds of commands, nothing executed."""

from __future__ import annotations

import re
from typing import Literal

from rldoctor.sources import argv
from rldoctor.sources.shell import expansion, lexer, statements
from rldoctor.sources.shell.sourcing import shell_text
from rldoctor.sources.shell.state import Run, State, scalar
from rldoctor.sources.shell.text import Piece, Source, Word, encoded
from rldoctor.sources.shell.worlds import MOST_WORLDS, blurred_command
from rldoctor.sources.told import Told
from rldoctor.types import Command, Document, Place

_BATCH = r"(?m)^#SBATCH\s+(.*)$"
_BATCH_VARIABLES = {
    "--nodes": ("SLURM_NNODES", "SLURM_JOB_NUM_NODES"),
    "-N": ("SLURM_NNODES", "SLURM_JOB_NUM_NODES"),
    "--ntasks-per-node": ("SLURM_NTASKS_PER_NODE",),
    "--ntasks": ("SLURM_NTASKS",),
    "-n": ("SLURM_NTASKS",),
    "--gpus-per-node": ("SLURM_GPUS_PER_NODE", "SLURM_GPUS_ON_NODE"),
    "--cpus-per-task": ("SLURM_CPUS_PER_TASK",),
    "-c": ("SLURM_CPUS_PER_TASK",),
}
_LINES = re.compile(r"\A[\s\\]*(?:[-+~]{1,2}[A-Za-z_]|[A-Za-z_][\w.@/-]*\.[\w.@/-]*=)")


def read(
    path: str, data: bytes, told: Told, kind: Literal["shell", "command"], real_path: str | None
) -> Document:
    """Return what a script says; ``real_path`` is where it stands on disk, for what it sources."""
    run = Run(told, script=real_path, files={path: data})
    run.execute = statements.execute
    source = Source(path, shell_text(data), real_path)
    _read_batch(run, source.text)
    state = _start(run, source)
    if _LINES.match(source.text):
        return Document(path, "command", ((_bare(state, source, path),),), dict(run.files), ())
    ends = statements.execute(source, state)
    worlds = _worlds([end.commands for end in ends])
    return Document(path, kind, worlds, dict(run.files), tuple(run.problems.values()))


def _start(run: Run, source: Source) -> State:
    state = State(run, source)
    for name, value in run.told.env.items():
        state.variables[name] = scalar((Piece(encoded(value)),))
        state.exported[name] = None
    state.positional = tuple(Word((Piece(encoded(each)),)) for each in run.told.args)
    state.open_arguments = not run.told.args
    return state


def _read_batch(run: Run, text: str) -> None:
    lines = re.findall(_BATCH, text) if "#SBATCH" in text else []
    run.submitted = bool(lines)
    batch: dict[str, str] = {}
    for line in lines:
        for option, value in re.findall(r"(--[\w-]+|-[A-Za-z])[ =]*(\d+)\b", line):
            batch.update(dict.fromkeys(_BATCH_VARIABLES.get(option, ()), value))
    run.batch = batch


def _bare(state: State, source: Source, path: str) -> Command:
    """Return the command of arguments that were pasted without their program."""
    words = [
        word
        for start, end in lexer.words(source.text, 0, len(source.text))
        for word in expansion.fields(state, start, end)
    ]
    found = argv.parse(words, state.run.place)
    last = words[-1].span if words else None
    end = last.end if last else len(source.text)
    tail = state.run.place(last)
    return Command(
        "",
        tuple(found.settings),
        positional=tuple(found.positional),
        place=Place(path, 1, 1, 0, end),
        insert_at=Place(path, tail.line, tail.column + tail.end - tail.start, end, end) if tail else None,
        assumes=tuple(found.assumes),
    )


def _worlds(found: list[tuple[Command, ...]]) -> tuple[tuple[Command, ...], ...]:
    """Return the worlds that differ in their commands, those without any left out if others have some."""
    kept: list[tuple[Command, ...]] = []
    for commands in found:
        if not any(_alike(commands, other) for other in kept):
            kept.append(commands)
    full = [commands for commands in kept if commands]
    worlds = full or [()]
    while len(worlds) > MOST_WORLDS:
        last = worlds.pop()
        if len(last) == len(worlds[0]):
            pairs = zip(worlds[0], last, strict=True)
            worlds[0] = tuple(blurred_command(a, b) for a, b in pairs)
    return tuple(worlds)


def _alike(one: tuple[Command, ...], other: tuple[Command, ...]) -> bool:
    return len(one) == len(other) and all(_spoken(a) == _spoken(b) for a, b in zip(one, other, strict=True))


def _spoken(command: Command) -> tuple[object, ...]:
    settings = [(s.key, repr(s.value), s.state) for s in (*command.settings, *command.env)]
    return (command.program, command.positional, settings)
