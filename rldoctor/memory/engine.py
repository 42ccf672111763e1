"""Rollout engines: weights, KV cache, what a step needs, graphs, and what a sleeping engine keeps."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from rldoctor.memory import overheads
from rldoctor.memory.layout import GIB, Rollout, Setup, Term
from rldoctor.models import Shape, Stored, parameters

WEIGHTS = "vllm/model_executor/layers/linear.py, vocab_parallel_embedding.py: matrices over tp, norms whole"
KV = "2 × layers × KV heads of a rank × head width × bytes (vllm/v1/kv_cache_interface.py)"
HALF = 2.0
PROFILE = "vllm/v1/worker/gpu_worker.py:determine_available_memory (a step of the most tokens is run)"
GRAPHS = "vllm/v1/worker/gpu_model_runner.py:capture_model"


def tensors(shape: Shape, engine: Rollout) -> Iterator[float]:
    """Yield the parameters of each weight tensor on one GPU, fused as engines hold them."""
    ends = list(_ends(shape, engine))
    yield ends[0]
    for index in range(shape.num_layers):
        yield from _layer(shape, engine, index)
    yield from ends[1:]


def attention_ways(engine: Rollout) -> int:
    """Return over how many ranks attention is split: with dp attention, those that one copy is left.

    SGLang srt/layers/dp_attention.py:compute_dp_attention_world_info.
    """
    tp = max(1, engine.tp)
    if not engine.dp_attention:
        return tp
    return max(1, tp // engine.dp) if engine.dp > 1 else 1


def _layer(shape: Shape, engine: Rollout, index: int) -> Iterator[float]:
    yield from _mixer(shape, index, attention_ways(engine))
    yield float(shape.norms_per_layer * parameters.norm(shape))
    yield from _feed_forward(shape, engine, index)


def _ends(shape: Shape, engine: Rollout) -> Iterator[float]:
    tp = 1 if engine.dp_attention else max(1, engine.tp)
    yield parameters.embedding(shape) / tp
    yield float(parameters.norm(shape))
    if not shape.tie_embeddings:
        yield parameters.embedding(shape) / tp
    if shape.vision_params:
        yield float(shape.vision_params)


def _mixer(shape: Shape, index: int, tp: int) -> Iterator[float]:
    if shape.gated is not None and shape.is_linear(index):
        yield parameters.linear_attention(shape, shape.gated) / tp
        return
    whole = parameters.attention(shape)
    if shape.mla is not None:
        down = (shape.mla.q_lora_rank or 0) + shape.mla.kv_lora_rank + shape.mla.qk_rope_head_dim
        yield float(shape.hidden_size * down)
        yield (whole - shape.hidden_size * down) / tp
        return
    h, d = shape.hidden_size, shape.head_dim
    output = h * shape.num_heads * d
    keys = 2 * h * shape.num_kv_heads * d
    copies = max(1, tp // max(1, shape.num_kv_heads))  # ranks beyond the KV heads hold copies
    yield (whole - output - keys) / tp + keys * copies / tp
    yield output / tp


def _feed_forward(shape: Shape, engine: Rollout, index: int) -> Iterator[float]:
    tp = max(1, engine.tp)
    if not shape.is_moe(index):
        each = parameters.dense(shape) / (1 if engine.dp_attention and engine.ep > 1 else tp)
        yield each * 2 / 3
        yield each / 3
        return
    ways = engine.ep * engine.etp if engine.etp else max(tp, engine.ep)
    experts = (shape.num_experts or 0) * parameters.expert(shape) / ways
    yield float(parameters.router(shape))
    yield experts * 2 / 3
    yield experts / 3
    if shape.shared_ffn:
        yield parameters.shared(shape) / (1 if engine.dp_attention else tp)


def bytes_a_parameter(shape: Shape, stored: Stored | None) -> float:
    """Return bytes of a layer's parameter as an engine keeps it, the mean over all of them."""
    if stored is None:
        return HALF
    if not stored.experts_only:
        return stored.bytes
    kinds = parameters.kinds(shape, range(shape.num_layers))
    whole = sum(count * parameters.layer(shape, index) for index, count in kinds)
    routed = shape.moe_layers * (shape.num_experts or 0) * parameters.expert(shape)
    return HALF + (stored.bytes - HALF) * routed / whole


KV_BYTES: Final = ((r"fp4|int4", 0.5 + 1 / 16), (r"fp8|int8|e4m3|e5m2", 1.0), (r"fp32|float32", 4.0))


def cache_bytes(dtype: str) -> float:
    """Return bytes of an entry of the KV cache; ``auto`` and what nobody knows are half precision."""
    return next((size for pattern, size in KV_BYTES if re.search(pattern, dtype.lower())), HALF)


def weights(shape: Shape, engine: Rollout) -> Term:
    """Return the weights of an engine on one GPU; pipeline stages share the layers.

    Quantized checkpoints keep embedding, head and the last norm in half precision.
    """
    kinds = parameters.kinds(shape, range(shape.num_layers))
    ends, stages = sum(_ends(shape, engine)), max(1, engine.pp)
    layers = sum(n * sum(_layer(shape, engine, i)) for i, n in kinds)
    size = (layers * engine.weight_bytes + ends * max(HALF, engine.weight_bytes)) / stages
    text = f"{(ends + layers) / stages / 1e6:.1f}M × {engine.weight_bytes:g} B"
    return Term("engine weights", size, text, WEIGHTS)


def kv_bytes_per_token(shape: Shape, engine: Rollout) -> float:
    """Return bytes of one token's keys and values on one GPU, the whole context counted."""
    tp = attention_ways(engine)
    layers = shape.cached_layers / max(1, engine.pp)
    if shape.mla is not None:
        return layers * (shape.mla.kv_lora_rank + shape.mla.qk_rope_head_dim) * engine.kv_bytes
    heads = max(1.0, shape.num_kv_heads / tp)
    return 2 * layers * heads * shape.head_dim * engine.kv_bytes


def kv_cache(shape: Shape, engine: Rollout, tokens: float) -> Term:
    """Return the bytes of a KV cache for ``tokens`` tokens on one GPU."""
    each = kv_bytes_per_token(shape, engine)
    return Term("KV cache", each * tokens, f"{tokens:.0f} tokens × {each:.0f} B", KV)


def step(shape: Shape, engine: Rollout) -> Term:
    """Return what an engine's largest step needs: a layer of its tokens, and logits of its sequences."""
    tp = max(1, engine.tp)
    width = max(shape.ffn_hidden_size, (shape.moe_ffn or 0) * (shape.moe_topk or 0)) / tp
    layer = engine.batched_tokens * 2 * (3 * shape.hidden_size + 3 * width)
    logits = engine.max_seqs * shape.vocab_size * (2 + 4 + 4) / tp
    text = f"{engine.batched_tokens} tokens of a layer, {engine.max_seqs} rows of logits × 10 B"
    return Term("engine step", max(layer, logits), text, PROFILE)


def graphs(shape: Shape, engine: Rollout) -> Term:
    """Return the memory of captured CUDA graphs: logs show 0.1 to 1.5 GiB, more with layers and sizes."""
    size = 0.0 if engine.eager else engine.graphs * (4 + 0.2 * shape.num_layers / max(1, engine.pp)) * 2**20
    text = "off" if engine.eager else f"{engine.graphs} batch sizes of {shape.num_layers} layers"
    return Term("CUDA graphs", size, text, GRAPHS)


LAYERWISE = "Megatron-LM core/transformer/cuda_graphs.py: each layer's graph keeps what goes in and out"
BLOCK = 256


def layer_graphs(shape: Shape, engine: Rollout, cache: float) -> Term:
    """Return what Megatron's engine keeps of its graphs: one a layer and a size, decoding and mixed.

    Sizes go in even steps up to the most requests, which are as many as blocks of the KV cache.
    """
    requests = cache / max(1.0, BLOCK * kv_bytes_per_token(shape, engine))
    tokens = 0.0 if engine.eager else 2 * requests * (engine.graphs + 1) / 2
    size = tokens * 2 * 2.0 * shape.hidden_size * shape.num_layers / max(1, engine.pp)
    text = f"{engine.graphs} sizes up to {requests:.0f} tokens, {shape.num_layers} layers"
    return Term("engine graphs", size, text, LAYERWISE)


def pool(setup: Setup, engine: Rollout) -> float | None:
    """Return bytes that an engine gives its KV cache, None where nobody knows the GPU or the share."""
    if engine.kv_gib is not None:
        return engine.kv_gib * GIB
    if engine.kv_tokens is not None:
        return kv_cache(setup.shape, engine, engine.kv_tokens).bytes
    if engine.fraction is None or setup.gpu_gib is None:
        return None
    share, own = engine.fraction * setup.gpu_gib * GIB, weights(setup.shape, engine).bytes
    if engine.engine == "sglang":  # the share is of weights and KV cache; the rest stays for steps
        return share - own
    return share - own - step(setup.shape, engine).bytes - overheads.CONTEXT_GIB * GIB


def terms(setup: Setup, engine: Rollout) -> Iterator[Term]:
    """Yield what an engine that is awake holds on one GPU."""
    yield weights(setup.shape, engine)
    size = pool(setup, engine)
    if size is not None:
        each = kv_bytes_per_token(setup.shape, engine)
        yield Term("KV cache", max(0.0, size), f"{size / max(1.0, each):.0f} tokens × {each:.0f} B", KV)
    yield step(setup.shape, engine)
    yield graphs(setup.shape, engine)


SLEEP = "vllm/device_allocator/cumem.py: weights and KV cache are unmapped; graphs, workspaces and NCCL stay"


def asleep(setup: Setup, engine: Rollout) -> Iterator[Term]:
    """Yield what an engine keeps on the GPU while it sleeps; one that cannot sleep keeps everything."""
    if not engine.sleeps:
        yield from terms(setup, engine)
        return
    yield graphs(setup.shape, engine)
    yield Term("sleeping engine", 0.4 * GIB, "workspaces and buffers", SLEEP)


def needed(setup: Setup, engine: Rollout) -> float:
    """Return the tokens that one sequence of the longest length needs in the KV cache, whole blocks of 16."""
    length = engine.max_model_len or (setup.batch.seq_len if setup.batch else 0)
    return math.ceil(length / 16) * 16
