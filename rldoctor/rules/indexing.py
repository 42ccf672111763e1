"""The compiled index: triggers as the matcher walks them, and each rule's body when it is asked for.

Loading does not grow with the rules: it reads the triggers alone, and those of logs only for logs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct, to_builtins
from msgspec.json import decode

from rldoctor import compiled, vocabulary
from rldoctor.compiled import Twin
from rldoctor.expr import Node
from rldoctor.rules import places
from rldoctor.rules.schema import Rule, Rung, Trigger
from rldoctor.types import RLDoctorError, Role, Severity
from rldoctor.vocabulary import unknown_word

if TYPE_CHECKING:
    from rldoctor.rules.likeness import Likeness

Guard: TypeAlias = list[Any]


class Entry(Struct, frozen=True):
    """A trigger without the rest of its rule: the ``position``-th of its ``on``, counted from 0.

    ``guards`` are simple parts of its conditions (name, comparison, constant): where one is false, all is.
    """

    rule: str
    position: int
    severity: Severity
    roles: tuple[Role, ...]
    since: Mapping[str, str]
    until: Mapping[str, str]
    guards: tuple[Guard, ...]
    source: bytes

    @property
    def conditions(self) -> tuple[Node, ...]:
        """The conditions of the rule and of the trigger, all of which have to hold; parsed when asked for."""
        return _parsed(self.source)


@lru_cache(maxsize=4096)
def _parsed(source: bytes) -> tuple[Node, ...]:
    return tuple(decode(source))


class Index:
    """All rules, by what notices them. Nothing is parsed before it is asked for."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self._rules: dict[str, Rule] = {}

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Index:
        """Return the index of rules that stand in no file."""
        return cls(compiled.in_memory(parts(rules)))

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The rules' ids, ordered."""
        return tuple(self._twin.part("ids"))

    @cached_property
    def _conditions(self) -> bytes:
        return self._twin.raw("conditions")

    @cached_property
    def config(self) -> tuple[Entry, ...]:
        """All configuration triggers."""
        return _entries(self._twin.part("config"), self._conditions)

    @cached_property
    def log(self) -> Mapping[str, tuple[Entry, ...]]:
        """Log triggers by each pattern of their ``find``."""
        return _by_key(self._twin.part("log"), self._conditions)

    @cached_property
    def events(self) -> Mapping[str, tuple[Entry, ...]]:
        """Event triggers by kind."""
        return _by_key(self._twin.part("event"), self._conditions)

    @cached_property
    def metrics(self) -> Mapping[str, tuple[Entry, ...]]:
        """Metric triggers by name."""
        return _by_key(self._twin.part("metric"), self._conditions)

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """Every pattern of a ``find``, for which a log is scanned; the others are sought around hits."""
        return tuple(self._twin.part("patterns"))

    @cached_property
    def likeness(self) -> Likeness:
        """What rules are known by, for a failure that none of them knows; nothing else needs its module."""
        from rldoctor.rules.likeness import Likeness

        return Likeness(**self._twin.part("likeness"))

    def rule(self, name: str) -> Rule:
        """Return a rule without its tests; RLDoctorError with the nearest id for an unknown one."""
        if name not in self._rules:
            if f"rule/{name}" not in self._twin:
                raise RLDoctorError(unknown_word("rule", name, self.ids))
            body = self._twin.part(f"rule/{name}")
            self._rules[name] = _rule(body | {"path": str(places.own_folder() / body["path"])})
        return self._rules[name]


def index() -> Index:
    """Return the index of the program's rules and of those of RLDOCTOR_RULES, once a process."""
    return _index(places.users_folder())


@cache
def _index(users: Path | None) -> Index:
    folders = (places.own_folder(), users) if users else (places.own_folder(),)
    name = f"rules-{compiled.digest(str(users.resolve()))}" if users else "rules"
    return Index(compiled.twin(name, lambda: _stamp(folders), lambda: _build(folders), ship=users is None))


def _stamp(folders: Sequence[Path]) -> str:
    code = [*Path(__file__).parent.glob("*.py"), *compiled.PACKAGE.glob("expr/*.py"), Path(compiled.__file__)]
    words = [vocabulary.FILE, Path(vocabulary.__file__)]
    return compiled.stamp_of([*sorted(code), *words, *places.entries(folders)])


def _build(folders: Sequence[Path]) -> dict[str, Any]:
    from rldoctor.rules.load import load_folders

    return parts(load_folders(folders))


def parts(rules: Iterable[Rule]) -> dict[str, Any]:
    """Return what a twin of rules is made of."""
    from rldoctor.rules import likeness

    known = {rule.id: rule for rule in sorted(rules, key=lambda rule: rule.id)}
    by_kind: dict[str, dict[str, list[Any]]] = {kind: defaultdict(list) for kind in _KEYS}
    config: list[Any] = []
    patterns: dict[str, None] = {}
    conditions = bytearray()
    for rule, position, trigger in _triggers(known.values()):
        entry = _entry(rule, position, trigger, conditions)
        patterns |= dict.fromkeys(trigger.find)
        if trigger.kind == "config":
            config.append(entry)
            continue
        for key in _KEYS[trigger.kind](trigger):
            by_kind[trigger.kind][key].append(entry)
    bodies = {f"rule/{name}": _body(rule) for name, rule in known.items()}
    tables = {"ids": list(known), "config": config, **by_kind, "patterns": list(patterns)}
    likenesses = likeness.build(known.values())
    return {**tables, "conditions": bytes(conditions), "likeness": likenesses, **bodies}


def _triggers(rules: Iterable[Rule]) -> Iterator[tuple[Rule, int, Trigger]]:
    for rule in rules:
        for position, trigger in enumerate(rule.on):
            yield rule, position, trigger


_KEYS: Mapping[str, Any] = {
    "log": lambda trigger: trigger.find,
    "event": lambda trigger: [trigger.event],
    "metric": lambda trigger: [trigger.metric],
}


_MOST_GUARDS: Final = 3
_NESTED: Final = ("on", "remedies", "tests")


def _entry(rule: Rule, position: int, trigger: Trigger, conditions: bytearray) -> list[Any]:
    """Return a row of the index; its conditions go to the end of all conditions, where it says."""
    nodes = [node for node in (rule.when, trigger.when) if node is not None]
    start = len(conditions)
    conditions += compiled.dumps(nodes)
    about = [rule.id, position, trigger.severity or rule.severity, rule.roles, rule.since, rule.until]
    return [*about, guards(nodes), start, len(conditions)]


def guards(conditions: Iterable[Node]) -> list[Guard]:
    """Return the parts that must all hold and compare one name with constants: quick to find false."""
    found: list[Guard] = []
    for node in conditions:
        match node:
            case ["and", parts]:
                found += guards(parts)
            case ["name", name]:
                found.append([name, "!=", False])
            case ["cmp", ["name", name], [[symbol, ["const", value]]]]:
                found.append([name, symbol, value])
            case ["cmp", ["name", name], [[symbol, ["list", items]]]] if all(n[0] == "const" for n in items):
                found.append([name, symbol, [item[1] for item in items]])
    return found[:_MOST_GUARDS]


def _entries(rows: Sequence[Any], conditions: bytes) -> tuple[Entry, ...]:
    return tuple(
        Entry(rule, position, severity, tuple(roles), since, until, tuple(quick), conditions[start:end])
        for rule, position, severity, roles, since, until, quick, start, end in rows
    )


def _by_key(rows: Mapping[str, Sequence[Any]], conditions: bytes) -> dict[str, tuple[Entry, ...]]:
    return {key: _entries(found, conditions) for key, found in rows.items()}


def _body(rule: Rule) -> dict[str, Any]:
    plain = {name: getattr(rule, name) for name in rule.__struct_fields__ if name not in _NESTED}
    return plain | {
        "path": _relative(rule.path),
        "on": [to_builtins(trigger) for trigger in rule.on],
        "remedies": [to_builtins(rung) for rung in rule.remedies],
    }


def _relative(path: str) -> str:
    """Return the path of one of the program's own rules as it is in every installation."""
    own = places.own_folder()
    return Path(path).relative_to(own).as_posix() if Path(path).is_relative_to(own) else path


def _rule(body: Mapping[str, Any]) -> Rule:
    made: dict[str, Any] = _tuples(body, ("references", "rows", "roles", "explains"))
    made["on"] = tuple(Trigger(**_tuples(row, ("find", "near", "not_near"))) for row in body["on"])
    made["remedies"] = tuple(Rung(**_tuples(row, ("unset",))) for row in body["remedies"])
    return Rule(**made)


def _tuples(row: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: tuple(value) if key in keys else value for key, value in row.items()}
