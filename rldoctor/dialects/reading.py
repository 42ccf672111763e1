"""A command read with the grammars of the releases it may be for: what its keys are there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from rldoctor.dialects import catalogue, grammar, nearby
from rldoctor.dialects.catalogue import Known
from rldoctor.dialects.grammar import Grammar
from rldoctor.dialects.launch import Launch
from rldoctor.types import UNKNOWN, Event, LogLine, Setting

FEW: Final = 2
"""Keys of no release that one person may have mistyped in one launch."""
MANY: Final = 5
"""Unknown flags of one launch that may all be meant for something: those of LoRA where there is none."""
_OPEN: Final = r"(.+\.(?:engine_kwargs\.\w+|(?!engine_)\w+_kwargs|override_\w*config))\.\w"


class Reading:
    """One command, read with the grammars of the releases it may be for; the newest speaks."""

    def __init__(self, launch: Launch, release: str, own: Grammar, every: Sequence[Grammar]) -> None:
        self.launch, self.release, self.grammar, self.every = launch, release, own, every
        self.catalogue = catalogue.load(launch.system)
        self.given = {setting.key for setting in own.settings}
        self.told: set[str] = set()

    def known(self, key: str) -> Known | None:
        """Return what a key is in one of the releases that it may be for."""
        return next((found for each in reversed(self.every) if (found := each.find(key)) is not None), None)

    def is_open(self, key: str) -> bool:
        """Say whether a key lies in a section that hands on whatever is added to it, with a plus."""
        section = re.match(_OPEN, key) if self.grammar.manner == "hydra" else None
        return section is not None and self.known(section[1]) is not None

    def is_present(self, setting: Setting) -> bool:
        """Say whether the file below has a key, where an override must name one that it has."""
        present = self.grammar.present
        return present is None or setting.form != "override" or setting.key in present

    def has_section(self, name: str) -> bool:
        """Say whether a section is given, so that nothing else can be meant for it."""
        return any(key.startswith(f"{name}.") for key in self.given)

    def lifetime(self, key: str) -> tuple[str | None, str | None]:
        """Return since when a later release has a key, or the release that no longer had it."""
        found = next((each for part in self.grammar.parts if (each := part.releases_of(key))), ())
        if not found or self.elsewhere(key):
            return None, None
        every = self.grammar.parts[0].catalogue.releases
        here = every.index(self.release)
        older = [every.index(each) for each in found if each in every[:here]]
        if older:
            return None, every[max(older) + 1]
        return next((each for each in found if each in every[here + 1 :]), None), None

    def elsewhere(self, key: str) -> str | None:
        """Return another configuration of the release that has a key."""
        here = bool(self.grammar.parts) and key in self.catalogue
        names = self.catalogue.roots_of(key, self.release) if here else ()
        return names[0].rpartition("/")[2].replace("+", " with ") if names else None

    @cached_property
    def is_fork(self) -> bool:
        """Whether more keys are of no release than anybody mistypes: somebody's own trainer has them."""
        told = (setting.key for setting in self.grammar.settings if setting.form in ("override", "flag"))
        every = {key for key in told if self.known(key) is None and not self.grammar.is_exempt(key)}
        most = MANY if self.grammar.manner == "argparse" else FEW
        return bool(self.grammar.parts) and sum(key not in self.catalogue for key in every) > most

    @cached_property
    def strangers(self) -> int:
        """The number of keys that nobody knows: many are a program's own, one is a mistake."""
        return sum(self.known(setting.key) is None for setting in self.grammar.settings)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Every key that the newest of the releases knows."""
        return tuple(dict.fromkeys(self.grammar.keys()))

    @cached_property
    def nearby_keys(self) -> frozenset[str]:
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

    def tree_lacks(self, key: str) -> bool:
        """Say whether the tree's own configuration lacks a key that its release has; read at need."""
        own = nearby.beside(self.nearby_keys, key) if self.grammar.manner == "hydra" else None
        return own is not None and key not in own

    def event(self, kind: str, setting: Setting, **about: Any) -> Event:
        """Return what is wrong with a setting, where it stands."""
        place = setting.place or setting.defined_at
        lines = (LogLine(place.file, place.line, ""),) if place is not None else ()
        at = {"at": place.line} if place is not None else {}
        return Event(kind, {**self.fields(setting.key, setting.value), **at, **about}, lines=lines)

    def fields(self, key: str, value: Any) -> dict[str, Any]:
        """Return the fields that every kind has."""
        said = None if value is None or value is UNKNOWN else str(value)
        version = self.release if self.grammar.parts else self.launch.version
        about = {"system": self.launch.system, "release": version, "root": self.grammar.name}
        return {"key": key, "written": key, "value": said, **about, "certain": True}
