"""Worlds: what the outcomes of undecided branches have in common, and how many are kept apart."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from rldoctor.sources.shell.state import State, Variable
from rldoctor.sources.shell.text import Piece, Word, assuming, raw
from rldoctor.types import Command, Setting

Arm = Callable[[State], list[State]]
MOST_WORLDS = 4


def choose(state: State, verdict: bool | None, then: Arm, otherwise: Arm) -> list[State]:
    """Run the arm that the verdict picks, both where it is open; an arm that fails is a guard."""
    because = state.because
    if verdict is None:
        hint, before = state.hint, len(state.commands)
        found = then(state.fork().learn(hint, True)) + otherwise(state.learn(hint, False))
        return _likely(found, before)
    taken, other = (then, otherwise) if verdict else (otherwise, then)
    before = len(state.commands)
    if because and "shadow" not in state.options:
        return _assumed(state, taken, other, because)
    found = taken(state.fork())
    if _failed(found, before):
        return other(state)
    return found


def _failed(states: list[State], before: int) -> bool:
    return all(state.stop == "failed" and len(state.commands) == before for state in states)


def _likely(states: list[State], before: int) -> list[State]:
    """Leave out the outcomes that end the script with nothing done, if there are others."""
    kept = [s for s in states if s.stop not in ("failed", "exit") or len(s.commands) > before]
    return kept or states


def _assumed(state: State, taken: Arm, other: Arm, because: tuple[str, ...]) -> list[State]:
    problems = dict(state.run.problems)
    shadow = state.fork()
    shadow.options |= {"shadow"}
    shadows = other(shadow)
    state.run.problems = problems
    before = len(state.commands)
    found = taken(state.fork())
    if _failed(found, before):
        return other(state)
    for each in found:
        _shade(each, shadows, because, before)
    return found


def _shade(state: State, shadows: list[State], because: tuple[str, ...], before: int) -> None:
    """Note the assumption on everything that would be different without it."""
    for name, variable in state.variables.items():
        if any(name not in s.variables or not variable.same(s.variables[name]) for s in shadows):
            words = tuple(replace(w, pieces=assuming(w.pieces, because)) for w in variable.words)
            state.variables[name] = replace(variable, words=words)
    if len(state.commands) > before:
        marked = tuple(
            replace(each, assumes=tuple(dict.fromkeys(each.assumes + because)))
            for each in state.commands[before:]
        )
        state.commands = state.commands[:before] + marked


def join(states: list[State]) -> list[State]:
    """Return the worlds that differ, at most four: beyond that what differs becomes unknown."""
    if len(states) < 2:
        return states
    found: list[State] = []
    for state in states:
        twin = next((other for other in found if same(state, other)), None)
        if twin is None:
            found.append(state)
        elif twin.status != state.status:
            twin.status = "open"
    while len(found) > MOST_WORLDS:
        one, other = _closest(found)
        found.remove(other)
        _blur(one, other)
    return found


def same(one: State, other: State) -> bool:
    """Return whether two worlds cannot be told apart from here on."""
    return (
        one.stop == other.stop
        and _are_alike(one, other)
        and one.exported.keys() == other.exported.keys()
        and one.commands == other.commands
        and one.positional == other.positional
        and raw(one.cwd) == raw(other.cwd)
        and (one.output is None or raw(one.output) == raw(other.output or ()))
    )


def _are_alike(one: State, other: State) -> bool:
    """Return whether two worlds have the same variables; most are the same objects in both."""
    a, b = one.variables, other.variables
    if a.keys() != b.keys():
        return False
    return all(value is b[name] or value.same(b[name]) for name, value in a.items())


def _differing(one: State, other: State) -> list[str]:
    a, b = one.variables, other.variables
    names = [
        name for name, value in a.items() if name not in b or not (value is b[name] or value.same(b[name]))
    ]
    return names + [name for name in b if name not in a]


def _closest(states: list[State]) -> tuple[State, State]:
    pairs = [(one, other) for i, one in enumerate(states) for other in states[i + 1 :]]
    return min(
        pairs,
        key=lambda pair: (
            [each.place for each in pair[0].commands] != [each.place for each in pair[1].commands],
            pair[0].stop != pair[1].stop,
            len(_differing(*pair)),
        ),
    )


def _blur(one: State, other: State) -> None:
    """Make unknown in ``one`` whatever ``other`` has otherwise."""
    for name in _differing(one, other):
        variable = one.variables.get(name) or other.variables[name]
        text = "${" + name + "[@]}" if variable.kind in ("array", "map") else "$" + name
        word = Word((Piece(text, unknown=True, depends=(name,)),), elastic=variable.kind != "scalar")
        one.variables[name] = Variable(variable.kind, (word,), variable.keys[:1], variable.span)
    if len(one.commands) == len(other.commands):
        pairs = zip(one.commands, other.commands, strict=True)
        one.commands = tuple(a if a == b else blurred_command(a, b) for a, b in pairs)


def blurred_command(one: Command, other: Command) -> Command:
    """Return the command with every setting unknown that the other has otherwise."""
    return replace(
        one,
        settings=_blurred_settings(one.settings, other.settings),
        env=_blurred_settings(one.env, other.env),
    )


def _blurred_settings(one: tuple[Setting, ...], other: tuple[Setting, ...]) -> tuple[Setting, ...]:
    values = {setting.key: setting for setting in other}
    found = []
    for setting in one:
        twin = values.pop(setting.key, None)
        alike = twin is not None and (twin.value, twin.state) == (setting.value, setting.state)
        found.append(setting if alike else replace(setting, state="unknown", depends=("a branch",)))
    found += [replace(setting, state="unknown", depends=("a branch",)) for setting in values.values()]
    return tuple(found)
