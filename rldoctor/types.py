"""The nouns of the doctor. Everything else is a function from some of these to others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct, field

Severity = Literal["error", "warning", "hint", "harmless"]
Safety = Literal["safe", "unsafe", "manual"]
Confidence = Literal["certain", "possible"]
Part = Literal["root", "consequence", "hint"]
Role = Literal["policy", "ref", "critic", "rm", "eval"]
Verdict = Literal["config", "restart", "hardware", "code", "data", "nothing", "unsure"]
State = Literal["known", "assumed", "unknown"]
Form = Literal["yaml", "override", "append", "delete", "flag", "env", "json", "set"]
OriginKind = Literal["written", "default", "derived", "log", "measured", "set", "model", "host"]

ROLES: Final[tuple[Role, ...]] = ("policy", "ref", "critic", "rm", "eval")


class Unknown:
    """The value of what nobody told: contagious in conditions, never guessed."""

    _only: Unknown | None = None

    def __new__(cls) -> Unknown:
        """Return the one unknown value, so that ``is`` compares it."""
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("UNKNOWN has no truth value; compare with `is`")


UNKNOWN: Final = Unknown()


class RLDoctorError(Exception):
    """An error that the user can act on: what, where, and what to do. Shown without a traceback."""

    def __init__(
        self, message: str, *, file: str | None = None, line: int = 0, column: int = 0, hint: str = ""
    ) -> None:
        super().__init__(message)
        self.message, self.file, self.line, self.column, self.hint = message, file, line, column, hint

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class Place(Struct, frozen=True):
    """A span of bytes in a file as read; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int
    start: int
    end: int


class Setting(Struct, frozen=True):
    """One key and its value, spelled as in the file.

    ``place`` spans the whole setting (override word, flag with value, YAML pair, ``EP=1``);
    ``value_place`` the value's own text, where that is one contiguous literal. A value that came
    from a variable has ``defined_at``: the place of the literal text in the variable's assignment.
    ``depends`` names what an unknown value hangs on, ``assumes`` what a known one takes for granted.
    """

    key: str
    value: Any
    form: Form
    place: Place | None = None
    value_place: Place | None = None
    defined_at: Place | None = None
    state: State = "known"
    depends: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()

    @property
    def is_filled(self) -> bool:
        """Say whether nobody knows the value, and yet there is one: a flag's argument is never None."""
        return self.state == "unknown" and self.form == "flag"


class Command(Struct, frozen=True):
    """One command that a file gives: a program, its settings, and the environment it sees.

    ``program`` is the entry as written (``verl.trainer.main_ppo``, ``train.py``, ``ray start``,
    ``torchrun``); a wrapper and what it wraps are two commands, the inner one with ``wrapped_by``.
    A YAML file is one command whose program is ``""``. ``insert_at`` is where a further argument
    goes, an empty span.
    """

    program: str
    settings: tuple[Setting, ...] = ()
    env: tuple[Setting, ...] = ()
    positional: tuple[str, ...] = ()
    place: Place | None = None
    insert_at: Place | None = None
    wrapped_by: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()


class Document(Struct, frozen=True):
    """What a source read: the commands, and the bytes of every file they came from.

    ``worlds`` holds one tuple of commands for each outcome of an undecidable branch; most files
    have one. ``problems`` are places that could not be read.
    """

    path: str
    kind: Literal["yaml", "shell", "command", "python", "log"]
    worlds: tuple[tuple[Command, ...], ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    problems: tuple[RLDoctorError, ...] = ()


class Origin(Struct, frozen=True):
    """Where a fact's value comes from. ``text`` is what a person would quote (``EP=1``)."""

    kind: OriginKind
    text: str = ""
    key: str | None = None
    place: Place | None = None
    inputs: tuple[tuple[Role, str], ...] = ()


class Fact(Struct, frozen=True):
    """One truth about a run in system-neutral words: the value of a concept for a role."""

    role: Role
    concept: str
    value: Any
    origin: Origin
    state: State = "known"
    system: str | None = None
    depends: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()


class Identity(Struct, frozen=True):
    """Whose line it is, as far as a log tells."""

    node: str | None = None
    rank: int | None = None
    pid: int | None = None
    actor: str | None = None


class LogLine(Struct, frozen=True):
    """One line of a log with its wrapping taken off; ``number`` counts from 1."""

    file: str
    number: int
    text: str
    who: Identity = Identity()
    time: float | None = None
    repeated: int = 1


class Event(Struct, frozen=True):
    """Something seen in a log, a dump or a live run. ``fields`` are those of the vocabulary."""

    kind: str
    fields: Mapping[str, Any]
    who: Identity = Identity()
    time: float | None = None
    phase: str | None = None
    lines: tuple[LogLine, ...] = ()
    spread: tuple[Identity, ...] = ()


class Sample(Struct, frozen=True):
    """One value of a metric at a step; NaN and infinities are kept."""

    metric: str
    step: int | None
    value: float | None
    line: LogLine


class Edit(Struct, frozen=True):
    """One change in the user's own words: bytes ``start:end`` of ``file`` from ``old`` to ``new``."""

    file: str
    line: int
    start: int
    end: int
    kind: Literal["replace", "insert", "delete"]
    old: str
    new: str


class Remedy(Struct, frozen=True):
    """A cure in concepts; ``safe`` leaves what is learned the same."""

    title: str
    safety: Safety
    set: Mapping[str, Any] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()
    command: str | None = None


class Evidence(Struct, frozen=True):
    """One line of proof: a setting in the user's spelling, or a line of a log."""

    text: str
    file: str | None = None
    line: int | None = None
    key: str | None = None
    rank: int | None = None
    time: float | None = None


class Finding(Struct, frozen=True):
    """A rule that holds for a subject, with its proof and its cures, best first."""

    id: str
    rule: str
    subject: str
    title: str
    severity: Severity
    confidence: Confidence
    explanation: str
    evidence: tuple[Evidence, ...]
    remedies: tuple[Remedy, ...] = ()
    part: Part = "root"
    phase: str | None = None
    verdict: Verdict = "unsure"
    family: str = "config"
    role: Role = "policy"
    assumes: tuple[str, ...] = ()
    explained_by: str | None = None
    fingerprint: str = ""


class Suppressed(Struct, frozen=True):
    """A finding that the user has answered: the reason, where it stands, and the last day it holds."""

    finding: Finding
    reason: str
    file: str
    line: int
    until: str | None = None


class Match(Struct, frozen=True):
    """A finding as the evidence gives it, with what weighs it against others: not judged yet.

    ``lines`` are the log lines that it claims, the decisive one first; ``bindings`` the values of
    ``event.x``, ``match.x`` and metrics; ``conditions`` counts what is known to be true; ``ill`` marks
    what only step lines show.
    """

    finding: Finding
    lines: tuple[LogLine, ...] = ()
    bindings: Mapping[str, Any] = field(default_factory=dict)
    conditions: int = 0
    symptom: bool = False
    explains: tuple[str, ...] = ()
    recovered: bool = False
    spread: tuple[Identity, ...] = ()
    ill: bool = False


class Report(Struct, frozen=True):
    """What one command found, in order of importance, the root first."""

    command: str
    subjects: tuple[str, ...]
    verdict: Verdict
    summary: str
    findings: tuple[Finding, ...]
    facts: tuple[Fact, ...] = ()
    memory: Mapping[str, Any] | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    timeline: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    suppressed: tuple[Suppressed, ...] = ()
