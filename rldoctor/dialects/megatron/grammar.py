"""What a command of Megatron-LM may say: the flags of its program in one release."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rldoctor.dialects import catalogue, grammar
from rldoctor.dialects.grammar import Grammar, Part
from rldoctor.types import Command, Setting


def build(release: str, command: Command, below: Sequence[Setting]) -> Grammar | None:
    """Return what a command may say in a release, None where nobody can tell."""
    known = catalogue.load("megatron")
    others = (release, *reversed(known.releases)) if command.program else ()
    entry = next((found for each in others if (found := grammar.entry(known, each, command.program))), None)
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
