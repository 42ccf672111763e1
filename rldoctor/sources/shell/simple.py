"""What a simple command does to a world: functions, builtins, nested shells, and programs to tell of."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from msgspec.structs import replace

from rldoctor.sources import launch
from rldoctor.sources.launch import Layer, Peeled
from rldoctor.sources.shell import builtins, control, sourcing, statements
from rldoctor.sources.shell.call import Call
from rldoctor.sources.shell.environment import environment, with_prefix
from rldoctor.sources.shell.state import MOST_DEPTH, MOST_OF_ONE_FILE, State, Variable, scalar
from rldoctor.sources.shell.text import (
    Piece,
    Pieces,
    Source,
    Word,
    decoded,
    encoded,
    from_pieces,
    held,
    is_unknown,
    raw,
)
from rldoctor.types import Command, Setting

_SHELLS = {"bash", "sh", "dash", "zsh"}


def run(call: Call, state: State) -> list[State]:
    """Run one simple command."""
    while call.words and call.words[0].elastic and len(call.words) > 1:
        call.words.pop(0)
    if not call.words:
        for name, variable in call.prefix.items():
            state.assign(name, variable)
        return state.ended("yes" if not call.span else state.status)
    name = raw(call.words[0].pieces)
    if name in state.functions and not call.words[0].unknown:
        return control.call_function(
            state, state.functions[name], call.arguments, call.prefix, statements.run
        )
    if name in ("source", ".") and len(call.words) > 1:
        return _source(call, state)
    if name == "eval":
        return _eval(call, state)
    handler = builtins.HANDLERS.get(name)
    if handler is not None:
        return handler(call, state)
    return _external(call, state)


def _source(call: Call, state: State) -> list[State]:
    found = sourcing.find(state, call.words[1])
    if found is None:
        return sourcing.missing(state, call.words[1], call.span)
    if state.run.depth >= MOST_DEPTH or _in_a_ring(found, call, state):
        return state.ended("open")
    positional, arguments = state.positional, tuple(held(word) for word in call.words[2:])
    if arguments:
        state.positional = arguments
    before = {name: state.variables.get(name) for name in call.prefix}
    for name, variable in call.prefix.items():
        state.assign(name, variable)
    state.run.depth += 1
    state.run.active.append(found.file)
    ends = statements.execute(found, state)
    state.run.active.pop()
    state.run.depth -= 1
    for end in ends:
        end.stop = "" if end.stop == "return" else end.stop
        end.positional = positional if arguments else end.positional
        end.restore(before)
    return ends


def _in_a_ring(found: Source, call: Call, state: State) -> bool:
    """Return whether a file reads itself again and again; once more is what a guard at its top is for."""
    if state.run.active.count(found.file) < MOST_OF_ONE_FILE:
        return False
    state.run.problem(
        f"{found.file} sources itself, by others or directly", call.span, "it is read no further"
    )
    return True


def _spaced(words: list[Word]) -> Pieces:
    found: list[Word] = []
    for word in words:
        found += [Word(builtins.SPACE), word] if found else [word]
    return tuple(replace(piece, quoted=False) for word in found for piece in word.pieces)


def _eval(call: Call, state: State) -> list[State]:
    text = _spaced(call.arguments)
    if is_unknown(text) and len(call.arguments) == 1 and len(text) == 1:
        state.missing = (*state.missing, decoded(raw(text)))
        return state.ended("open")
    return nested(text, state)


def nested(text: Pieces, state: State) -> list[State]:
    """Run text as a script within this one."""
    if state.run.depth >= MOST_DEPTH:
        return state.ended("open")
    state.run.depth += 1
    ends = statements.execute(from_pieces(text, state.source.file, state.source.path), state)
    state.run.depth -= 1
    return ends


def _external(call: Call, state: State) -> list[State]:
    name = decoded(raw(call.words[0].pieces))
    if not call.redirected:
        state.emit((replace(builtins.SILENT, depends=(f"$({name} …)",)),))
    if "captured" in state.options:
        return state.ended("open")
    peeled = launch.peel(call.words)
    program = PurePosixPath(peeled.inner[0].text).name if peeled.inner else ""
    if program in builtins.PLUMBING and not peeled.layers:
        return state.ended("open" if program in builtins.ASKING else "presumed")
    env = with_prefix(environment(state), call, peeled, state)
    commands, env = _layers(call, peeled, env, state)
    wrapped = (*state.wrapped_by, *(layer.program for layer in peeled.layers))
    stop = "exit" if peeled.layers and peeled.layers[0].program == "exec" and peeled.inner else state.stop
    state.commands += commands
    if any(command.program == "ray start" for command in commands):
        state.ray_env = env
    if program in _SHELLS or (program == "" and call.stdin is not None) or peeled.script:
        ends = _shell(call, peeled, env, wrapped, state)
        if ends is not None:
            return ends
    if peeled.inner and program not in builtins.PLUMBING:
        command = launch.command(peeled.inner, state.run, call.span, call.tail)
        if command.program == "ray start":
            state.ray_env = env
        state.commands += (replace(command, env=env, wrapped_by=wrapped, assumes=_assumes(command, state)),)
    state.stop = stop
    return state.ended("presumed")


def _assumes(command: Command, state: State) -> tuple[str, ...]:
    return tuple(dict.fromkeys(command.assumes + state.assumes))


def _layers(
    call: Call, peeled: Peeled, env: tuple[Setting, ...], state: State
) -> tuple[tuple[Command, ...], tuple[Setting, ...]]:
    """Return the wrappers as commands, and the environment that the innermost program sees."""
    commands: list[Command] = []
    above: tuple[str, ...] = state.wrapped_by
    for layer in peeled.layers:
        if not layer.quiet:
            command = launch.wrapper(layer, state.run, call.span)
            commands.append(replace(command, env=env, wrapped_by=above, assumes=_assumes(command, state)))
        if layer.program == "ray job submit":
            env = _job_environment(layer, state)
        above = (*above, layer.program)
    return tuple(commands), env


def _job_environment(layer: Layer, state: State) -> tuple[Setting, ...]:
    given = launch.job_environment(layer, state.run)
    names = {setting.key for setting in given}
    return (*given, *(setting for setting in state.ray_env if setting.key not in names))


def _shell(
    call: Call, peeled: Peeled, env: tuple[Setting, ...], wrapped: tuple[str, ...], state: State
) -> list[State] | None:
    """Follow ``bash -c TEXT``, ``bash FILE`` and a script on standard input; ``None`` if there is none."""
    text, arguments = _script_text(call, peeled)
    source = None
    if text is None and peeled.inner:
        at = (
            0
            if peeled.script
            else next((i for i, w in enumerate(peeled.inner[1:], 1) if not re.match(r"[-+]", w.text)), 0)
        )
        if peeled.script or at:
            source = sourcing.find(state, peeled.inner[at])
            arguments = peeled.inner[at + 1 :]
    if (text is None and source is None) or state.run.depth >= MOST_DEPTH:
        return None
    inner = state.fork()
    inner.variables = {name: v for name, v in state.variables.items() if name in state.exported}
    for name, variable in call.prefix.items():
        inner.variables[name] = variable
        inner.exported[name] = None
    launch.set_job_variables(inner, env)
    inner.wrapped_by, inner.functions, inner.local = wrapped, {}, None
    inner.positional, inner.open_arguments, inner.stop = tuple(map(held, arguments)), False, ""
    if source is None:
        inner.variables["0"] = _zero(peeled)
        return control.isolated(state, lambda _: _restored(nested(text or (), inner), state))
    inner.variables["0"] = scalar((Piece(encoded(source.path or source.file)),))
    inner.run.depth += 1
    ends = statements.execute(source, inner)
    inner.run.depth -= 1
    return control.isolated(state, lambda _: _restored(ends, state))


def _zero(peeled: Peeled) -> Variable:
    """Return ``$0`` of a script given as text: the word after it, else the shell's own name."""
    texts = [word.text for word in peeled.inner]
    at = next((i for i, text in enumerate(texts) if re.fullmatch(r"-\w*c", text)), len(texts))
    return scalar(
        peeled.inner[at + 2].pieces if at + 2 < len(texts) else (Piece(texts[0] if texts else "bash"),)
    )


def _restored(ends: list[State], state: State) -> list[State]:
    for end in ends:
        end.wrapped_by = state.wrapped_by
    return ends


def _script_text(call: Call, peeled: Peeled) -> tuple[Pieces | None, list[Word]]:
    words = peeled.inner
    for at, word in enumerate(words[1:-1], 1):
        if re.fullmatch(r"-\w*c", word.text):
            text = tuple(replace(piece, quoted=False) for piece in words[at + 1].pieces)
            return text, words[at + 3 :]
        if not word.text.startswith("-"):
            break
    only_options = all(word.text.startswith("-") for word in words[1:])
    if call.stdin is not None and only_options and not is_unknown(call.stdin[:1]):
        return call.stdin, []
    return None, []
