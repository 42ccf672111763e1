"""What a command of slime may say: its own flags, Megatron-LM's, and SGLang's behind a prefix."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rldoctor.dialects import catalogue, grammar
from rldoctor.dialects.catalogue import Catalogue
from rldoctor.dialects.grammar import Grammar, Part
from rldoctor.types import Command, Setting


def build(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
    """Return what a command may say in a release, None where nobody can tell."""
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
    return (
        grammar.entry(known, release, command.program) is not None
        and "/examples/" not in f"/{command.program}"
    )
