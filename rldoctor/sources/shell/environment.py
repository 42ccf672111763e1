"""The environment that a command sees: exports, prefix assignments, and those of ``env``."""

from __future__ import annotations

from rldoctor.sources.launch import Peeled
from rldoctor.sources.shell.call import Call
from rldoctor.sources.shell.state import Run, State, Variable
from rldoctor.sources.shell.text import (
    Pieces,
    Span,
    Word,
    assumes_of,
    decoded,
    depends_of,
    is_unknown,
    raw,
    slice_pieces,
    span_of,
)
from rldoctor.types import Setting


def environment(state: State) -> tuple[Setting, ...]:
    """Return the exported variables as settings."""
    return tuple(
        _setting(state.run, name, state.variables[name])
        for name in state.exported
        if name in state.variables and state.variables[name].kind == "scalar"
    )


def with_prefix(env: tuple[Setting, ...], call: Call, peeled: Peeled, state: State) -> tuple[Setting, ...]:
    """Return the environment with the assignments that stand before the program."""
    own = [_setting(state.run, name, variable) for name, variable in call.prefix.items()]
    own += [_word(state.run, word) for word in peeled.assignments]
    names = {setting.key for setting in own}
    return (*(setting for setting in env if setting.key not in names), *own)


def _setting(run: Run, name: str, variable: Variable) -> Setting:
    return setting(run, name, variable.pieces, variable.span)


def _word(run: Run, word: Word) -> Setting:
    content = raw(word.pieces)
    name, _, _ = content.partition("=")
    return setting(run, name, slice_pieces(word.pieces, len(name) + 1, len(content)), word.span)


def setting(run: Run, name: str, value: Pieces, span: Span | None) -> Setting:
    """Return an environment variable as a setting."""
    literal = span_of(value)
    inside = literal and span and literal.file == span.file and span.start <= literal.start <= span.end
    return Setting(
        decoded(name),
        decoded(raw(value)),
        "env",
        place=run.place(span),
        value_place=run.place(literal) if inside else None,
        defined_at=None if inside else run.place(literal),
        state="unknown" if is_unknown(value) else "known",
        depends=depends_of(value),
        assumes=assumes_of(value),
    )
