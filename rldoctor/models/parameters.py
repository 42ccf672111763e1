"""Parameters of a model, module by module: what a rank holds is a sum of these."""

from __future__ import annotations

from functools import lru_cache

from rldoctor.models.nouns import MLA, Gated, Shape


def kinds(shape: Shape, layers: range) -> tuple[tuple[int, int], ...]:
    """Return one layer of each kind, experts or none and softmax or linear attention, with their number."""
    dense = shape.first_dense_layers if shape.num_experts else shape.num_layers
    every = shape.gated.softmax_every if shape.gated is not None else 0
    return _kinds(layers, dense, shape.moe_layer_freq, every)


@lru_cache(maxsize=512)
def _kinds(layers: range, dense: int, freq: int, softmax_every: int) -> tuple[tuple[int, int], ...]:
    found: dict[tuple[bool, bool], list[int]] = {}
    for index in layers:
        experts = index >= dense and (index + 1) % freq == 0
        linear = bool(softmax_every) and (index + 1) % softmax_every != 0
        found.setdefault((experts, linear), []).append(index)
    return tuple((same[0], len(same)) for same in found.values())


def norm(shape: Shape) -> int:
    """Return the parameters of one norm of the model's width."""
    return shape.hidden_size * (2 if shape.norm_bias else 1)


def attention(shape: Shape) -> int:
    """Return the parameters of one layer's softmax attention, its own norms included."""
    if shape.mla is not None:
        return _latent(shape, shape.mla)
    h, d = shape.hidden_size, shape.head_dim
    queries, keys = shape.num_heads * d, shape.num_kv_heads * d
    gate = queries if shape.gated_attention else 0
    weights = h * (queries + gate + 2 * keys) + queries * h
    biases = (queries + 2 * keys if shape.qkv_bias else 0) + (h if shape.out_bias else 0)
    return weights + biases + (2 * d if shape.qk_norm else 0) + (shape.num_heads if shape.sinks else 0)


def _latent(shape: Shape, mla: MLA) -> int:
    h, a = shape.hidden_size, shape.num_heads
    queries = a * (mla.qk_nope_head_dim + mla.qk_rope_head_dim)
    rank = mla.q_lora_rank
    q = h * queries if rank is None else h * rank + rank + rank * queries
    down = mla.kv_lora_rank + mla.qk_rope_head_dim
    up = mla.kv_lora_rank * a * (mla.qk_nope_head_dim + mla.v_head_dim)
    biases = (rank or 0) + down + h if shape.out_bias else 0
    return q + h * down + mla.kv_lora_rank + up + a * mla.v_head_dim * h + biases


def linear_attention(shape: Shape, gated: Gated) -> int:
    """Return the parameters of one gated delta net: projections, convolution, decay and norm."""
    h, keys, values = shape.hidden_size, gated.key_width, gated.value_width
    projections = h * (2 * keys + 2 * values) + h * 2 * gated.value_heads + values * h
    convolution = (2 * keys + values) * gated.kernel
    return projections + convolution + 2 * gated.value_heads + gated.value_dim


def dense(shape: Shape) -> int:
    """Return the parameters of a dense layer's MLP."""
    h, ffn = shape.hidden_size, shape.ffn_hidden_size
    up = 2 if shape.gated_mlp else 1
    return (up + 1) * h * ffn + (up * ffn + h if shape.mlp_bias else 0)


def expert(shape: Shape) -> int:
    """Return the parameters of one routed expert."""
    h, ffn = shape.hidden_size, shape.moe_ffn or 0
    up = 2 if shape.gated_mlp else 1
    return (up + 1) * h * ffn + (up * ffn + h if shape.expert_bias else 0)


def shared(shape: Shape) -> int:
    """Return the parameters of a layer's shared experts, their gate included."""
    up = 2 if shape.gated_mlp else 1
    gate = shape.hidden_size if shape.shared_gate and shape.shared_ffn else 0
    return (up + 1) * shape.hidden_size * shape.shared_ffn + gate


def router(shape: Shape) -> int:
    """Return the parameters of a layer's router; corrections that no gradient reaches are buffers."""
    experts = shape.num_experts or 0
    return experts * (shape.hidden_size + (1 if shape.router_bias else 0))


def embedding(shape: Shape) -> int:
    """Return the parameters of one embedding or head."""
    return shape.vocab_size * shape.hidden_size


def layer(shape: Shape, index: int, experts: int | None = None) -> int:
    """Return the parameters of a layer; ``experts`` counts only so many of its routed experts."""
    gated = shape.gated
    linear = gated is not None and shape.is_linear(index)
    mixer = linear_attention(shape, gated) if linear and gated is not None else attention(shape)
    norms = shape.norms_per_layer * norm(shape)
    if not shape.is_moe(index):
        return mixer + norms + dense(shape)
    count = (shape.num_experts or 0) if experts is None else experts
    return mixer + norms + router(shape) + count * expert(shape) + shared(shape)


def multi_token(shape: Shape) -> int:
    """Return the parameters of one multi-token prediction layer: a layer, its projection and three norms."""
    return layer(shape, shape.num_layers - 1) + 2 * shape.hidden_size**2 + 3 * norm(shape)


def total(shape: Shape, experts: int | None = None) -> int:
    """Return the parameters in all, multi-token prediction left out."""
    ends = embedding(shape) * (1 if shape.tie_embeddings else 2) + shape.head_bias * shape.vocab_size
    whole = ends + norm(shape) + shape.positions * shape.hidden_size + shape.vision_params
    every = kinds(shape, range(shape.num_layers))
    return whole + sum(count * layer(shape, index, experts) for index, count in every)
