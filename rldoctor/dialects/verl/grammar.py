"""What a command of verl may say: overrides of the configuration that its program starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rldoctor.dialects import catalogue, grammar
from rldoctor.dialects.catalogue import Catalogue
from rldoctor.dialects.grammar import HYDRA_OWN, Grammar, Part
from rldoctor.types import Command, Setting

MAIN: Final = "verl/trainer/config/ppo_trainer"


def build(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
    """Return what a command may say in a release, None where nobody can tell."""
    known = catalogue.load("verl")
    if not command.program:
        return None
    entry = grammar.entry(known, release, command.program)
    root = _verl_root(known, release, entry, command, below) if entry is not None else None
    own = tuple(setting for setting in command.settings if setting.form in ("override", "append"))
    searched = (
        grammar.last(own, "hydra.searchpath") is not None
    )  # another package's groups below the main one
    if searched and (below or entry != MAIN):
        return None
    further = grammar.with_above(setting.key for setting in below) | _groups(below)
    if not below and (searched if root is not None else _is_of_somebody(release, command, entry)):
        part = Part(known, release, (MAIN,))
        return Grammar("verl", MAIN.rpartition("/")[2], (part,), "hydra", "unclear", own, exempt=HYDRA_OWN)
    if root is None:
        whole = below and not any(setting.key == "defaults" for setting in below)
        name = grammar.module(command.program)
        one = Grammar("verl", name, (), "hydra", "refused", own, exempt=HYDRA_OWN, further=further)
        return one if whole else None
    roots, name = _variant(known, release, root, own)
    part = Part(known, release, roots)
    return Grammar("verl", name, (part,), "hydra", "refused", own, exempt=HYDRA_OWN, further=further)


def _is_of_somebody(release: str, command: Command, entry: str | None) -> bool:
    """Say whether a command names a configuration of its own: most of those extend the main one."""
    named, known = grammar.last(command.settings, "--config-name"), catalogue.load("verl")
    if named is None or named.state == "unknown" or entry != MAIN or not known.has(MAIN, release):
        return False
    return all(root.rpartition("/")[2] != grammar.stem(named) for root in known.roots)


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
    name, group, chosen = root.rpartition("/")[2], "model_engine", grammar.last(own, "model_engine")
    if chosen is None and known.has(f"{root}+engine=fsdp", release):
        group, chosen = "engine", grammar.last(own, "engine")
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
    named = grammar.named(command)
    stem = grammar.stem(named) if named is not None else entry.rpartition("/")[2]
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
    named, path = (
        grammar.last(command.settings, "--config-name"),
        grammar.last(command.settings, "--config-path"),
    )
    entry = grammar.entry(known, release, command.program) if command.program else None
    own = path is not None and str(path.value).strip("'\"") not in ("config", "./config")
    if named is None or named.state == "unknown" or entry is None or below or own:
        return None
    folder = entry.rpartition("/")[0]
    roots = [root for root in known.roots if known.has(root, release) and "+" not in root]
    names = [root.rpartition("/")[2] for root in roots if root.rpartition("/")[0] == folder]
    return None if grammar.stem(named) in names else (named, names)
