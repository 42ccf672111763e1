"""Settings that a system does not understand as they are written, as events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Final

from msgspec.structs import replace

from rldoctor.dialects import catalogue, fitting, grammar, misplaced, nearby, release, suggest
from rldoctor.dialects.catalogue import Known
from rldoctor.dialects.grammar import Grammar
from rldoctor.dialects.launch import Launch
from rldoctor.types import UNKNOWN, Command, Event, LogLine, Setting

_REFERENCE: Final = r"\$\{([A-Za-z_]\w*(?:\.\w+)+)\}"
_TWICE: Final = r"(?P<key>.+) stands at (?P<line>\d+):\d+ already"
FEW: Final = 2
MANY: Final = 5
"""Unknown flags of one launch that may all be meant for something: those of LoRA where there is none."""
_OLDER: Final = ("renamed_key", "removed_key")
_OPEN: Final = r"(.+\.(?:engine_kwargs\.\w+|(?!engine_)\w+_kwargs|override_\w*config))\.\w"
_SWITCHES: Final = ("flag", "list", "any")


def strange(launch: Launch) -> tuple[Event, ...]:
    """Return what a system would not understand of a command; nothing where nobody can tell."""
    if not catalogue.has(launch.system):
        return ()
    releases = catalogue.load(launch.system).nearby(launch.version)
    if release.is_before(launch.system, launch.version) and not launch.below:
        return ()

    def read(command: Command) -> tuple[Event, ...]:
        return _in_releases(replace(launch, command=command), releases)

    others = partial(misplaced.configs, launch.system, releases[-1], launch.command, launch.below)
    found = misplaced.without_followers(launch.command, read(launch.command), read, others)
    return (
        *found,
        *_leftovers(launch, found),
        *misplaced.misnamed(launch.system, releases, launch.command, launch.below),
    )


def _in_releases(launch: Launch, releases: Sequence[str]) -> tuple[Event, ...]:
    built = [grammar.of(launch.system, each, launch.command, launch.below) for each in releases]
    grammars = [(each, one) for each, one in zip(releases, built, strict=True) if one is not None]
    return tuple(_Reading(launch, *grammars[-1], [one for _, one in grammars]).events()) if grammars else ()


def _leftovers(launch: Launch, found: Sequence[Event]) -> Iterator[Event]:
    """Yield the one key that the newest release does not have, where it alone speaks for an older one."""
    if launch.sure:
        return
    newest = release.leftover(launch.system, launch.version, launch.command, launch.below)
    seen = {event.fields["written"] for event in found}
    for event in _in_releases(launch, (newest,)) if newest is not None else ():
        fields = event.fields
        if fields["written"] in seen or not (event.kind in _OLDER or fields.get("absent")):
            continue
        patch = release.is_next_patch(launch.system, str(newest), launch.version)
        same = patch or fields["consequence"] == "ignored" or (event.kind == _OLDER[1] and fields.get("why"))
        fate = fields["consequence"] if same else "unclear"
        yield replace(event, fields={**fields, "certain": False, "guessed": True, "consequence": fate})


class _Reading:
    """One command, read with the grammars of the releases it may be for; the newest speaks."""

    def __init__(self, launch: Launch, release: str, own: Grammar, every: Sequence[Grammar]) -> None:
        self.launch, self.release, self.grammar, self.every = launch, release, own, every
        self.catalogue = catalogue.load(launch.system)
        self.given = {setting.key for setting in own.settings}
        self.told: set[str] = set()

    def events(self) -> Iterator[Event]:
        """Yield what is strange, in the order of the file."""
        yield from self._twice_in_yaml()
        yield from self._twice(self.grammar.settings)
        for setting in {s.key: s for s in (*self.grammar.base, *self.grammar.settings)}.values():
            if not self.grammar.is_exempt(setting.key):
                yield from self._of(setting)
        yield from self._references()

    def _of(self, setting: Setting) -> Iterator[Event]:
        known = self._known(setting.key)
        if setting.form == "append":
            yield from self._appended(setting, known)
        elif known is None and not self._is_open(setting.key):
            yield from self._unknown(setting)
        elif known is None or not self._is_present(setting):
            about = {"nearest": f"+{setting.key}", "typo": True, "consequence": "refused", "absent": True}
            yield self._event("unknown_key", setting, **about)
        elif setting.state != "unknown" and self._is_judged:
            yield from self._misvalued(setting, known)

    @cached_property
    def _is_judged(self) -> bool:
        """Whether the values of known keys are read as upstream reads them."""
        nobodys = self.grammar.manner == "argparse" and not self.launch.command.program
        plain = self.grammar.manner == "hydra" and not self._is_fork
        return self.grammar.fate != "unclear" or ((nobodys or plain) and self._strangers <= FEW)

    def _known(self, key: str) -> Known | None:
        """Return what a key is in one of the releases that it may be for."""
        return next((found for each in reversed(self.every) if (found := each.find(key)) is not None), None)

    def _is_open(self, key: str) -> bool:
        """Say whether a key lies in a section that hands on whatever is added to it, with a plus."""
        section = re.match(_OPEN, key) if self.grammar.manner == "hydra" else None
        return section is not None and self._known(section[1]) is not None

    def _is_present(self, setting: Setting) -> bool:
        """Say whether the file below has a key, where an override must name one that it has."""
        present = self.grammar.present
        return present is None or setting.form != "override" or setting.key in present

    def _unknown(self, setting: Setting) -> Iterator[Event]:
        key = self._whole(setting)
        if key in self.told:
            return
        if key != setting.key:
            self.told.add(key)
        if nearby.holds(self._nearby, key):
            return
        row = suggest.renamed(key, self.catalogue.renames) if self.grammar.parts else None
        offered = [name for name in (row.new if row is not None else ()) if self._known(name)]
        new = next((name for name in offered if name not in self.given), next(iter(offered), None))
        since, until = self._lifetime(key)
        near = suggest.Suggestion(new) if new else self._nearest(key, setting)
        kind = (
            "renamed_key" if new is not None else "removed_key" if until or row is not None else "unknown_key"
        )
        fate = self._fate(key, kind, near)
        if fate is None:
            return
        yield self._event(
            kind,
            setting,
            nearest=near.key if near is not None else None,
            typo=near.typo if near is not None else False,
            taken=near is not None and near.key in self.given,
            since=since,
            until=until,
            why=row.why or None if row is not None else None,
            elsewhere=self._elsewhere(key),
            consequence=fate,
            certain=self.launch.sure or not (since or until),
            **({"key": key, "written": key, "value": None} if key != setting.key else {}),
        )

    def _whole(self, setting: Setting) -> str:
        """Return the key of a setting of YAML, or the section around it that is unknown as a whole."""
        if setting.form != "yaml":
            return setting.key
        parts = setting.key.split(".")
        above = (".".join(parts[:end]) for end in range(1, len(parts)))
        return next((name for name in above if self._known(name) is None), setting.key)

    def _fate(self, key: str, kind: str, near: suggest.Suggestion | None) -> str | None:
        """Return what becomes of an unknown key; None where it may well be a key of somebody's own."""
        top = self.grammar.open_top and "." not in key
        if top and kind != "unknown_key" and release.is_extended(self.catalogue, self.grammar.settings):
            return "unclear"
        if self.grammar.open_top and kind == "unknown_key" and self._known(key.partition(".")[0]) is None:
            slip = top and near is not None and near.typo and not self._has_section(near.key)
            return "refused" if slip else "unclear"
        if kind == "unknown_key" and self._is_fork:
            meant = near is not None and near.typo
            return {"hydra": "refused"}.get(self.grammar.manner, self.grammar.fate) if meant else "unclear"
        nobodys = self.grammar.manner == "argparse" and not self.launch.command.program
        slip = near is not None and (near.typo or (nobodys and self._strangers <= FEW))
        if self.grammar.fate == "unclear" and not slip and kind != "renamed_key":
            return None
        few = self._strangers <= FEW or (near is not None and suggest.distance(key, near.key) == 1)
        mistyped = slip and self.grammar.manner == "hydra" and few
        return "refused" if nobodys or (mistyped and kind == "unknown_key") else self.grammar.fate

    @cached_property
    def _is_fork(self) -> bool:
        """Whether more keys are of no release than anybody mistypes: somebody's own trainer has them."""
        told = (setting.key for setting in self.grammar.settings if setting.form in ("override", "flag"))
        every = {key for key in told if self._known(key) is None and not self.grammar.is_exempt(key)}
        most = MANY if self.grammar.manner == "argparse" else FEW
        return bool(self.grammar.parts) and sum(key not in self.catalogue for key in every) > most

    @cached_property
    def _strangers(self) -> int:
        """The number of keys that nobody knows: many are a program's own, one is a mistake."""
        return sum(self._known(setting.key) is None for setting in self.grammar.settings)

    def _has_section(self, name: str) -> bool:
        """Say whether a section is given, so that nothing else can be meant for it."""
        return any(key.startswith(f"{name}.") for key in self.given)

    def _lifetime(self, key: str) -> tuple[str | None, str | None]:
        """Return since when a later release has a key, or the release that no longer had it."""
        found = next((each for part in self.grammar.parts if (each := part.releases_of(key))), ())
        if not found or self._elsewhere(key):
            return None, None
        every = self.grammar.parts[0].catalogue.releases
        here = every.index(self.release)
        older = [every.index(each) for each in found if each in every[:here]]
        if older:
            return None, every[max(older) + 1]
        return next((each for each in found if each in every[here + 1 :]), None), None

    def _elsewhere(self, key: str) -> str | None:
        """Return another configuration of the release that has a key."""
        here = bool(self.grammar.parts) and key in self.catalogue
        names = self.catalogue.roots_of(key, self.release) if here else ()
        return names[0].rpartition("/")[2].replace("+", " with ") if names else None

    def _nearest(self, key: str, setting: Setting) -> suggest.Suggestion | None:
        if key != setting.key:
            return suggest.section(key, self._keys, self.given)
        from rldoctor.dialects import synonyms  # where a key is unknown

        free = synonyms.nearest(self.launch.system, key, self._keys, self.given)
        said = sorted(name for name in self.given if self._known(name) is not None)
        again = suggest.nearest(key, said) if free is None and key.startswith("-") else None
        return again if again is not None and again.typo else free

    @cached_property
    def _keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.grammar.keys()))

    @cached_property
    def _nearby(self) -> frozenset[str]:
        """The keys that the user's own source adds; read when something is unknown."""
        document, program = self.launch.document, self.launch.command.program
        if document is None or document.kind == "log":
            return frozenset()
        if self.grammar.manner == "argparse":
            return nearby.flags(program, document.path)
        if self.grammar.manner == "hydra":
            return nearby.overrides(program, document.path, grammar.config_name(self.launch.command))
        roots = self.catalogue.roots
        return nearby.fields(program, document.path, roots) if self.grammar.open_top else frozenset()

    def _appended(self, setting: Setting, known: Known | None) -> Iterator[Event]:
        """Yield a key that is added with a plus though the configuration has it: Hydra refuses that."""
        plus = self.launch.text(setting).lstrip("'\"")
        plain = str(setting.value)[:1] not in "[{" and plus.startswith("+") and not plus.startswith("++")
        present = self.grammar.present
        there = (
            setting.key in present if present is not None else known is not None and known.default is not None
        )
        section = known is not None and known.kind in (catalogue.SECTION, "list")
        refused = there and not section and plain and self.grammar.fate != "unclear"
        if refused and (present is not None or not self._tree_lacks(setting.key)):
            yield self._event(
                "duplicate_key",
                setting,
                written=f"+{setting.key}",
                nearest=setting.key,
                consequence="refused",
                appended=True,
                certain=self.launch.sure
                or self.catalogue.mask(setting.key, self.catalogue.roots)
                == sum(self.catalogue.bits.values()),
            )

    def _tree_lacks(self, key: str) -> bool:
        """Say whether the tree's own configuration lacks a key that its release has; read at need."""
        own = nearby.beside(self._nearby, key) if self.grammar.manner == "hydra" else None
        return own is not None and key not in own

    def _misvalued(self, setting: Setting, known: Known) -> Iterator[Event]:
        """Yield a value of another release, of another type, or that is none of the choices."""
        manner, system = self.grammar.manner, self.launch.system
        row, known = self._refusal(setting), fitting.typed(known, system, setting.key)
        wanted = fitting.expected(known, setting.value, manner)
        if row is not None:
            yield self._event(
                "unknown_choice",
                setting,
                nearest=row.new[0] if row.new else None,
                until=row.until,
                why=row.why or None,
                consequence="refused",
                certain=self.launch.sure,
            )
        elif fitting.least(system, setting):
            least = {"expected": fitting.FROM_ONE, "usual": fitting.usual(known) or "1"}
            yield self._event("wrong_type", setting, **least, consequence="refused")
        elif wanted is not None and not self._is_another_ones(setting):
            fate = {"hydra": "unclear", "argparse": "refused"}.get(manner, self.grammar.fate)
            meant = fitting.meant(known, setting.value)
            about = {"expected": wanted, "nearest": meant, "usual": fitting.usual(known)}
            yield self._event("wrong_type", setting, **about, consequence=fate)
        elif not fitting.choice(known, setting.value, manner) and not self._is_added(setting):
            words = [str(word) for word in known.choices if word is not None]
            yield self._event(
                "unknown_choice",
                setting,
                nearest=suggest.word(fitting.word(setting), words),
                choices=words,
                usual=known.default if known.default in words else None,
                consequence="refused" if manner == "argparse" and self._strangers <= FEW else "unclear",
            )

    def _is_added(self, setting: Setting) -> bool:
        """Say whether the user's own source adds a word to those that a flag takes."""
        document = self.launch.document
        if document is None or document.kind == "log" or self.grammar.manner != "argparse":
            return False
        return nearby.says(self.launch.command.program, document.path, fitting.word(setting))

    def _refusal(self, setting: Setting) -> catalogue.Rename | None:
        """Return what every release that it may be for refuses of a value."""
        releases = [each.parts[0].release for each in self.every if each.parts] or [self.release]
        rows = [self.catalogue.refuses(setting.key, setting.value, each or self.release) for each in releases]
        return rows[-1] if all(rows) else None

    def _twice(self, settings: Iterable[Setting]) -> Iterator[Event]:
        """Yield flags and overrides that a command gives twice: only the last counts."""
        last: dict[str, Setting] = {}
        collected = _SWITCHES[:2] if self.grammar.manner == "hydra" else _SWITCHES
        for setting in settings:
            before, known = last.get(setting.key), self._known(setting.key)
            last[setting.key] = setting
            if before is None or known is None or known.kind in collected or setting.form == "yaml":
                continue
            if before.place is None or setting.place is None or "unknown" in (before.state, setting.state):
                continue
            if before.place.file == setting.place.file:  # a script may well override what it sources
                yield self._event(
                    "duplicate_key",
                    before,
                    expected=fitting.word(setting),
                    line=setting.place.line,
                    differs=fitting.word(before) != fitting.word(setting),
                    consequence="ignored",
                )

    def _twice_in_yaml(self) -> Iterator[Event]:
        """Yield keys that a mapping holds twice: the loader of OmegaConf refuses the file."""
        document = self.launch.document
        if document is None or document.kind != "yaml" or self.grammar.manner == "argparse":
            return
        for problem in document.problems:
            found = re.match(_TWICE, problem.message)
            if found is not None:
                line = LogLine(problem.file or document.path, problem.line, f"{found['key']}: (again)")
                fields = self._fields(found["key"], None) | {"line": int(found["line"])}
                yield Event(
                    "duplicate_key", fields | {"differs": True, "consequence": "refused"}, lines=(line,)
                )

    def _references(self) -> Iterator[Event]:
        """Yield values that refer to a key which nothing sets and nothing gives a default."""
        effective = {setting.key: setting for setting in (*self.grammar.base, *self.grammar.settings)}
        if self.grammar.manner != "structured" or (self.grammar.unfilled and not self.launch.command.program):
            return  # a template alone waits for a command's words
        written = grammar.with_above(effective)
        for setting in effective.values():
            names = re.findall(_REFERENCE, self.launch.text(setting)) if setting.state == "unknown" else ()
            for name in names:
                if name not in written and not self._has_default(name):
                    others = [each for each in written if each != setting.key]
                    beside = [each for each in others if each.rpartition(".")[0] == name.rpartition(".")[0]]
                    near = suggest.nearest(name, beside) or suggest.nearest(name, others)
                    about = {"missing": name, "consequence": "refused"}
                    if near is not None:
                        about |= {"nearest": near.key, "meant": self._meant(setting, name, near.key)}
                    yield self._event("missing_reference", setting, **about)

    def _meant(self, setting: Setting, name: str, nearest: str) -> str:
        """Return a value with a reference to another key."""
        text = self.launch.text(setting)
        said = text.partition(":" if setting.form == "yaml" else "=")[2].strip().strip("'\"")
        return said.replace(f"${{{name}}}", f"${{{nearest}}}")

    def _is_another_ones(self, setting: Setting) -> bool:
        """Say whether a value is that of another key, of which it is told."""
        names = re.findall(_REFERENCE, self.launch.text(setting))
        others = [each for each in (*self.grammar.base, *self.grammar.settings) if each.key in names]
        return any(
            (known := self._known(each.key)) is not None
            and fitting.expected(known, each.value, self.grammar.manner) is not None
            for each in others
        )

    def _has_default(self, key: str) -> bool:
        """Say whether a structured configuration gives a key a value where no file does."""
        loose = any(key.startswith(f"{section}.") for section in self.grammar.unfilled)
        return not loose and self._known(key) is not None

    def _event(self, kind: str, setting: Setting, **about: Any) -> Event:
        place = setting.place or setting.defined_at
        lines = (LogLine(place.file, place.line, ""),) if place is not None else ()
        at = {"at": place.line} if place is not None else {}
        return Event(kind, {**self._fields(setting.key, setting.value), **at, **about}, lines=lines)

    def _fields(self, key: str, value: Any) -> dict[str, Any]:
        """Return the fields that every kind has."""
        said = None if value is None or value is UNKNOWN else str(value)
        version = self.release if self.grammar.parts else self.launch.version
        about = {"system": self.launch.system, "release": version, "root": self.grammar.name}
        return {"key": key, "written": key, "value": said, **about, "certain": True}
