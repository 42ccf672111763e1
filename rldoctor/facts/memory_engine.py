"""The rollout engine on a trainer's GPU, from facts: sizes, quantized weights, KV cache, graphs."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from rldoctor.facts.memory_reader import Reader
from rldoctor.facts.spoken import spoken
from rldoctor.memory.engine import bytes_a_parameter, cache_bytes
from rldoctor.memory.layout import Rollout
from rldoctor.models import Shape, Stored, quantized

GRAPHS: Final = 35
"""Batch sizes that vLLM and SGLang capture where nobody tells."""
MEGATRON_GRAPHS: Final = 16
"""--inference-dynamic-batching-num-cuda-graphs, where nobody tells."""
DROPS: Final = ("vllm", "sglang")
"""Engines whose sleep leaves no copy of the weights on the host: they get new ones from the trainer."""


def rollout_of(reader: Reader, shape: Shape) -> Rollout | None:
    """Return the engine that a run samples with; None where it has none."""
    engine = reader.get("rollout.engine")
    if not engine or str(spoken(reader.facts, "debug_train_only")).lower() == "true":
        return None
    colocated = reader.get("cluster.colocate") is True
    if not colocated and reader.get("rollout.tp") is None and "rollout.tp" in reader.missing:
        return None  # on how many GPUs of its own an engine is, nobody knows
    fraction = reader.get("rollout.mem_fraction")
    longest = reader.count("batch.longest_sample", 0)
    seqs = reader.count("rollout.max_seqs", 256)
    inside = engine in ("builtin", "hf")
    sizes = reader.get("rollout.cuda_graph_bs")
    found = Rollout(
        engine=str(engine),
        tp=reader.count("rollout.tp"),
        ep=reader.count("rollout.ep"),
        pp=reader.count("rollout.pp"),
        dp=reader.count("rollout.dp"),
        dp_attention=reader.is_on("rollout.dp_attention"),
        fraction=float(fraction) if isinstance(fraction, int | float) else None,
        weight_bytes=bytes_a_parameter(shape, stored(reader, shape)),
        kv_bytes=cache_bytes(str(reader.get("rollout.kv_dtype") or "auto")),
        kv_tokens=seqs * longest if inside and longest else None,
        max_seqs=seqs,
        batched_tokens=reader.count("rollout.max_batched_tokens", 8192),
        max_model_len=reader.count("rollout.max_model_len", 0) or longest or None,
        eager=reader.is_on("rollout.eager"),
        colocated=colocated,
        sleeps=reader.is_on("mem.offload_rollout"),
        drops_weights=engine in DROPS,
        graphs=len(sizes) if isinstance(sizes, list) and sizes else GRAPHS,
    )
    cache = reader.get("rollout.kv_gib")
    if reader.facts.system == "megatron" and engine == "builtin" and isinstance(cache, int | float):
        return replace(found, engine="megatron", kv_gib=float(cache), graphs=MEGATRON_GRAPHS)
    return found


def stored(reader: Reader, shape: Shape) -> Stored | None:
    """Return how the engine keeps its weights: as asked, else as the checkpoint that it loads does."""
    method = reader.get("rollout.quantization")
    if not isinstance(method, str) or method.lower() in ("none", "null", ""):
        return shape.stored
    found = quantized.of_method(method) or shape.stored
    if found is None:
        reader.missing["rollout.quantization"] = None
    return found
