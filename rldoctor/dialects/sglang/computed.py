"""What an SGLang server works out from its arguments. Places are in sglang/srt/ at 0.5.23."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rldoctor.dialects.formulas import FactTable, derived, product
from rldoctor.types import UNKNOWN, Fact

SIZES = ("rollout.tp", "rollout.pp", "rollout.dp")


def compute(facts: FactTable) -> Iterable[Fact]:
    """Yield the GPUs of a server and what follows from its arguments."""
    gpus = product(*(facts.get(size) for size in SIZES))
    if _shares_ranks(facts):
        # attention's data parallel ranks are tensor parallel ranks of the rest
        gpus = product(facts.get("rollout.tp"), facts.get("rollout.pp"))
    yield derived("rollout.engine", "sglang", text=facts.command.program)
    yield derived("rollout.mode", "async", text=facts.command.program)
    yield derived("rollout.gpus_per_engine", gpus, SIZES)
    yield derived("rollout.gpus", gpus, SIZES)
    yield derived("cluster.asked_gpus", gpus, ("rollout.gpus",))
    chunk: Any = facts.raw("--chunked-prefill-size")
    chunked = UNKNOWN if chunk is UNKNOWN else str(chunk) != "-1"
    yield derived("rollout.chunked_prefill", chunked, text="--chunked-prefill-size")
    if facts.get("rollout.max_model_len") is None and facts.get("model.max_positions") is not UNKNOWN:
        yield derived("rollout.max_model_len", facts.get("model.max_positions"), ("model.max_positions",))


def _shares_ranks(facts: FactTable) -> bool:
    return facts.raw("--enable-dp-attention") is not None or facts.raw("--attn-dp-size") is not None
