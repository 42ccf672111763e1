"""What a trainer's layers are made of, from facts: attention, precision, experts, captured graphs."""

from __future__ import annotations

import re
from typing import Final

from rldoctor.facts.memory_reader import Reader
from rldoctor.facts.spoken import number, spoken
from rldoctor.memory.layout import Kernels
from rldoctor.models import Shape

MEGATRON: Final = ("megatron", "megatron_fsdp")
BYTES: Final = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0}
NATIVE: Final = ("archon", "torchtitan")
"""Backends whose models are torchtitan's: recomputation by operators, experts weighted in fp32."""
ATTENTION: Final = ("attention_backend", "attn_implementation", "attn_impl")
UNFUSED: Final = ("unfused", "local", "eager")
"""Attention that keeps all scores, as Transformer Engine and transformers call it."""


def kernels_of(reader: Reader, shape: Shape) -> Kernels:
    """Return what the layers are made of: fused or whole scores, fp8 products, how tokens reach experts."""
    backend, computed = reader.get("train.backend"), reader.get("train.compute_dtype") or "bf16"
    dropout = number(spoken(reader.facts, "hidden_dropout", reader.role))
    capacity = number(spoken(reader.facts, "moe_expert_capacity_factor", reader.role))
    padded = str(spoken(reader.facts, "moe_pad_expert_input_to_capacity", reader.role)).lower() == "true"
    return Kernels(
        stack="te" if backend in MEGATRON else "eager",
        width=max(2.0, BYTES.get(computed, 2.0)),
        flash=not any(spoken(reader.facts, name, reader.role) in UNFUSED for name in ATTENTION),
        dropout=bool(dropout),
        fp8=computed == "fp8",
        fp32_combine=backend in NATIVE,
        fp32_norm=shape.architecture.startswith("gemma"),
        capacity=capacity if shape.num_experts and capacity else None,
        padded=padded,
        graphed=_graphed(reader) if backend in MEGATRON else frozenset(),
        gathers_tokens=backend in MEGATRON and reader.get("train.moe_dispatcher") == "allgather",
    )


def _graphed(reader: Reader) -> frozenset[str]:
    """Return the modules that Transformer Engine captures in CUDA graphs."""
    if spoken(reader.facts, "cuda_graph_impl", reader.role) != "transformer_engine":
        return frozenset()
    told = [spoken(reader.facts, name, reader.role) for name in ("cuda_graph_modules", "cuda_graph_scope")]
    return frozenset(re.findall(r"\w+", " ".join(str(words) for words in told if words)))
