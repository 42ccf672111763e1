"""What a script's run would know at one point: variables, exports, functions, and commands so far."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor.sources.shell.text import Piece, Pieces, Source, Span, Word, merged, raw, unprotected
from rldoctor.sources.told import Told
from rldoctor.types import Command, Place, RLDoctorError, Setting

if TYPE_CHECKING:
    from tree_sitter import Node

Status = Literal["yes", "no", "presumed", "open"]
Stop = Literal["", "exit", "failed", "return", "break", "continue"]

MOST_STEPS = 20_000
MOST_NESTING = 40
MOST_TEXT = 1_000_000
MOST_WORDS = 20_000
MOST_DEPTH = 16
MOST_OF_ONE_FILE = 2
MOST_PIECES = 512

_ALWAYS_SET_NAMES = """
HOME PATH PWD OLDPWD USER LOGNAME SHELL HOSTNAME HOSTTYPE OSTYPE MACHTYPE UID EUID PPID RANDOM SRANDOM
SECONDS LINENO BASH BASH_VERSION BASHPID EPOCHSECONDS EPOCHREALTIME TERM LANG
"""
ALWAYS_SET = frozenset(_ALWAYS_SET_NAMES.split())


class Variable(Struct, frozen=True):
    """A shell variable: one word if scalar, words by position or key if not; ``span`` is ``NAME=value``."""

    kind: Literal["scalar", "array", "map", "unset"]
    words: tuple[Word, ...] = ()
    keys: tuple[str, ...] = ()
    span: Span | None = None

    @property
    def pieces(self) -> Pieces:
        """Return the value as ``$NAME`` gives it: a scalar's text, an array's first element."""
        if self.kind == "map":
            index = self.keys.index("0") if "0" in self.keys else -1
            return self.words[index].pieces if index >= 0 else (Piece(""),)
        return self.words[0].pieces if self.words else (Piece(""),)

    def same(self, other: Variable) -> bool:
        """Return whether both hold the same text for the same reasons."""
        return self is other or (
            self.kind == other.kind
            and self.keys == other.keys
            and len(self.words) == len(other.words)
            and all(_same(a.pieces, b.pieces) for a, b in zip(self.words, other.words, strict=True))
        )


def _same(one: Pieces, other: Pieces) -> bool:
    return one is other or (
        raw(one) == raw(other) and [p.unknown for p in one if p.text] == [p.unknown for p in other if p.text]
    )


UNSET = Variable("unset")


def scalar(pieces: Pieces, span: Span | None = None) -> Variable:
    """Return a plain variable."""
    return Variable("scalar", (Word(unprotected(pieces)),), span=span)


class Function(Struct, frozen=True):
    """A function of the script: where its body stands."""

    source: Source
    body: Node


class Hint(Struct, frozen=True):
    """What an open test compares: a variable with values, for equality or its opposite."""

    name: str
    values: tuple[str, ...]
    equal: bool = True


class Run(Struct, eq=False):
    """What all worlds of one reading share: files read, problems met, and the limits."""

    told: Told
    script: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    lines: dict[str, list[int]] = field(default_factory=dict)
    problems: dict[str, RLDoctorError] = field(default_factory=dict)
    steps: int = 0
    depth: int = 0
    active: list[str] = field(default_factory=list)
    nesting: int = 0
    submitted: bool = False
    batch: Mapping[str, str] = field(default_factory=dict)
    execute: Callable[[Source, State], list[State]] = lambda _, state: [state]

    def step(self) -> bool:
        """Count one step; return whether the reading may go on."""
        self.steps += 1
        if self.steps == MOST_STEPS:
            self.problem("the script is too long to follow to its end", hint="what follows was not read")
        return self.steps < MOST_STEPS

    def problem(self, message: str, span: Span | None = None, hint: str = "") -> None:
        """Note what could not be read, once."""
        place = self.place(span)
        if place is None:
            error = RLDoctorError(message, hint=hint)
        else:
            error = RLDoctorError(message, file=place.file, line=place.line, column=place.column, hint=hint)
        self.problems.setdefault(str(error), error)

    def place(self, span: Span | None) -> Place | None:
        """Return a span with its line and column."""
        if span is None or span.file not in self.files:
            return None
        starts = self.lines.get(span.file)
        if starts is None:
            starts = [0, *(match.end() for match in re.finditer(rb"\n", self.files[span.file]))]
            self.lines[span.file] = starts
        line = bisect_right(starts, span.start)
        return Place(span.file, line, span.start - starts[line - 1] + 1, span.start, span.end)


class State(Struct, eq=False):
    """One world at one point of the script."""

    run: Run
    source: Source
    variables: dict[str, Variable] = field(default_factory=dict)
    exported: dict[str, None] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    positional: tuple[Word, ...] = ()
    open_arguments: bool = True
    cwd: Pieces = (Piece("$PWD", unknown=True, depends=("PWD",)),)
    commands: tuple[Command, ...] = ()
    wrapped_by: tuple[str, ...] = ()
    ray_env: tuple[Setting, ...] = ()
    missing: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()
    output: Pieces | None = None
    options: frozenset[str] = frozenset()
    local: dict[str, Variable | None] | None = None
    status: Status = "yes"
    because: tuple[str, ...] = ()
    hint: Hint | None = None
    excluded: frozenset[tuple[str, str]] = frozenset()
    stop: Stop = ""

    def fork(self) -> State:
        """Return a copy that can go its own way."""
        return replace(
            self,
            variables=dict(self.variables),
            exported=dict(self.exported),
            functions=dict(self.functions),
            local=None if self.local is None else dict(self.local),
        )

    def ended(self, status: Status, because: tuple[str, ...] = (), hint: Hint | None = None) -> list[State]:
        """Return this world alone, with the exit status of its last command."""
        self.status, self.because, self.hint = status, because, hint
        return [self]

    def learn(self, hint: Hint | None, outcome: bool) -> State:
        """Take in what a test tells of an unknown variable in the world where it came out so."""
        for value in hint.values if hint else ():
            if hint and hint.equal != outcome:
                self.excluded |= {(hint.name, value)}
            elif hint and len(hint.values) == 1:
                piece = Piece(value, assumes=(f"{hint.name} is {value}",))
                self.assign(hint.name, scalar((piece,)))
        return self

    def restore(self, variables: Mapping[str, Variable | None]) -> None:
        """Give variables back the values they had."""
        for name, variable in variables.items():
            if variable is None:
                self.variables.pop(name, None)
            else:
                self.variables[name] = variable

    def emit(self, pieces: Pieces) -> None:
        """Write to standard output, if somebody reads it."""
        if self.output is not None:
            self.output += pieces

    def assign(self, name: str, variable: Variable) -> None:
        """Set a variable; too long a value is kept as unknown."""
        if any(len(word.pieces) > MOST_PIECES for word in variable.words):
            words = tuple(replace(word, pieces=merged(word.pieces)) for word in variable.words)
            variable = replace(variable, words=words)
        if sum(len(piece.text) for word in variable.words for piece in word.pieces) > MOST_TEXT:
            self.run.problem(f"the value of {name} grows beyond {MOST_TEXT} bytes")
            variable = scalar((Piece(f"${name}", unknown=True, depends=(name,)),))
        self.variables[name] = variable
        if self.excluded:
            self.excluded = frozenset(pair for pair in self.excluded if pair[0] != name)
        if "allexport" in self.options:
            self.exported[name] = None

    def is_unset(self, name: str) -> bool:
        """Return whether the script leaves the name to the environment, where it need not be."""
        variable = self.variables.get(name)
        if variable is not None:
            return variable.kind == "unset"
        return name not in ALWAYS_SET and not (self.run.submitted and name.startswith("SLURM_"))
