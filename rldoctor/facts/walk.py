"""The one walk to facts: settings, rows, model, the system's own formulas, what follows, what exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor import dialects, vocabulary
from rldoctor.dialects import Detection, Dialect, Row, grammar, release
from rldoctor.dialects.release import InUse, in_use
from rldoctor.facts import modelled
from rldoctor.facts.basefile import below, reader_of
from rldoctor.facts.derive import derive
from rldoctor.facts.line_ends import line_ends
from rldoctor.facts.present import allocated, asked_by_launcher, counted, joined, launched, present
from rldoctor.facts.table import NO_ARGUMENTS, Table, hear
from rldoctor.facts.told import Key, ToldFacts, split, typed
from rldoctor.types import (
    ROLES,
    UNKNOWN,
    Command,
    Document,
    Fact,
    Origin,
    RLDoctorError,
    Role,
    Setting,
    State,
)

FEW: Final = 8
MOST_LAUNCHES: Final = 64


NAMING: Final = frozenset(("--megatron-config-path", "--sglang-config"))


class Named(Struct, frozen=True):
    """A command as files beside its flags have it, with what they say of other roles."""

    document: Document
    command: Command
    facts: tuple[Fact, ...] = ()


class UnknownSystemError(RLDoctorError):
    """A document that may be anything: nobody can tell which system it is for."""


class Start(Struct, frozen=True):
    """What a walk starts from; a change of facts walks again from here."""

    told: ToldFacts
    command: Command | None = None
    below: tuple[Setting, ...] = ()
    launchers: tuple[Fact, ...] = ()
    complete: bool = True
    assumes: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    release: InUse | None = None
    of_files: tuple[Fact, ...] = ()
    shipped: frozenset[str] = frozenset()


class Facts(Struct, frozen=True):
    """The facts of one launched system in one world of a document. ``system`` None: nobody knows which."""

    system: str | None
    systems: tuple[str, ...]
    document: Document | None
    world: tuple[Command, ...]
    start: Start
    table: Table | None = None

    @property
    def unproven(self) -> str | None:
        """Return what is taken for granted where nobody looked at the checks of what is launched."""
        if self.table is None or self.start.command is None or not self.table.dialect.hydra:
            return None
        system, program = self.table.system, self.start.command.program
        if program and not grammar.is_entry(system, program):
            return f"{program} refuses what {system}'s own trainer refuses"
        if release.is_before(system, self.table.version):
            return f"{system} {self.table.version} refuses what later releases refuse"
        return None

    def fact(self, concept: str, role: Role = "policy") -> Fact:
        """Return the fact of a concept; its value is None or UNKNOWN where there is none."""
        if self.table is not None:
            return self.table.fact(concept, role)
        told = _given(self.start)
        if (role, concept) in told:
            value = told[role, concept]
            return Fact(role, concept, value, Origin("set", f"{concept}={value}"))
        return Fact(role, concept, UNKNOWN, Origin("default"), "unknown")

    def value(self, name: str) -> Any:
        """Return the value of an expression's name: a concept, ``env.X``, ``version.X`` or ``system``."""
        if name == "system":
            return UNKNOWN if self.system is None else self.system
        if name.startswith("version."):
            return self._version(name[8:])
        fact = self.resolve(name)
        return UNKNOWN if fact is None else fact.value

    def resolve(self, name: str) -> Fact | None:
        """Return the fact behind an expression's name, None if it names none."""
        if name.startswith("env."):
            return self._environment(name[4:])
        key = split(name)
        return None if key is None else self.fact(key[1], key[0])

    def written(self, name: str) -> Any:
        """Return what the user wrote, in the concept's words; None if nothing."""
        key = split(name)
        if self.table is None or key is None:
            fact = self.resolve(name)
            return fact.value if fact is not None and fact.origin.kind == "written" else None
        setting = self.table.setting(key[1], key[0]) if self.start.shipped else None
        if setting is not None and setting.place and setting.place.file in self.start.shipped:
            return None  # a default of the tree's own
        return self.table.written(key[1], key[0])

    def is_given(self, name: str) -> bool:
        """Say whether the value of an expression's name, which nobody knows, is surely something."""
        return self.table is not None and self.table.is_given(name)

    def setting(self, concept: str, role: Role = "policy") -> tuple[Command, Setting] | None:
        """Return the setting that an edit of the concept would change, None where a new one is added.

        What stands in a config file below the command is left alone: others may use that file.
        """
        if self.table is None:
            return None
        if concept.startswith("env."):
            found = self.table.spoken.env.get(concept[4:])
        else:
            found = self.table.setting(concept, role)
        if found is None or any(found is each for each in self.start.below):
            return None
        return (self.table.command, found)

    def row(self, concept: str, role: Role = "policy") -> Row | None:
        """Return the row that gives the concept, or would take a new value."""
        return None if self.table is None else self.table.row(concept, role)

    def command(self, concept: str, role: Role = "policy") -> Command | None:
        """Return the command that a new argument or variable of the concept belongs to."""
        return self.start.command

    def changed(self, changes: Mapping[str, Any]) -> Facts:
        """Return the facts as they would be; a value of None means that the setting is taken away."""
        start = replace(self.start, changes={**self.start.changes, **changes})
        return _facts(self.system, self.systems, self.document, self.world, start)

    def under(self, release: str) -> Facts:
        """Return the facts as another release of the system would have them."""
        start = replace(self.start, release=InUse(release, (f"{self.system} {release}",)))
        return _facts(self.system, self.systems, self.document, self.world, start)

    def mended(self, names: Mapping[str, str], words: Mapping[str, str]) -> Facts:
        """Return the facts as they would be with keys and sections under right names, and right words."""

        def right(setting: Setting) -> Setting:
            old = next((name for name in names if f"{setting.key}.".startswith(f"{name}.")), "")
            value = words.get(setting.key, setting.value)
            return replace(setting, key=names.get(old, "") + setting.key[len(old) :], value=value)

        command = self.start.command or Command("")
        command = replace(command, settings=tuple(right(each) for each in command.settings))
        start = replace(self.start, command=command, below=tuple(right(each) for each in self.start.below))
        return _facts(self.system, self.systems, self.document, self.world, start)

    def all(self) -> tuple[Fact, ...]:
        """Return every fact that has a value or hangs on something, in the vocabulary's order."""
        if self.table is None:
            return ()
        for role, concept in (*self.table.rows, *self.table.given):
            self.table.fact(concept, role)
        order = {concept: i for i, concept in enumerate(vocabulary.load().concepts)}
        facts = sorted(self.table.facts.values(), key=lambda fact: order.get(fact.concept, 0))
        return tuple(fact for fact in facts if fact.value is not None)

    @property
    def roles(self) -> tuple[Role, ...]:
        """Return the roles that the run has, as far as anybody knows."""
        return tuple(role for role in ROLES if self.table is None or self.table.in_use(role))

    def _environment(self, name: str) -> Fact:
        if self.table is not None:
            return self.table.environment(name)
        told = {**self.start.told.env, **_environment_of(self.start.changes)}
        value = told.get(name, UNKNOWN)
        state: State = "unknown" if value is UNKNOWN else "known"
        return Fact("policy", f"env.{name}", value, Origin("set", f"{name}={value}", name), state)

    def _version(self, system: str) -> Any:
        told = self.start.told.versions.get(system)
        if told is not None:
            return told
        if self.table is not None and system == self.system:
            return self.table.version or UNKNOWN
        engine = system in dialects.NAMES and self.system is not None and system not in self.systems
        return None if engine and not _is_engine(system) else UNKNOWN


def walk(document: Document | None, told: ToldFacts) -> tuple[Facts, ...]:
    """Return the facts of each world and launched system; one without facts where there is no document.

    A document whose system nobody can tell gives nothing: name it in ``told.system``.
    """
    if document is None:
        return (_facts(told.system, (), None, (), Start(told)),)
    detections = _detected(document)
    walked: list[Facts] = []
    for number, world in enumerate(document.worlds):
        here = [each for each in detections if each.world == number]
        systems = tuple(dict.fromkeys(each.system for each in here if each.certainty == "certain"))
        sure = [each for each in here if each.certainty == "certain"]
        for system, command in _distinct(_trained(world, here, told.system)):
            base = below(document, command, dialects.load(system))
            files = _named(base.document, command, system)
            start = Start(
                told,
                files.command,
                base.settings,
                allocated(document, joined(document, launched(sure, world, command))),
                base.complete,
                base.assumes,
            )
            used = _release(start, files.document, dialects.load(system).of(command.program))
            of_files = (*files.facts, *_based_on(base.base), *line_ends(document))
            start = replace(start, release=used, of_files=of_files, shipped=base.shipped)
            every = tuple(dict.fromkeys((system, *systems)))
            walked.append(_facts(system, every, files.document, world, start))
    return tuple(walked)


def _detected(document: Document) -> tuple[Detection, ...]:
    """Return who speaks: told by programs and keys, else by the config file that a command names."""
    found = dialects.detect(document)
    sure = {id(command) for each in found if each.certainty == "certain" for command in each.commands}
    read = [
        Detection(system, (command,), "certain", number)
        for number, world in enumerate(document.worlds)
        for command in world
        if id(command) not in sure and (system := reader_of(document, command)) is not None
    ]
    return (*found, *read)


def walk_known(document: Document, told: ToldFacts) -> tuple[Facts, ...]:
    """Return the facts of a document; UnknownSystemError, with candidates, where its system is not told."""
    found = walk(document, told)
    if found:
        return found
    from rldoctor.facts.cut import first_cut
    from rldoctor.facts.manifests import started_by

    candidates = tuple(dict.fromkeys(each.system for each in dialects.detect(document) if not each.launcher))
    hint = f"it may be {' or '.join(candidates)}" if candidates else f"known: {', '.join(dialects.NAMES)}"
    message, line = "cannot tell which system this is for; name it with --system", 0
    key = started_by(document) if document.kind == "yaml" else None
    if key is not None:
        message = f"{key} is the command of a launch, and the rest its job manager's"
        hint = "give the command alone: pasted to `rldoctor check -`, or in a script of its own"
    trouble = next(iter(document.problems), None) or first_cut(document)
    if trouble is not None:
        message, line = f"{trouble.message}; {message}", trouble.line
    raise UnknownSystemError(message, file=document.path, line=line, hint=hint)


def _named(document: Document, command: Command, system: str) -> Named:
    """Return the command with what files for roles and engines say, where it names some."""
    if NAMING.isdisjoint(setting.key for setting in command.settings):
        return Named(document, command)
    from rldoctor.facts import rolefiles

    return Named(*rolefiles.named(document, command, dialects.load(system)))


def _based_on(name: str | None) -> Iterator[Fact]:
    """Yield what configuration the user's own one stands on: that one gives its defaults."""
    if name is not None:
        yield Fact("policy", "run.config_name", name, Origin("written", f"defaults: {name}", "defaults"))


def _distinct(launches: Iterator[tuple[str, Command]]) -> Iterator[tuple[str, Command]]:
    """Yield launches, each once: a loop may give thousands of the same, and of others too many to look at."""
    every = list(launches)
    if len(every) <= FEW:
        yield from every
        return
    yield from list({repr(each): each for each in every}.values())[:MOST_LAUNCHES]


def _trained(
    world: Sequence[Command], here: Sequence[Detection], told: str | None
) -> Iterator[tuple[str, Command]]:
    """Yield system and command of everything that a world launches."""
    if told is None:
        for detection in here:
            if detection.certainty == "certain" and not detection.launcher:
                yield from ((detection.system, command) for command in detection.commands)
        return
    spoken = [command for each in here if each.system == told for command in each.commands]
    if not spoken:
        spoken = sorted(world, key=lambda command: len(command.settings))[-1:]
    yield from ((told, command) for command in spoken)


def _facts(
    system: str | None,
    systems: tuple[str, ...],
    document: Document | None,
    world: tuple[Command, ...],
    start: Start,
) -> Facts:
    if system is None:
        return Facts(None, systems, document, world, start)
    return Facts(system, systems or (system,), document, world, start, _table(system, start, document))


def _table(system: str, start: Start, document: Document | None) -> Table:
    spoken, told = hear(start.command or Command(""), start.below), start.told
    dialect = dialects.load(system).of(spoken.command.program)
    used = start.release or _release(start, document, dialect)
    table = Table(
        dialect,
        spoken,
        used.version,
        used.assumes,
        is_told=used.sure,
        given=_given(start),
        env={**told.env, **_environment_of(start.changes)},
        told=frozenset(typed(told.set)) - {split(name) for name in start.changes},
        complete=start.command is not None and start.complete,
        started=start.command is not None,
        hidden=(*start.assumes, *_hidden(start.command)),
    )
    table.put(
        Fact("policy", "run.program", spoken.command.program, Origin("derived", spoken.command.program))
    )
    if table.started:
        _complete(table, start, document)
    return table


def _release(start: Start, document: Document | None, dialect: Dialect) -> InUse:
    """Return the release that a command is for: told, asked for beside the file, or read from the keys."""
    told = start.told.versions.get(dialect.system, start.told.versions.get(""))
    if told is not None:
        return InUse(told, sure=True)
    path = document.path if document is not None and document.kind != "log" else None
    return in_use(dialect, start.command or Command(""), start.below, path)


def _hidden(command: Command | None) -> tuple[str, ...]:
    """Return what stands for words of a command that nobody could read."""
    assumes = command.assumes if command is not None else ()
    return tuple(text for text in assumes if text.endswith(NO_ARGUMENTS))


def _given(start: Start) -> dict[Key, Any]:
    """Return the values that stand above all settings: changes over what was told."""
    changes = {key: value for name, value in start.changes.items() if (key := split(name)) is not None}
    return {**typed(start.told.set), **changes}


def _complete(table: Table, start: Start, document: Document | None) -> None:
    asked_by_launcher(table, start.launchers)
    counted(table)
    for fact in start.of_files:
        table.put(fact)
    modelled.models(table, document)
    compute = dialects.computed(table.dialect)
    for fact in compute(table) if compute is not None else ():
        table.put(fact)
    for fact in start.of_files:  # what a role's own file says stands above what follows for it
        table.put(fact)
    derive(table)
    modelled.checkpoints(table, document)
    present(table, start.launchers)


def _environment_of(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name[4:]: value for name, value in changes.items() if name.startswith("env.")}


def _is_engine(system: str) -> bool:
    return system in ("vllm", "sglang")
