"""Rules: what a rule file may say, the strict loader for authors, the compiled index for everybody else."""

from __future__ import annotations

from pathlib import Path

from rldoctor.rules.indexing import Entry, Guard, Index, index
from rldoctor.rules.schema import Rule, Rung, Trigger

__all__ = ["Entry", "Guard", "Index", "Rule", "Rung", "Trigger", "index", "load_all"]


def load_all(folder: Path | None = None) -> tuple[Rule, ...]:
    """Return the rules of a folder with their tests, read strictly; RuleFileErrors with all mistakes."""
    from rldoctor.rules.load import load_all as read

    return read(folder)
