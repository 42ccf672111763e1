"""The facts of one command: rows are asked when their fact is, each once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor import dialects, expr
from rldoctor.dialects import Dialect, Row
from rldoctor.dialects.versions import in_force, version_key
from rldoctor.facts.told import Key, split
from rldoctor.types import UNKNOWN, Command, Fact, Origin, OriginKind, Role, Setting, State

NOTHING: Final = Origin("default")
NO_ARGUMENTS: Final = "adds no arguments"
_REFERENCE: Final = re.compile(r"\$\{(?:oc\.select:)?([\w./+-]+)(?:,([^${}]*))?\}")


class Spoken(Struct, frozen=True):
    """A command as a dialect hears it: its settings by key, the last of a key counting."""

    command: Command
    settings: Mapping[str, Setting]
    env: Mapping[str, Setting]


def hear(command: Command, below: Sequence[Setting] = ()) -> Spoken:
    """Return a command's settings by key, above those of the config file that it names."""
    settings = {setting.key: setting for setting in (*below, *command.settings)}
    for number, word in enumerate(command.positional):
        settings[f"@{number}"] = _positional(f"@{number}", word)
    return Spoken(command, settings, {setting.key: setting for setting in command.env})


def _positional(key: str, word: str) -> Setting:
    state: State = "unknown" if "$" in word or "`" in word else "known"
    return Setting(key, word, "flag", state=state, depends=(word,) if state == "unknown" else ())


class Table(Struct):
    """Facts by role and concept. ``given`` stands above all: what a person told, what a remedy would set.

    A table that is not ``complete`` does not know the whole configuration: what is not written stays
    unknown. One that is not ``started`` knows no command at all. ``hidden`` says what a default takes for
    granted: that words or files which could not be read leave it alone. ``is_told``: the version is more than
    a guess from the keys.
    """

    dialect: Dialect
    spoken: Spoken
    version: str | None
    assumes: tuple[str, ...] = ()
    given: Mapping[Key, Any] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)
    told: frozenset[Key] = frozenset()
    complete: bool = True
    started: bool = True
    hidden: tuple[str, ...] = ()
    is_told: bool = False
    facts: dict[Key, Fact] = field(default_factory=dict)
    rows: dict[Key, list[Row]] = field(default_factory=dict)
    active: dict[Key, Row | None] = field(default_factory=dict)
    asked: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Sort the rows that exist in this release by what they speak of."""
        for row in self.dialect.rows:
            if in_force(row, self.version):
                self.rows.setdefault((row.role, row.concept), []).append(row)

    @property
    def command(self) -> Command:
        """Return the command that the facts are about."""
        return self.spoken.command

    @property
    def system(self) -> str:
        """Return the system's name."""
        return self.dialect.system

    def get(self, concept: str, role: Role = "policy") -> Any:
        """Return a fact's value."""
        return self.fact(concept, role).value

    def written(self, concept: str, role: Role = "policy") -> Any:
        """Return what the user wrote in the concept's words, None if nothing."""
        fact = self._read(concept, role)
        return fact.value if fact is not None and fact.origin.kind == "written" else None

    def raw(self, key: str) -> Any:
        """Return the value of a key as written, None where it is not; UNKNOWN if it hangs on something."""
        setting = self.spoken.settings.get(key)
        if setting is None:
            return None
        return UNKNOWN if setting.state == "unknown" else setting.value

    def put(self, fact: Fact) -> None:
        """Take a derived fact over what rows say, but not over what was told."""
        key = (fact.role, fact.concept)
        if key in self.given or not self.in_use(fact.role):
            return
        inputs = [self.fact(concept, role) for role, concept in fact.origin.inputs if (role, concept) != key]
        assumes = dict.fromkeys(text for each in (*inputs, fact) for text in each.assumes)
        depends = dict.fromkeys(name for each in (fact, *inputs) for name in each.depends)
        unsure = fact.state == "known" and any(each.state == "assumed" for each in inputs)
        self.facts[key] = replace(
            fact,
            system=self.system,
            state="assumed" if unsure else fact.state,
            assumes=tuple(assumes),
            depends=tuple(depends) if fact.value is UNKNOWN else fact.depends,
        )

    def fact(self, concept: str, role: Role = "policy") -> Fact:
        """Return the fact; a concept that the system has no row for is a known None."""
        key: Key = (role, concept)
        if key not in self.facts:
            if key in self.asked:  # a row's condition that hangs on itself
                return self._nothing(key)
            self.asked.add(key)
            found = self._given(key) or (self._read(concept, role) if self.in_use(role) else None)
            self.facts.setdefault(key, found or self._nothing(key))
            self.asked.discard(key)
        return self.facts[key]

    def setting(self, concept: str, role: Role = "policy") -> Setting | None:
        """Return the setting that gives the fact, None where it is not written."""
        row = self.row(concept, role)
        return None if row is None else self._setting(row)

    def row(self, concept: str, role: Role = "policy") -> Row | None:
        """Return the row that gives the fact or would take a new value."""
        key: Key = (role, concept)
        if key not in self.active:
            self._read(concept, role)
        return self.active[key]

    def in_use(self, role: Role) -> bool:
        """Say whether the run has this role; where nobody knows, it has."""
        node = self.dialect.roles.get(role)
        if node is None:
            return role == "policy" or any(known == role for known, _ in self.rows)
        value = expr.evaluate(node, self)
        return value is UNKNOWN or bool(value)

    def lookup(self, name: str) -> Any:
        """Return the value of a name in a row's condition."""
        if name == "system":
            return self.system
        if name.startswith("version."):
            return self.version if name == f"version.{self.system}" else None
        if name.startswith("env."):
            return self.environment(name[4:]).value
        key = split(name)
        return UNKNOWN if key is None else self.get(key[1], key[0])

    def call(self, function: str, args: Sequence[expr.Node], keywords: Mapping[str, expr.Node]) -> Any:
        """Return UNKNOWN: rows call no functions."""
        return UNKNOWN

    def is_given(self, name: str) -> bool:
        """Say whether a concept's value, which nobody knows, is surely something."""
        key = split(name)
        setting = self.setting(key[1], key[0]) if key is not None else None
        return setting is not None and setting.is_filled

    def environment(self, name: str) -> Fact:
        """Return the fact of an environment variable: unset is a known None."""
        concept = f"env.{name}"
        if name in self.env:
            return Fact("policy", concept, self.env[name], Origin("set", f"{name}={self.env[name]}", name))
        setting = self.spoken.env.get(name)
        if setting is None or setting.form == "delete":
            absent = Origin("default", key=name)
            if self.started:
                return Fact("policy", concept, None, absent)
            return Fact("policy", concept, UNKNOWN, absent, "unknown")
        return self._from_setting((("policy", concept)), setting, lambda value: value)

    def _given(self, key: Key) -> Fact | None:
        if key not in self.given or (self.given[key] is None and key not in self.told):
            return None
        value, row = self.given[key], self.row(key[1], key[0])
        text = f"{key[1]}={value}"
        return Fact(
            *key, value, Origin("set", text, row.key if row is not None else None), "known", self.system
        )

    def _nothing(self, key: Key) -> Fact:
        if self.complete or (self.started and key not in self.rows):
            return Fact(*key, None, NOTHING, "known", self.system)
        return Fact(*key, UNKNOWN, NOTHING, "unknown", self.system)

    def _read(self, concept: str, role: Role) -> Fact | None:
        """Return what rows say: the first active row that is written, else the first with a default."""
        key: Key = (role, concept)
        rows = self.rows.get(key, [])
        states = [(row, True if row.when is None else self._holds(row)) for row in rows]
        for row, holds in states:
            setting = self._setting(row)
            if holds is not False and setting is not None and not self._unset(key):
                self.active[key] = row
                return self._from_setting(key, setting, lambda value, row=row: self._decoded(row, value))
        live = [row for row, holds in states if holds is True]
        self.active[key] = live[0] if live else None
        return self._default(key, live, [row for row, holds in states if holds is UNKNOWN])

    def _unset(self, key: Key) -> bool:
        return key in self.given and self.given[key] is None

    def may_hold(self, row: Row) -> bool:
        """Say whether a row counts as far as is known."""
        return self._holds(row) is not False

    def _holds(self, row: Row) -> Any:
        value = expr.evaluate(row.when, self) if row.when is not None else True
        return UNKNOWN if value is UNKNOWN else bool(value)

    def _setting(self, row: Row) -> Setting | None:
        spoken = self.spoken.env if row.env else self.spoken.settings
        found = (spoken.get(name) for key in row.keys for name in _spellings(key))
        return next((setting for setting in found if setting is not None and setting.form != "delete"), None)

    def _default(self, key: Key, live: Sequence[Row], unsure: Sequence[Row]) -> Fact | None:
        if not self.complete:
            return self._nothing(key)
        if not live and unsure:
            return self._undecided(key, unsure)
        for row in live:
            value = dialects.default(row, self.version)
            if (isinstance(value, str) and "${" in value) or self._follows(row):
                value = self._interpolated(row, self._theirs(row))
            if value is not None:
                before = [
                    other for other in unsure if self.rows[key].index(other) < self.rows[key].index(row)
                ]
                if any(dialects.default(other, self.version) not in (None, value) for other in before):
                    return self._undecided(key, before)
                self.active[key] = row
                return self._from_default(key, row, value)
        return self._from_default(key, live[0], None) if live else None

    def _undecided(self, key: Key, unsure: Sequence[Row]) -> Fact:
        """Return the fact of a concept whose default hangs on what nobody told."""
        depends = tuple(dict.fromkeys(name for row in unsure for name in self._unknown_names(row)))
        return Fact(*key, UNKNOWN, NOTHING, "unknown", self.system, depends)

    def _unknown_names(self, row: Row) -> list[str]:
        names = expr.names(row.when) if row.when is not None else ()
        return [name for name in names if self.lookup(name) is UNKNOWN]

    def _from_default(self, key: Key, row: Row, value: Any) -> Fact:
        release = f"{self.system} {self.version}" if self.version else self.system
        origin = Origin("default", f"default of {release}", row.key)
        unread = any(text.endswith(NO_ARGUMENTS) for text in self.hidden)
        if value is UNKNOWN or (value is None and unread):  # what nobody could read may well give it
            return Fact(*key, UNKNOWN, origin, "unknown", self.system, (row.key,), self.assumes)
        state: State = "assumed" if self.hidden else "known"
        return Fact(*key, value, origin, state, self.system, (), (*self.assumes, *self.hidden))

    def _from_setting(self, key: Key, setting: Setting, decode: Any) -> Fact:
        origin = _written(setting)
        if setting.state == "unknown":
            depends = setting.depends or (setting.key,)
            return Fact(*key, UNKNOWN, origin, "unknown", self.system, depends, setting.assumes)
        value = decode(setting.value)
        if value is UNKNOWN:
            depends = setting.depends or (setting.key,)
            return Fact(*key, UNKNOWN, origin, "unknown", self.system, depends, setting.assumes)
        return Fact(*key, value, origin, setting.state, self.system, setting.depends, setting.assumes)

    def _decoded(self, row: Row, value: Any) -> Any:
        if isinstance(value, str) and "${" in value:
            return self._interpolated(row, value)
        return dialects.decode(row, value)

    def _theirs(self, row: Row) -> Any:
        theirs = row.default
        for since, value in row.defaults:
            if self.version is None or version_key(since) <= version_key(self.version):
                theirs = value
        return theirs

    def _follows(self, row: Row) -> bool:
        theirs = self._theirs(row)
        return isinstance(theirs, str) and "${" in theirs

    def _interpolated(self, row: Row, text: str) -> Any:
        """Return the value of a text that follows other keys, UNKNOWN where one of them is not known here."""
        whole = _REFERENCE.fullmatch(text.strip())
        if whole is not None:
            ours = self._of_key(whole[1], row)
            return dialects.decode(row, whole[2]) if ours is None and whole[2] else ours
        parts = [(found, self._of_key(found[1], row)) for found in _REFERENCE.finditer(text)]
        if (
            row.type not in ("str", "path")
            or not parts
            or any(value in (None, UNKNOWN) for _, value in parts)
        ):
            return UNKNOWN
        for found, value in parts:
            text = text.replace(found[0], str(value))
        return UNKNOWN if "${" in text else text

    def _of_key(self, key: str, row: Row) -> Any:
        """Return the value of another key: a change's, the written one, else its row's default."""
        mark: Key = (row.role, f"${{{key}}}")
        if key in row.keys or mark in self.asked:  # keys that follow each other in a ring
            return UNKNOWN
        self.asked.add(mark)
        value = self._at_key(key, row)
        self.asked.discard(mark)
        return value

    def _at_key(self, key: str, row: Row) -> Any:
        same = [r for r in self.dialect.rows if key in r.keys and in_force(r, self.version) and not r.enum]
        setting = self.spoken.settings.get(key)
        changed = any((other.role, other.concept) in self.given for other in same)
        if setting is not None and setting.form != "delete" and not changed:
            return UNKNOWN if setting.state == "unknown" else self._decoded(row, setting.value)
        return self.get(same[0].concept, same[0].role) if same else UNKNOWN


def shortened(key: str) -> str:
    """Return a long dotted key by its telling ends."""
    parts = key.split(".")
    return key if key.startswith("-") or len(parts) < 4 else f"{parts[1]}…{parts[-1]}"


def _written(setting: Setting) -> Origin:
    value = setting.value
    if setting.key.startswith("-"):
        text = setting.key if value is True else f"{setting.key} {_words(value)}"
    else:
        text = f"{shortened(setting.key)}={_words(value)}"
    kind: OriginKind = "written"
    return Origin(kind, text, setting.key, setting.place)


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return "null" if value is None else str(value)


def _spellings(key: str) -> tuple[str, ...]:
    """Return a key, and a flag with underscores too: forks of Megatron-LM write them so."""
    inner = key[2:] if key.startswith("--") else ""
    return (key, f"--{inner.replace('-', '_')}") if "-" in inner else (key,)
