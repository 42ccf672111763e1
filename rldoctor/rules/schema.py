"""What a rule file says, as nouns. ``docs/contracts/rule.md`` tells what each key means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from rldoctor.expr import Node
from rldoctor.types import Role, Safety, Severity, Verdict

if TYPE_CHECKING:
    from rldoctor.rules.examples import RuleTest

TriggerKind = Literal["config", "log", "event", "metric"]
Same = Literal["process", "rank", "node", "run"]


class Trigger(Struct, frozen=True):
    """One way in which a rule is noticed. Patterns are literals, or RE2 between slashes.

    ``match`` is a regular expression with named groups, searched on the found line. ``event`` is the
    kind of an event trigger, ``metric`` the name of a metric trigger.
    """

    kind: TriggerKind
    when: Node | None = None
    severity: Severity | None = None
    title: str | None = None
    find: tuple[str, ...] = ()
    match: str | None = None
    near: tuple[str, ...] = ()
    not_near: tuple[str, ...] = ()
    within: int = 200
    same: Same = "process"
    event: str | None = None
    metric: str | None = None


class Rung(Struct, frozen=True):
    """One remedy of a ladder. The values of ``set`` are conditions: a literal is ``["const", value]``.

    A value of the constant ``"null"`` writes the system's null, a None that was computed means spent.
    ``safety`` is a word, or a condition that gives one.
    """

    title: str
    safety: Safety | Node
    when: Node | None = None
    set: Mapping[str, Node] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    command: str | None = None


class Rule(Struct, frozen=True):
    """One piece of knowledge. ``phase`` is the folder it lies in, ``path`` its file."""

    id: str
    phase: str
    severity: Severity
    title: str
    explanation: str
    references: tuple[str, ...]
    family: str
    verdict: Verdict
    on: tuple[Trigger, ...]
    rows: tuple[str, ...] = ()
    symptom: bool = False
    roles: tuple[Role, ...] = ("policy",)
    since: Mapping[str, str] = field(default_factory=dict)
    until: Mapping[str, str] = field(default_factory=dict)
    when: Node | None = None
    explains: tuple[str, ...] = ()
    remedies: tuple[Rung, ...] = ()
    tests: tuple[RuleTest, ...] = ()
    path: str = ""
