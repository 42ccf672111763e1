"""What a command of a system may say: which catalogue's keys, what is done with others, what is exempt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from rldoctor.dialects import catalogue
from rldoctor.dialects.catalogue import Catalogue, Known
from rldoctor.types import Command, Setting

Fate = Literal["refused", "ignored", "unclear"]
Manner = Literal["hydra", "structured", "argparse"]
_FREE: Final = ("any", "dict")
_OLD_CHATLEARN: Final = ("runtime.", "runtime_env.", "includes")
MAIN: Final = "verl/trainer/config/ppo_trainer"
_HYDRA: Final = re.compile(r"hydra[./].*|.*[@/].*")


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
    build = _BUILDERS.get(system)
    if build is None or not catalogue.has(system):
        return None
    known = catalogue.load(system)
    return build(release if release in known.bits else known.nearby(release)[-1], command, below)


def module(program: str) -> str:
    """Return a program as a dotted module: ``verl/trainer/main_ppo.py`` is ``verl.trainer.main_ppo``."""
    return program.removeprefix("./").removesuffix(".py").replace("/", ".").lstrip(".")


def _entry(known: Catalogue, release: str, program: str) -> str | None:
    """Return the roots of an entry program; of two of one ending the longest."""
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
    return any(_entry(known, release, program) is not None for release in known.releases)


def _last(settings: Iterable[Setting], key: str) -> Setting | None:
    return next((setting for setting in reversed(list(settings)) if setting.key == key), None)


def config_name(command: Command) -> str | None:
    """Return the configuration that a command names, None where it names none, or one that nobody knows."""
    named = _named(command)
    return _stem(named) if named is not None and named.state != "unknown" else None


def _named(command: Command) -> Setting | None:
    return _last(command.settings, "--config-name") or _last(command.settings, "-cn")


def _stem(setting: Setting) -> str:
    return str(setting.value).strip("'\"").removesuffix(".yaml").removesuffix(".yml")


def _verl(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
    known = catalogue.load("verl")
    if not command.program:
        return None
    entry = _entry(known, release, command.program)
    root = _verl_root(known, release, entry, command, below) if entry is not None else None
    own = tuple(setting for setting in command.settings if setting.form in ("override", "append"))
    searched = _last(own, "hydra.searchpath") is not None  # another package's groups below the main one
    if searched and (below or entry != MAIN):
        return None
    further = with_above(setting.key for setting in below) | _groups(below)
    if not below and (searched if root is not None else _is_of_somebody(release, command, entry)):
        part = Part(known, release, (MAIN,))
        return Grammar("verl", MAIN.rpartition("/")[2], (part,), "hydra", "unclear", own, exempt=_HYDRA)
    if root is None:
        whole = below and not any(setting.key == "defaults" for setting in below)
        name = module(command.program)
        one = Grammar("verl", name, (), "hydra", "refused", own, exempt=_HYDRA, further=further)
        return one if whole else None
    roots, name = _variant(known, release, root, own)
    part = Part(known, release, roots)
    return Grammar("verl", name, (part,), "hydra", "refused", own, exempt=_HYDRA, further=further)


def _is_of_somebody(release: str, command: Command, entry: str | None) -> bool:
    """Say whether a command names a configuration of its own: most of those extend the main one."""
    named, known = _last(command.settings, "--config-name"), catalogue.load("verl")
    if named is None or named.state == "unknown" or entry != MAIN or not known.has(MAIN, release):
        return False
    return all(root.rpartition("/")[2] != _stem(named) for root in known.roots)


def _groups(below: Sequence[Setting]) -> frozenset[str]:
    """Return the groups of the user's own defaults list: a word chooses one of their files."""
    lists = (
        setting.value for setting in below if setting.key == "defaults" and isinstance(setting.value, list)
    )
    words = (word for each in lists for item in each if isinstance(item, dict) for word in item)
    return frozenset(str(word).rpartition(" ")[2].lstrip("/") for word in words)


def _variant(
    known: Catalogue, release: str, root: str, own: Sequence[Setting]
) -> tuple[tuple[str, ...], str]:
    """Return the roots of a configuration as its groups are chosen, and what to call them."""
    name, group, chosen = root.rpartition("/")[2], "model_engine", _last(own, "model_engine")
    if chosen is None and known.has(f"{root}+engine=fsdp", release):
        group, chosen = "engine", _last(own, "engine")
    if any("@" in setting.key for setting in own):  # groups chosen one by one: any of their options
        return tuple(each for each in known.roots if each.partition("+")[0] == root), name
    option = f"{root}+{group}={chosen.value}" if chosen is not None else root
    if chosen is not None and known.has(option, release):
        return (option,), f"{name} with {group}={chosen.value}"
    if chosen is not None and group == "engine":  # somebody's own engine, or one that hangs on a variable
        return tuple(each for each in known.roots if each.partition("+")[0] == root), name
    return (root,), name


def _verl_root(
    known: Catalogue, release: str, entry: str, command: Command, below: Sequence[Setting]
) -> str | None:
    """Return the configuration that a command starts from: named, or the one below the user's own."""
    named = _named(command)
    stem = _stem(named) if named is not None else entry.rpartition("/")[2]
    if below:
        defaults = next((s.value for s in below if s.key == "defaults" and isinstance(s.value, list)), [])
        stem = next((str(item) for item in defaults if isinstance(item, str) and item != "_self_"), "")
    elif named is not None and named.state == "unknown":
        return None
    folder = entry.rpartition("/")[0]
    beside = (f"{folder}/{stem}", f"verl/trainer/config/{stem}")
    return next((name for name in beside if known.has(name, release)), None)


def misnamed(release: str, command: Command, below: Sequence[Setting]) -> tuple[Setting, list[str]] | None:
    """Return the word that names no configuration of a verl program, and the names that there are."""
    known = catalogue.load("verl")
    named, path = _last(command.settings, "--config-name"), _last(command.settings, "--config-path")
    entry = _entry(known, release, command.program) if command.program else None
    own = path is not None and str(path.value).strip("'\"") not in ("config", "./config")
    if named is None or named.state == "unknown" or entry is None or below or own:
        return None
    folder = entry.rpartition("/")[0]
    roots = [root for root in known.roots if known.has(root, release) and "+" not in root]
    names = [root.rpartition("/")[2] for root in roots if root.rpartition("/")[0] == folder]
    return None if _stem(named) in names else (named, names)


def with_above(keys: Iterable[str]) -> frozenset[str]:
    """Return dotted keys with the sections that they stand in."""
    found = set(keys)
    for key in tuple(found):
        parts = key.split(".")
        found |= {".".join(parts[:end]) for end in range(1, len(parts))}
    return frozenset(found)


def _slime(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
    own = catalogue.load("slime")
    parts = (
        Part(own, release, own.roots),
        Part(catalogue.load("megatron"), None, ("megatron",)),
        Part(catalogue.load("sglang"), None, ("server",), "--sglang-"),
    )
    routers = re.compile(r"--(sglang-)?router-.*|-h|--help")
    return Grammar(
        "slime",
        command.program or "train.py",
        parts,
        "argparse",
        "ignored" if _is_own_entry(own, release, command) else "unclear",
        tuple(setting for setting in command.settings if setting.form == "flag"),
        abbreviated="--sglang-",
        exempt=routers,
    )


def _is_own_entry(known: Catalogue, release: str, command: Command) -> bool:
    return _entry(known, release, command.program) is not None and "/examples/" not in f"/{command.program}"


def _megatron(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
    known = catalogue.load("megatron")
    others = (release, *reversed(known.releases)) if command.program else ()
    entry = next((found for each in others if (found := _entry(known, each, command.program))), None)
    roots = tuple(entry.split()) if entry is not None else known.roots
    return Grammar(
        "megatron",
        command.program or "the arguments",
        (Part(known, release, roots),),
        "argparse",
        "refused" if entry is not None else "unclear",
        tuple(setting for setting in command.settings if setting.form == "flag"),
        exempt=re.compile(r"-h|--help"),
    )


def _server(system: str, root: str) -> Build:
    def build(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
        known = catalogue.load(system)
        if _entry(known, release, command.program) is None and command.program not in ("sglang serve",):
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


def _chatlearn(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
    known = catalogue.load("chatlearn")
    own = tuple(setting for setting in command.settings if setting.form in ("override", "yaml"))
    if any(setting.key.startswith(_OLD_CHATLEARN) for setting in (*below, *own)):
        return None
    chosen = _last((*below, *own), "runtime_args.train_backend")
    root = f"grpo+{chosen.value}" if chosen is not None and chosen.state != "unknown" else "grpo+fsdp"
    roots = (root,) if root in known.roots and chosen is not None else known.roots
    name = f"GrpoConfig, {root.partition('+')[2]}" if len(roots) == 1 else "GrpoConfig"
    part = Part(known, release, tuple(roots))
    return Grammar(
        "chatlearn",
        name,
        (part,),
        "structured",
        "refused",
        own,
        tuple(below),
        unfilled=("models.policy_trainer", "models.ref_policy"),
    )


def _areal(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
    known = catalogue.load("areal")
    own = tuple(setting for setting in command.settings if setting.form in ("override", "append", "yaml"))
    every = [setting.key for setting in (*below, *own)]
    roots = [root for root in known.roots if known.has(root, release)]
    if not roots or not every:
        return None
    number = known.releases.index(release)
    best = min(roots, key=lambda root: (_lacking(tuple(every), root)[number], _rank(root)))
    fewest = Part(known, release, (best,))
    present = with_above(setting.key for setting in below) if below else None
    return Grammar(
        "areal",
        fewest.roots[0],
        (fewest,),
        "structured",
        "refused",
        own,
        tuple(below),
        open_top=True,
        exempt=_HYDRA,
        present=present,
    )


@lru_cache(maxsize=32)
def _lacking(keys: tuple[str, ...], root: str) -> tuple[int, ...]:
    return catalogue.load("areal").lacking(keys, root)


def _rank(root: str) -> int:
    order = ("GRPOConfig", "PPOConfig", "SFTConfig")
    return order.index(root) if root in order else len(order)


_BUILDERS: Final[Mapping[str, Build]] = {
    "verl": _verl,
    "slime": _slime,
    "megatron": _megatron,
    "areal": _areal,
    "chatlearn": _chatlearn,
    "vllm": _server("vllm", "serve"),
    "sglang": _server("sglang", "server"),
}
SYSTEMS: Final = tuple(_BUILDERS)
