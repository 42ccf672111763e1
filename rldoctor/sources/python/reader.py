"""Reads a Python launcher: worlds of commands, as its syntax tells; nothing is imported or run."""

from __future__ import annotations

import ast
import re
import warnings

from rldoctor.sources.python import running, starting
from rldoctor.sources.python.running import Ended, Walk
from rldoctor.sources.shell import statements
from rldoctor.sources.shell.state import Run, State
from rldoctor.sources.shell.text import Source
from rldoctor.sources.told import Told
from rldoctor.types import Command, Document, RLDoctorError

MOST_WORLDS = 4
MOST_RUNS = 12
HINT = "a launcher starts its program by execute_train, subprocess, or os.system"


def read(name: str, data: bytes, told: Told, path: str | None) -> Document:
    """Return what a launcher starts, in each world of its open tests; RLDoctorError if it is no Python."""
    tree, text = _parsed(name, data)
    run = Run(told, script=path, files={name: data})
    run.execute = statements.execute
    starts = [0, *(found.end() for found in re.finditer(rb"\n", text))]
    worlds: list[tuple[Command, ...]] = []
    pending: list[tuple[bool, ...]] = [()]
    for _ in range(MOST_RUNS):
        if not pending or len(worlds) >= MOST_WORLDS:
            break
        choices = pending.pop(0)
        walk = _walked(Walk(name, text, starts, [_state(run, name, path)], choices), tree)
        worlds += [state.commands for state in walk.states if state.commands not in worlds]
        undecided = range(len(choices), min(len(walk.tests), len(choices) + 3))
        pending += [(*choices, *[False] * (number - len(choices)), True) for number in undecided]
    full = [world for world in worlds if world]
    if not full:
        run.problem("no launch was found in this file", hint=HINT)
    return Document(name, "python", tuple(full[:MOST_WORLDS]) or ((),), dict(run.files), _problems(run))


def _parsed(name: str, data: bytes) -> tuple[ast.Module, bytes]:
    """Return the syntax tree and the bytes that its places count in: a BOM becomes blanks."""
    text = data.replace(b"\xef\xbb\xbf", b"   ", 1) if data.startswith(b"\xef\xbb\xbf") else data
    body = text.lstrip(b" ") if text is not data else text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(body, name)
    except SyntaxError as error:
        message = f"not Python: {error.msg}"
        raise RLDoctorError(message, file=name, line=error.lineno or 0, column=error.offset or 0) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise RLDoctorError(f"not Python that can be read: {error}", file=name) from error
    if text is not data:
        for node in ast.walk(tree):
            if getattr(node, "lineno", 0) == 1:
                node.col_offset += 3  # type: ignore[attr-defined]
                if getattr(node, "end_lineno", 0) == 1:
                    node.end_col_offset += 3  # type: ignore[attr-defined]
    return tree, text


def _state(run: Run, name: str, path: str | None) -> State:
    return starting.start(State(run, Source(name, "", path), open_arguments=False), run.told.env)


def _walked(walk: Walk, tree: ast.Module) -> Walk:
    try:
        running.block(walk, tree.body)
    except Ended:  # the launcher leaves, or is too long: what was started counts
        pass
    except RecursionError as error:
        raise RLDoctorError("expressions are nested too deeply", file=walk.file) from error
    return walk


def _problems(run: Run) -> tuple[RLDoctorError, ...]:
    return tuple(run.problems.values())
