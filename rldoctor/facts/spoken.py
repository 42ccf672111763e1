"""Settings that memory hangs on and that no concept speaks of, found by the end of their keys."""

from __future__ import annotations

from typing import Any, Final

from rldoctor.facts.walk import Facts
from rldoctor.types import Role, Setting

OTHERS: Final = frozenset(
    ("ref", "ref_policy", "critic", "rm", "reward", "reward_model", "teacher", "rollout", "sglang", "vllm")
)
"""Parts of a dotted key that speak of another role than the policy that trains."""


def spoken(facts: Facts, name: str, role: Role = "policy") -> Any:
    """Return the value of a setting as written, by the last part of its key; None where nobody knows it.

    ``--exp-avg-dtype`` and ``optim.override_optimizer_config.exp_avg_dtype`` are both ``exp_avg_dtype``.
    """
    if facts.table is None:
        return None
    found = (each for key, each in facts.table.spoken.settings.items() if _speaks(key, name, role))
    setting = next(found, None)
    return None if setting is None or _is_open(setting) else setting.value


def _is_open(setting: Setting) -> bool:
    return setting.state == "unknown" or setting.form == "delete"


def _speaks(key: str, name: str, role: Role) -> bool:
    parts = key.lstrip("-+").replace("-", "_").split(".")
    if parts[-1] != name:
        return False
    return len(parts) == 1 or (OTHERS.isdisjoint(parts[:-1]) if role == "policy" else role in parts)


def count(value: Any) -> int | None:
    """Return a positive whole number that a setting gives, None for anything else."""
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or len(text) > 9:
        return None
    return int(text) or None


def number(value: Any) -> float | None:
    """Return a number from 0 on that a setting gives, None for anything else."""
    try:
        found = float(str(value))
    except ValueError:  # what is no number is not counted
        return None
    return found if 0 <= found < 1e9 and not isinstance(value, bool) else None
