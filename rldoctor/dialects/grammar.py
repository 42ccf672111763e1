"""What a command of a system may say: which catalogue's keys, what is done with others, what is exempt."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Final, Literal

from msgspec import Struct

from rldoctor.dialects import catalogue
from rldoctor.dialects.catalogue import Catalogue, Known
from rldoctor.types import Command, Setting

Fate = Literal["refused", "ignored", "unclear"]
Manner = Literal["hydra", "structured", "argparse"]
SYSTEMS: Final = ("verl", "slime", "megatron", "areal", "chatlearn", "vllm", "sglang")
_FREE: Final = ("any", "dict")
HYDRA_OWN: Final = re.compile(r"hydra[./].*|.*[@/].*")


class Part(Struct, frozen=True):
    """Keys of one catalogue: those of some roots in one release, or in any, spelled behind a prefix."""

    catalogue: Catalogue
    release: str | None
    roots: tuple[str, ...]
    prefix: str = ""

    def find(self, key: str) -> Known | None:
        """Return what is said of a key as a command spells it."""
        name = self._own(key)
        if name is None:
            return None
        if self.release is not None:
            return self.catalogue.find(name, self.release, self.roots)
        releases = self.catalogue.releases_of(name, self.roots)
        return self.catalogue.find(name, releases[-1], self.roots) if releases else None

    def keys(self) -> Iterator[str]:
        """Yield the keys as a command spells them; of any release the newest's."""
        release = self.release or self.catalogue.releases[-1]
        for key in self.catalogue.keys(release, self.roots):
            yield self.prefix + (key.lstrip("-") if self.prefix else key)

    def releases_of(self, key: str) -> tuple[str, ...]:
        """Return the releases of the catalogue that have a key under some root."""
        name = self._own(key)
        return self.catalogue.releases_of(name) if name is not None else ()

    def _own(self, key: str) -> str | None:
        if not self.prefix:
            return key
        return f"--{key.removeprefix(self.prefix)}" if key.startswith(self.prefix) else None


class Grammar(Struct, frozen=True):
    """What may be said. ``fate`` is what happens to an unknown key; at an ``open_top`` subclasses add keys.

    ``abbreviated`` is the prefix of flags that may be cut short, None where none may. ``settings`` are those
    that are looked at, ``base`` those of a config file below the command, whose keys are ``further`` ones
    where they add to the catalogue's. ``present`` are the only keys that an override may name without ``+``;
    in the sections ``unfilled``, which a class checks later, references see what is written alone. With
    ``either_dash`` a flag may be written with underscores, too.
    """

    system: str
    name: str
    parts: tuple[Part, ...]
    manner: Manner
    fate: Fate
    settings: tuple[Setting, ...]
    base: tuple[Setting, ...] = ()
    open_top: bool = False
    abbreviated: str | None = None
    exempt: re.Pattern[str] | None = None
    further: frozenset[str] = frozenset()
    present: frozenset[str] | None = None
    unfilled: tuple[str, ...] = ()
    either_dash: bool = False

    def find(self, key: str) -> Known | None:
        """Return what is known of a key, None of an unknown one; what lies in a free mapping is anything."""
        found = self._found(key) or (self._respelled(key) if self.either_dash else None)
        if found is not None or key.startswith("-"):
            return found or self._abbreviation(key)
        if key in self.further:
            return Known("any")
        while "." in key:
            key = key.rpartition(".")[0]
            above = self._found(key)
            if above is not None:
                return Known("any") if self._is_free(above) and key not in self.unfilled else None
        return None

    def _respelled(self, key: str) -> Known | None:
        """Return what a flag is that is written with underscores, or that switches another one off."""
        name = key.replace("_", "-")
        on = "--" + name.removeprefix("--no-")
        return self._found(name) or (Known("flag") if name.startswith("--no-") and self._found(on) else None)

    def is_exempt(self, key: str) -> bool:
        """Say whether a key is another program's business."""
        return self.exempt is not None and self.exempt.fullmatch(key) is not None

    def keys(self) -> Iterator[str]:
        """Yield every key that may be said."""
        for part in self.parts:
            yield from part.keys()
        if not self.parts:  # a configuration that stands by itself
            yield from sorted(self.further)

    def _found(self, key: str) -> Known | None:
        return next((found for part in self.parts if (found := part.find(key)) is not None), None)

    def _is_free(self, above: Known) -> bool:
        if self.manner == "hydra":  # below what is no section, or an empty one, nothing is without a plus
            return False
        return above.kind in _FREE or above.kind == "list"

    def _abbreviation(self, key: str) -> Known | None:
        """Return what an abbreviated flag stands for, where the parser understands it."""
        if self.abbreviated is None or not key.startswith(self.abbreviated):
            return None
        longer = [name for name in self.keys() if name.startswith(key)]
        return self._found(longer[0]) if len(longer) == 1 else None


Build = Callable[[str, Command, Sequence[Setting]], Grammar | None]


def of(system: str, release: str, command: Command, below: Sequence[Setting] = ()) -> Grammar | None:
    """Return what a command may say in a release, or the next that is known; None if nobody can tell."""
    if system not in SYSTEMS or not catalogue.has(system):
        return None
    known = catalogue.load(system)
    return _builder(system)(release if release in known.bits else known.nearby(release)[-1], command, below)


@cache
def _builder(system: str) -> Build:
    """Return the function of a system's own folder that says what its commands may say."""
    build: Build = importlib.import_module(f"rldoctor.dialects.{system}.grammar").build
    return build


def module(program: str) -> str:
    """Return a program as a dotted module: ``verl/trainer/main_ppo.py`` is ``verl.trainer.main_ppo``."""
    return program.removeprefix("./").removesuffix(".py").replace("/", ".").lstrip(".")


def entry(known: Catalogue, release: str, program: str) -> str | None:
    """Return the roots of an entry program, None of another one; of two of one ending the longest."""
    bit, asked = known.bits[release], module(program)
    rows = sorted((row for row in known.entries if row[2] & bit), key=lambda row: -len(row[0]))
    for name, root, _ in rows:
        own = module(name)
        if asked == own or asked.endswith(f".{own}"):
            return root
    return None


@lru_cache(maxsize=256)
def is_entry(system: str, program: str) -> bool:
    """Say whether a program is one of a system's own, in some release."""
    known = catalogue.load(system)
    return any(entry(known, release, program) is not None for release in known.releases)


def last(settings: Iterable[Setting], key: str) -> Setting | None:
    """Return the setting of a key that counts, the last one."""
    return next((setting for setting in reversed(list(settings)) if setting.key == key), None)


def config_name(command: Command) -> str | None:
    """Return the configuration that a command names, None where it names none, or one that nobody knows."""
    name = named(command)
    return stem(name) if name is not None and name.state != "unknown" else None


def named(command: Command) -> Setting | None:
    """Return the word with which a command names its configuration."""
    return last(command.settings, "--config-name") or last(command.settings, "-cn")


def stem(setting: Setting) -> str:
    """Return a configuration's name without quotes and ending."""
    return str(setting.value).strip("'\"").removesuffix(".yaml").removesuffix(".yml")


def with_above(keys: Iterable[str]) -> frozenset[str]:
    """Return dotted keys with the sections that they stand in."""
    found = set(keys)
    for key in tuple(found):
        parts = key.split(".")
        found |= {".".join(parts[:end]) for end in range(1, len(parts))}
    return frozenset(found)


def server(system: str, root: str) -> Build:
    """Return what builds the grammar of an engine's server, whose flags stand under one root."""

    def build(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
        known = catalogue.load(system)
        if entry(known, release, command.program) is None and command.program not in ("sglang serve",):
            return None
        return Grammar(
            system,
            command.program,
            (Part(known, release, (root,)),),
            "argparse",
            "refused",
            tuple(setting for setting in command.settings if setting.form == "flag"),
            abbreviated="--",
            exempt=re.compile(r"-.?|--help.*|--.*\..*|-O.*|-dp.*|-tp.*|-pp.*"),
            either_dash=system == "vllm",  # utils/argparse_utils.py:FlexibleArgumentParser
        )

    return build
