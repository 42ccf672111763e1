"""What a configuration of ChatLearn may say: the fields of its dataclasses for a back end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rldoctor.dialects import catalogue, grammar
from rldoctor.dialects.grammar import Grammar, Part
from rldoctor.types import Command, Setting

_OLD: Final = ("runtime.", "runtime_env.", "includes")


def build(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
    """Return what a command may say in a release, None where nobody can tell."""
    known = catalogue.load("chatlearn")
    own = tuple(setting for setting in command.settings if setting.form in ("override", "yaml"))
    if any(setting.key.startswith(_OLD) for setting in (*below, *own)):
        return None
    chosen = grammar.last((*below, *own), "runtime_args.train_backend")
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
