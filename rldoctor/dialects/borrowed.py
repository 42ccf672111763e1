"""Limits of a system that another one speaks behind a prefix: an engine's arguments in a trainer's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from rldoctor import expr
from rldoctor.dialects import catalogue

_EXPRESSIONS: Final = ("refuses", "when")


class Loan(Struct, frozen=True):
    """Whose limits are taken over, behind which prefix, and while which condition holds.

    Where a key is only there once it is written (``adds`` is false), no cure adds one. Of an engine whose
    arguments are ``listed`` one by one, those that are not are nobody's.
    """

    system: str
    prefix: str = ""
    when: str = ""
    adds: bool = True
    listed: bool = False


_VERL: Final = "actor_rollout_ref.rollout.engine_kwargs."
LOANS: Final[Mapping[str, tuple[Loan, ...]]] = {
    "slime": (Loan("megatron"), Loan("sglang", "sglang_")),
    "areal": (
        Loan("sglang", "sglang.", "rollout.engine == 'sglang'", listed=True),
        Loan("vllm", "vllm.", "rollout.engine == 'vllm'", listed=True),
    ),
    "verl": (
        Loan("sglang", f"{_VERL}sglang.", "rollout.engine == 'sglang'", False),
        Loan("vllm", f"{_VERL}vllm.", "rollout.engine == 'vllm'", False),
    ),
}


def spoken(row: Mapping[str, Any], loan: Loan) -> dict[str, Any]:
    """Return a row of another system's limits as the borrowing system would have written it."""
    if not loan.prefix:
        return dict(row)
    found: dict[str, Any] = {name: _renamed(str(row[name]), loan) for name in _EXPRESSIONS if name in row}
    if row.get("key"):
        found["key"] = _key(str(row["key"]), loan)
    if loan.when:
        name = "when" if "choices" in row else "refuses"
        found[name] = f"{loan.when} and ({found[name]})" if name in found else loan.when
    found["set"] = {
        _key(key, loan): _renamed(value, loan) if isinstance(value, str) else value
        for key, value in row.get("set", {}).items()
        if loan.adds or value is not True
    }
    found["unset"] = [_key(key, loan) for key in row.get("unset", ())]
    return {**row, **found, "example": {}, "fine": {}}


def is_there(row: Mapping[str, Any], loan: Loan, system: str) -> bool:
    """Say whether the borrowing system has every key of a row."""
    if not loan.listed:
        return True
    condition = row.get("refuses", row.get("when"))
    names = expr.names(expr.compile(condition)) if condition is not None else ()
    known = catalogue.load(system)
    keys = [str(row["key"])] if row.get("key") else []
    return all(name in known for name in (*keys, *names) if name.startswith(loan.prefix))


def _key(key: str, loan: Loan) -> str:
    name = loan.prefix + key.removeprefix("--").replace("-", "_")
    return f"--{name.replace('_', '-')}" if "." not in loan.prefix else name


def _renamed(text: str, loan: Loan) -> str:
    """Return an expression over another system's keys as one over those behind the prefix."""
    for name in expr.names(expr.compile(text)):
        if "." not in name and name != "system":
            text = re.sub(rf"(?<![\w.'\"]){re.escape(name)}(?![\w.'\"])", loan.prefix + name, text)
    return text
