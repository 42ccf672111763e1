"""What a configuration of AReaL may say: the fields of the class that fits it best."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rldoctor.dialects import catalogue, grammar
from rldoctor.dialects.grammar import HYDRA_OWN, Grammar, Part
from rldoctor.types import Command, Setting


def build(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
    """Return what a command may say in a release, None where nobody can tell."""
    known = catalogue.load("areal")
    own = tuple(setting for setting in command.settings if setting.form in ("override", "append", "yaml"))
    every = [setting.key for setting in (*below, *own)]
    roots = [root for root in known.roots if known.has(root, release)]
    if not roots or not every:
        return None
    number = known.releases.index(release)
    best = min(roots, key=lambda root: (_lacking(tuple(every), root)[number], _rank(root)))
    fewest = Part(known, release, (best,))
    present = grammar.with_above(setting.key for setting in below) if below else None
    return Grammar(
        "areal",
        fewest.roots[0],
        (fewest,),
        "structured",
        "refused",
        own,
        tuple(below),
        open_top=True,
        exempt=HYDRA_OWN,
        present=present,
    )


@lru_cache(maxsize=32)
def _lacking(keys: tuple[str, ...], root: str) -> tuple[int, ...]:
    return catalogue.load("areal").lacking(keys, root)


def _rank(root: str) -> int:
    order = ("GRPOConfig", "PPOConfig", "SFTConfig")
    return order.index(root) if root in order else len(order)
