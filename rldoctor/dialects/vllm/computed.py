"""What a vLLM server works out from its arguments. Places are in vllm/ at 0.33.0."""

from __future__ import annotations

from collections.abc import Iterable

from rldoctor.dialects.formulas import FactTable, derived, product
from rldoctor.types import UNKNOWN, Fact

SIZES = ("rollout.tp", "rollout.pp", "rollout.dp")


def compute(facts: FactTable) -> Iterable[Fact]:
    """Yield the GPUs of a server, and what V1 switches on by itself."""
    gpus = product(*(facts.get(size) for size in SIZES))
    yield derived("rollout.engine", "vllm", text=facts.command.program)
    yield derived("rollout.mode", "async", text=facts.command.program)
    yield derived("rollout.gpus_per_engine", gpus, SIZES)
    yield derived("rollout.gpus", gpus, SIZES)
    yield derived("cluster.asked_gpus", gpus, ("rollout.gpus",))
    if facts.raw("--enable-expert-parallel") is not None or facts.raw("-ep") is not None:
        # config/parallel.py: experts are spread over tensor and data parallel ranks
        ranks = product(facts.get("rollout.tp"), facts.get("rollout.dp"))
        yield derived("rollout.ep", ranks, ("rollout.tp", "rollout.dp"))
    for concept in ("rollout.chunked_prefill", "rollout.prefix_cache"):
        if facts.get(concept) is None:
            yield derived(concept, True, text="on for models that generate")
    if facts.get("rollout.max_model_len") is None and facts.get("model.max_positions") is not UNKNOWN:
        yield derived("rollout.max_model_len", facts.get("model.max_positions"), ("model.max_positions",))
