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
    arguments are ``listed`` one by one, those that are not are nobody's. ``names`` says what the borrower
    calls otherwise (a key of its own, a concept); with ``within``, only checks of that part of the lender's
    code count, and what nobody wrote is unknown: the borrower has defaults of its own.
    """

    system: str
    prefix: str = ""
    when: str = ""
    adds: bool = True
    listed: bool = False
    names: Mapping[str, str] = {}
    within: str = ""


_VERL: Final = "actor_rollout_ref.rollout.engine_kwargs."
_SIZES: Final = {
    "tensor_model_parallel_size": "train.tp",
    "pipeline_model_parallel_size": "train.pp",
    "expert_model_parallel_size": "train.ep",
    "expert_tensor_parallel_size": "train.etp",
    "context_parallel_size": "train.cp",
    "sequence_parallel": "train.sequence_parallel",
    "num_virtual_stages_per_pipeline_rank": "train.vpp",
    "num_layers": "model.num_layers",
    "num_experts": "model.num_experts",
    "hidden_size": "model.hidden_size",
    "use_checkpoint_args": "False",
}
"""Megatron-LM's arguments that trainers on Megatron-Core set in words of their own."""
_FIELDS: Final = {
    **_SIZES,
    "fp8_format": "fp8",
    "fp4_format": "fp4",
    "decoder_first_pipeline_num_layers": "num_layers_in_first_pipeline_stage",
    "decoder_last_pipeline_num_layers": "num_layers_in_last_pipeline_stage",
}
"""The same, where the fields of TransformerConfig are set by their own names."""
_CORE: Final = "megatron/core/"
_MEGATRON: Final = "train.backend == 'megatron'"
_OVERRIDES: Final = "actor_rollout_ref.actor.megatron.override_transformer_config"
LOANS: Final[Mapping[str, tuple[Loan, ...]]] = {
    "slime": (Loan("megatron"), Loan("sglang", "sglang_", names={"tp_size": "rollout.tp"})),
    "areal": (
        Loan("sglang", "sglang.", "rollout.engine == 'sglang'", listed=True),
        Loan("vllm", "vllm.", "rollout.engine == 'vllm'", listed=True),
        Loan("megatron", "actor.megatron.", _MEGATRON, names=_SIZES, within=_CORE),
    ),
    "chatlearn": (
        Loan("megatron", "models.policy_trainer.", _MEGATRON, names=_SIZES, within=_CORE),
        Loan("megatron", "models.policy_trainer.megatron_model_cfg.", _MEGATRON, names=_SIZES, within=_CORE),
    ),
    "verl": (
        Loan("sglang", f"{_VERL}sglang.", "rollout.engine == 'sglang'", False),
        Loan("vllm", f"{_VERL}vllm.", "rollout.engine == 'vllm'", False),
        Loan("megatron", f"{_OVERRIDES}.", _MEGATRON, adds=False, names=_FIELDS, within=_CORE),
    ),
}


def is_lent(row: Mapping[str, Any], loan: Loan) -> bool:
    """Say whether a row is about the part of the lender that the borrower takes over."""
    return str(row.get("where", "")).startswith(loan.within)


def of_own_default(system: str, key: str) -> bool:
    """Say whether a key is an argument of another system to which the borrower gives a default of its own."""
    return any(loan.within and key.startswith(loan.prefix) for loan in LOANS.get(system, ()))


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
        if (loan.adds or value is not True) and _is_behind(key, loan)
    }
    found["unset"] = [_key(key, loan) for key in row.get("unset", ()) if _is_behind(key, loan)]
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
    name = _word(key.removeprefix("--").replace("-", "_"), loan)
    return f"--{name.replace('_', '-')}" if "." not in loan.prefix else name


def _is_behind(key: str, loan: Loan) -> bool:
    """Say whether the borrower has a key as an argument of the lender's, and not in words of its own."""
    return _word(key.removeprefix("--").replace("-", "_"), loan).startswith(loan.prefix)


def _word(name: str, loan: Loan) -> str:
    """Return what the borrower writes for a name of the lender."""
    other = loan.names.get(name, name)
    return other if "." in other or other == "False" else loan.prefix + other


def _renamed(text: str, loan: Loan) -> str:
    """Return an expression over another system's keys as one over those behind the prefix."""
    for name in expr.names(expr.compile(text)):
        if "." not in name and name != "system":
            text = re.sub(rf"(?<![\w.'\"]){re.escape(name)}(?![\w.'\"])", _word(name, loan), text)
    return text
