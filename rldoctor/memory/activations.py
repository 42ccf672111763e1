"""Activations: what a layer keeps for the backward pass, and what it needs for a moment there.

All sizes are bytes for each token that a rank sees, after context and Ulysses parallelism. They are
counted in bf16, 2 bytes, and scaled where a run computes in fp32. Korthikanti et al.,
arXiv:2205.05198 §4 counts the same tensors for GPT-3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from rldoctor.memory.layout import Recompute, Setup
from rldoctor.models import MLA, Gated

BF16 = 2
FP32 = 4


class Part(Struct, frozen=True):
    """A tensor of a layer: bytes a token, and the group by which recomputation drops it."""

    group: str
    bytes: float


DROPPED = {
    "core_attn": ("scores",),
    "layernorm": ("norm",),
    "mla_up_proj": ("mla_up",),
    "mlp": ("dense", "dense_act"),
    "moe_act": ("expert_act",),
    "moe": ("router", "expert_in", "expert_fc1", "expert_act", "expert_out", "shared"),
    "shared_experts": ("shared",),
}
GRAPHED = {
    "attn": ("qkv", "mla_up", "core", "scores"),
    "mlp": ("dense", "dense_act"),
    "moe_router": ("router",),
}


def tokens(setup: Setup) -> float:
    """Return the tokens of a micro-batch on one rank."""
    if setup.batch is None:
        return 0.0
    return setup.batch.tokens / (setup.parallel.cp * setup.parallel.ulysses)


def stream(setup: Setup) -> float:
    """Return bytes a token of the residual stream: whole, or split by sequence parallelism."""
    whole = setup.kernels.width * setup.shape.hidden_size
    return whole / setup.parallel.tp if setup.parallel.sequence_parallel else whole


def parts(setup: Setup, index: int) -> list[Part]:
    """Return what a layer's forward pass computes and its backward pass wants, without recomputation."""
    shape = setup.shape
    found: list[Part] = []
    gated = shape.gated
    if gated is not None and shape.is_linear(index):
        found += _linear(setup, gated)
    else:
        found += _attention(setup)
    found += _experts(setup) if shape.is_moe(index) else _dense(setup)
    if setup.kernels.width != BF16:
        scale = setup.kernels.width / BF16
        return [*_around(setup), *(Part(part.group, part.bytes * scale) for part in found)]
    found = [*_around(setup), *found]
    return [_in_fp8(part) for part in found] if setup.kernels.fp8 and setup.kernels.stack == "te" else found


def _in_fp8(part: Part) -> Part:
    """Return a part as fp8 keeps it: what goes into a matrix product takes one byte (Transformer Engine)."""
    share = {"norm": 0.5, "expert_in": 0.5, "expert_act": 0.5, "dense_act": 0.5}.get(part.group, 1.0)
    return Part(part.group, part.bytes * share)


def _around(setup: Setup) -> Iterator[Part]:
    """Yield the residual stream before each half, the norms' outputs, and dropout masks of one byte."""
    each = stream(setup)
    if setup.kernels.stack != "eager":
        yield Part("input", each)
        yield Part("residual", each)
    yield Part("norm", 2 * each)
    if setup.parallel.sequence_parallel and setup.kernels.stack != "te":
        # DTensor keeps the gathered inputs of both halves; Megatron gathers them again
        yield Part("norm", 2 * setup.kernels.width * setup.shape.hidden_size)
    if setup.kernels.stack == "eager":
        yield Part("norm", setup.shape.norms_per_layer * eager_norm(setup) * each)
    if setup.kernels.dropout:
        yield Part("mask", each)


def eager_norm(setup: Setup) -> int:
    """Return what a norm of transformers keeps beside its output, in widths of its half-precision input.

    The fp32 copy, which stands in for the input (none in fp32, where the input itself stays), and the
    normalised input where its weight is trained, in fp32 too where the norm works in it to the end.
    """
    half = setup.kernels.width == BF16
    return (2 if half else 1) + (setup.lora is None) * (2 if half and setup.kernels.fp32_norm else 1)


def _attention(setup: Setup) -> Iterator[Part]:
    shape, tp = setup.shape, setup.parallel.tp
    if shape.mla is not None:
        yield from _latent(setup, shape.mla)
        values = shape.num_heads * shape.mla.v_head_dim
    else:
        values = shape.num_heads * shape.head_dim
        keys = max(shape.num_kv_heads, tp) * shape.head_dim
        yield Part("qkv", BF16 * (values + 2 * keys) / tp)
        if setup.kernels.stack == "eager":
            yield Part("qkv", BF16 * shape.qk_norm * eager_norm(setup) * (values + keys) / tp)
        elif shape.qk_norm or setup.kernels.stack == "compiled":
            yield Part("qkv", BF16 * (values + keys) / tp)  # before the norm or the rotation
    yield Part("core", BF16 * values / tp)
    yield from _core(setup)


def _core(setup: Setup) -> Iterator[Part]:
    """Yield what the attention kernel keeps: a log-sum-exp a head, or all scores where it is not fused."""
    heads = setup.shape.num_heads / setup.parallel.tp
    if setup.kernels.flash:
        yield Part("core", FP32 * heads)
        return
    length = setup.batch.seq_len / setup.parallel.cp if setup.batch else 0
    kept = BF16 + (1 + BF16 if setup.kernels.dropout else 0)
    yield Part("scores", heads * length * setup.parallel.cp * kept)


def _latent(setup: Setup, mla: MLA) -> Iterator[Part]:
    shape, tp = setup.shape, setup.parallel.tp
    down = (mla.q_lora_rank or 0) + mla.kv_lora_rank + mla.qk_rope_head_dim
    yield Part("qkv", 2 * BF16 * down)
    width = mla.qk_nope_head_dim + mla.qk_rope_head_dim
    # queries and keys joined with their rotated parts, values copied out of what both came from
    yield Part("mla_up", BF16 * shape.num_heads * (2 * width + mla.v_head_dim) / tp)


def _linear(setup: Setup, gated: Gated) -> Iterator[Part]:
    """Yield a gated delta net's projections, convolution, states a chunk and gated output."""
    tp = setup.parallel.tp
    mixed = 2 * gated.key_width + gated.value_width
    yield Part("qkv", BF16 * 2 * mixed / tp)
    yield Part("core", BF16 * 3 * gated.value_width / tp)
    yield Part("core", FP32 * gated.value_heads * gated.key_dim * gated.value_dim / (64 * tp))


def _dense(setup: Setup) -> Iterator[Part]:
    ffn, tp = setup.shape.ffn_hidden_size, setup.parallel.tp
    up = 2 if setup.shape.gated_mlp else 1
    extra = 1 if setup.kernels.stack == "eager" and setup.shape.gated_mlp else 0
    yield Part("dense", BF16 * (up + extra) * ffn / tp)
    yield Part("dense_act", BF16 * ffn / tp)


def rows(setup: Setup) -> float:
    """Return how many rows reach a rank's experts for each of its tokens.

    A rank that holds all experts sees exactly its own; under expert parallelism the fullest sees more, but
    no more than a capacity lets it (Megatron-LM core/transformer/moe/moe_utils.py:get_capacity).
    """
    shape, split, kernels = setup.shape, setup.parallel, setup.kernels
    share = split.etp / split.tp if split.tp > 1 else 1.0
    mean = setup.free.imbalance if split.ep > 1 else 1.0
    if kernels.capacity is not None:
        mean = kernels.capacity if kernels.padded else min(mean, kernels.capacity)
    return (shape.moe_topk or 0) * share * mean


def _experts(setup: Setup) -> Iterator[Part]:
    shape, split = setup.shape, setup.parallel
    count, inner = rows(setup), (shape.moe_ffn or 0) / split.etp
    up = 2 if shape.gated_mlp else 1
    share = 1 / split.tp if split.sequence_parallel else 1.0
    yield Part("router", 3 * FP32 * (shape.num_experts or 0) * share)
    yield Part("expert_in", BF16 * shape.hidden_size * count)
    yield Part("expert_fc1", BF16 * up * inner * count)
    yield Part("expert_act", BF16 * inner * (1 + _unfused(setup)) * count)
    if setup.kernels.stack != "te":
        width = FP32 if setup.kernels.fp32_combine else BF16
        yield Part("expert_out", width * shape.hidden_size * count)
    yield Part("shared", BF16 * (up + 1) * shape.shared_ffn / split.tp)


def _unfused(setup: Setup) -> int:
    """Return how many widths an expert's activation keeps beside its output, kernel by kernel.

    Megatron-LM fuses it for gated units alone (core/transformer/moe/experts.py); else the activation is
    kept to be weighted, and of a gated unit the activated half too.
    """
    gated = setup.shape.gated_mlp
    if setup.kernels.stack == "te":
        return 0 if gated and setup.kernels.fused_swiglu else 1 + gated
    return int(gated and setup.kernels.stack == "eager")


def total(found: Iterable[Part]) -> float:
    """Return bytes a token of some parts."""
    return sum(part.bytes for part in found)


def kept(setup: Setup, index: int) -> float:
    """Return bytes a token that a layer keeps until its backward pass, under the recomputation in force."""
    recompute = setup.recompute
    if recompute.kind == "full":
        return 0.0 if recompute.offload else stream(setup)
    every = parts(setup, index)
    if recompute.alternate_matmuls:
        return _alternate(setup, every)
    return total(part for part in every if part.group not in dropped(recompute))


def dropped(recompute: Recompute) -> set[str]:
    """Return the groups of tensors that selective recomputation drops."""
    modules = recompute.modules if recompute.kind == "selective" else ()
    return {group for module in modules for group in DROPPED.get(module, ())}


def captured(setup: Setup, index: int) -> float:
    """Return bytes a token that a layer keeps inside CUDA graphs."""
    if not setup.kernels.graphed or setup.recompute.kind == "full":
        return 0.0
    inside = {group for module in setup.kernels.graphed for group in GRAPHED.get(module, ())}
    inside -= dropped(setup.recompute)
    return total(part for part in parts(setup, index) if part.group in inside)


def _alternate(setup: Setup, every: list[Part]) -> float:
    """Return what torchtitan's selective mode keeps: attention outputs and every second matrix product."""
    shape, tp = setup.shape, setup.parallel.tp
    queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    core = total(part for part in every if part.group == "core")
    products = queries + keys + shape.ffn_hidden_size
    # the last product is only added to the residual: a compiled backward graph never asks for it
    last = 0.0 if setup.kernels.stack == "compiled" else stream(setup)
    return stream(setup) + core + setup.kernels.width * products / tp + last


def feed_forward_gradients(setup: Setup, index: int) -> float:
    """Return bytes a token of the gradients inside an MLP or the experts at their widest point."""
    up = 2 if setup.shape.gated_mlp else 1
    if setup.shape.is_moe(index):
        return _expert_gradients(setup, up)
    return BF16 * (up + 1) * setup.shape.ffn_hidden_size / setup.parallel.tp


def _expert_gradients(setup: Setup, up: int) -> float:
    """Return an expert's gradients: its inner widths, its output's, and its input's.

    Where gate and up are two products, each gives an input gradient of its own before they are added.
    """
    shape, count = setup.shape, rows(setup)
    width = (up + 1) * (shape.moe_ffn or 0) / setup.parallel.etp
    ends = (2 if setup.kernels.stack == "te" else 4) * shape.hidden_size
    # weighting in fp32: the gradient, its fp32 copy, and its products with weights and with outputs
    combine = (BF16 + 3 * FP32) * shape.hidden_size if setup.kernels.fp32_combine else 0
    return max(
        max(BF16 * (width + ends), combine) * count, BF16 * shape.hidden_size * count + gathered(setup)
    )


def gathered(setup: Setup) -> float:
    """Return bytes a token of what an allgather dispatcher collects: tokens of all ranks that share experts.

    Megatron-LM core/transformer/moe/token_dispatcher.py:MoEAllGatherTokenDispatcher; 0 for the others, which
    receive no more than the rows that their experts take.
    """
    split = setup.parallel
    if not setup.kernels.gathers_tokens:
        return 0.0
    share = 1 / split.tp if split.sequence_parallel else 1.0
    return BF16 * setup.shape.hidden_size * split.ep * split.etp * share


def attention_gradients(setup: Setup) -> float:
    """Return the gradients of q, k, v and the output, and flash attention's fp32 sum of q's.

    Ulysses holds all four once more, before and after they go to other ranks (arXiv:2309.14509 §3).
    """
    shape, tp = setup.shape, setup.parallel.tp
    queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    times = 2 if setup.parallel.ulysses > 1 else 1
    if not setup.kernels.flash:  # no fp32 sum, but the gradient of all scores
        length = setup.batch.seq_len if setup.batch else 0
        return BF16 * (2 * queries + 2 * keys + shape.num_heads * length) / tp
    return (times * BF16 * (2 * queries + 2 * keys) + FP32 * queries) / tp


LATER = frozenset(
    ("dense", "dense_act", "router", "expert_in", "expert_fc1", "expert_act", "expert_out", "shared")
)
"""Groups of a layer's second half: gone when the backward pass reaches its attention."""


def freed(every: Iterable[Part]) -> float:
    """Return bytes a token that the backward pass of a layer's second half has freed, a norm with it."""
    return sum(part.bytes * (0.5 if part.group == "norm" else part.group in LATER) for part in every)


def working(setup: Setup, index: int) -> float:
    """Return bytes a token that a layer's backward pass holds beyond what was kept for it.

    Its widest point is in the second half, where all of the layer is there, or in attention, where the
    second half is gone.
    """
    every = parts(setup, index)
    again = total(every) - kept(setup, index) if setup.recompute.kind != "none" else 0.0
    if setup.recompute.kind == "full":
        again = total(part for part in every if part.group != "input")
    times = setup.free.compiled if setup.kernels.stack == "compiled" and again > 0 else 1.0
    scale = setup.kernels.width / BF16
    second = feed_forward_gradients(setup, index) * scale
    first = attention_gradients(setup) * scale - freed(every)
    return times * (max(0.0, again) + max(second, first) + 2 * stream(setup))
