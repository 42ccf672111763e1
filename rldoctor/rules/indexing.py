"""The compiled index: triggers as the matcher walks them, and each rule's body when it is asked for.

Loading does not grow with the rules: it reads the triggers alone, and those of logs only for logs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from rldoctor import compiled, vocabulary
from rldoctor.compiled import Twin
from rldoctor.expr import Node
from rldoctor.rules import places
from rldoctor.rules.schema import Rule, Rung, Trigger
from rldoctor.types import RLDoctorError, Role, Severity
from rldoctor.vocabulary import unknown_word


@dataclass(frozen=True, slots=True)
class Entry:
    """A trigger without the rest of its rule: the ``position``-th of its ``on``, counted from 0.

    ``conditions`` are those of the rule and of the trigger; all have to hold.
    """

    rule: str
    position: int
    severity: Severity
    roles: tuple[Role, ...]
    since: Mapping[str, str]
    until: Mapping[str, str]
    conditions: tuple[Node, ...]


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
    def config(self) -> tuple[Entry, ...]:
        """All configuration triggers."""
        return _entries(self._twin.part("config"))

    @cached_property
    def log(self) -> Mapping[str, tuple[Entry, ...]]:
        """Log triggers by each pattern of their ``find``."""
        return _by_key(self._twin.part("log"))

    @cached_property
    def events(self) -> Mapping[str, tuple[Entry, ...]]:
        """Event triggers by kind."""
        return _by_key(self._twin.part("event"))

    @cached_property
    def metrics(self) -> Mapping[str, tuple[Entry, ...]]:
        """Metric triggers by name."""
        return _by_key(self._twin.part("metric"))

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """Every pattern of ``find``, ``near`` and ``not_near``: what a log has to be scanned for."""
        return tuple(self._twin.part("patterns"))

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
    known = {rule.id: rule for rule in sorted(rules, key=lambda rule: rule.id)}
    by_kind: dict[str, dict[str, list[Any]]] = {kind: defaultdict(list) for kind in _KEYS}
    config: list[Any] = []
    patterns: dict[str, None] = {}
    for rule in known.values():
        for position, trigger in enumerate(rule.on):
            entry = _entry(rule, position, trigger)
            patterns |= dict.fromkeys((*trigger.find, *trigger.near, *trigger.not_near))
            if trigger.kind == "config":
                config.append(entry)
                continue
            for key in _KEYS[trigger.kind](trigger):
                by_kind[trigger.kind][key].append(entry)
    bodies = {f"rule/{name}": _body(rule) for name, rule in known.items()}
    return {"ids": list(known), "config": config, **by_kind, "patterns": list(patterns), **bodies}


_KEYS: Mapping[str, Any] = {
    "log": lambda trigger: trigger.find,
    "event": lambda trigger: [trigger.event],
    "metric": lambda trigger: [trigger.metric],
}


_NESTED: Final = ("on", "remedies", "tests")


def _entry(rule: Rule, position: int, trigger: Trigger) -> list[Any]:
    conditions = [node for node in (rule.when, trigger.when) if node is not None]
    severity = trigger.severity or rule.severity
    return [rule.id, position, severity, rule.roles, rule.since, rule.until, conditions]


def _entries(rows: Sequence[Any]) -> tuple[Entry, ...]:
    return tuple(
        Entry(rule, position, severity, tuple(roles), since, until, tuple(conditions))
        for rule, position, severity, roles, since, until, conditions in rows
    )


def _by_key(rows: Mapping[str, Sequence[Any]]) -> dict[str, tuple[Entry, ...]]:
    return {key: _entries(found) for key, found in rows.items()}


def _body(rule: Rule) -> dict[str, Any]:
    plain = {item.name: getattr(rule, item.name) for item in fields(rule) if item.name not in _NESTED}
    return plain | {
        "path": _relative(rule.path),
        "on": [asdict(trigger) for trigger in rule.on],
        "remedies": [asdict(rung) for rung in rule.remedies],
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
