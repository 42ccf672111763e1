"""Parameters, gradients and optimizer state on one rank."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from rldoctor.memory.layout import Lora, Setup, Term
from rldoctor.memory.stages import Piece, of_stage
from rldoctor.models import Shape, parameters

ZERO = "ZeRO, arXiv:1910.02054 §3"
MEGATRON = (
    "Megatron-LM megatron/training/theoretical_memory_usage.py, docs/user-guide/features/dist_optimizer.md"
)
FSDP = "torch/distributed/fsdp/_fully_shard: sharded master parameters, gradients of the same dtype"
FOREACH = "torch/optim/adam.py:_multi_tensor_adam (exp_avg_sq_sqrt)"
QUANTIZED = "torchao/optim/adam.py:single_param_adam"
SOURCES = {"fsdp": FSDP, "megatron": MEGATRON, "megatron_fsdp": "Megatron-LM core/distributed/fsdp"}


STATES = ((r"sgd", 0.0), (r"adafactor", 0.0), (r"lion|adagrad|rmsprop", 1.0))
"""Full states a parameter where they are not Adam's two; Adafactor keeps rows and columns alone."""


def moments(optimizer: str, each: float, shape: Shape) -> float:
    """Return bytes a parameter of an optimizer's states, as its name tells; one full state takes ``each``.

    Muon keeps one state of matrices and Adam's two of embeddings, head and norms (Megatron-LM
    core/optimizer/__init__.py).
    """
    name = optimizer.lower()
    one = next((size for word, size in (("8bit", 1.0), ("4bit", 0.5)) if word in name.replace("-", "")), each)
    full = next((count for pattern, count in STATES if re.search(pattern, name)), 2.0)
    if "muon" in name:
        ends = parameters.embedding(shape) * (1 if shape.tie_embeddings else 2)
        full = 1.0 + ends / max(1, parameters.total(shape))
    return full * one


class Held(Struct, frozen=True):
    """Parameters that one rank computes with, before data parallel ranks share them: dense, and experts'."""

    dense: float
    expert: float = 0.0

    @property
    def all(self) -> float:
        """Return both together."""
        return self.dense + self.expert

    def __add__(self, other: Held) -> Held:
        return Held(self.dense + other.dense, self.expert + other.expert)


def layer(setup: Setup, index: int) -> Held:
    """Return a layer's parameters on one rank: matrices over tp, experts over ep and etp, norms whole."""
    shape, split = setup.shape, setup.parallel
    gated = shape.gated
    mixer: float
    if gated is not None and shape.is_linear(index):
        mixer = parameters.linear_attention(shape, gated)
    else:
        mixer = parameters.attention(shape)
    whole = shape.norms_per_layer * parameters.norm(shape) + _replicated(shape)
    dense = (mixer - _replicated(shape)) / split.tp
    if not shape.is_moe(index):
        return Held(dense + whole + parameters.dense(shape) / split.tp)
    dense += parameters.shared(shape) / split.tp
    own = (shape.num_experts or 0) / split.ep
    return Held(dense + whole + parameters.router(shape), own * parameters.expert(shape) / split.etp)


def _replicated(shape: Shape) -> int:
    """Return what tensor parallelism leaves whole in MLA: the down projections."""
    if shape.mla is None:
        return 0
    down = (shape.mla.q_lora_rank or 0) + shape.mla.kv_lora_rank + shape.mla.qk_rope_head_dim
    return shape.hidden_size * down


def piece(setup: Setup, part: Piece) -> Held:
    """Return the parameters of a virtual stage on one rank; a tied head on a stage of its own is a copy."""
    shape, tp = setup.shape, setup.parallel.tp
    held = Held(0.0)
    for index, count in part.groups:
        one = layer(setup, index)
        held += Held(one.dense * count, one.expert * count)
    if part.mtp:
        extra = parameters.multi_token(shape) - parameters.layer(shape, shape.num_layers - 1)
        one = layer(setup, shape.num_layers - 1) + Held(extra / tp)
        held += Held(one.dense * part.mtp, one.expert * part.mtp)
    return held + Held(_ends(setup, part))


def _ends(setup: Setup, part: Piece) -> float:
    shape, tp = setup.shape, setup.parallel.tp
    matrix = parameters.embedding(shape) / tp
    found = 0.0
    if part.embeds:
        found += matrix + shape.positions * shape.hidden_size + shape.vision_params
    if part.heads:
        found += parameters.norm(shape)
        found += 0.0 if shape.tie_embeddings and part.embeds else matrix
    if part.mtp and not part.embeds:
        found += matrix  # multi-token prediction embeds again
    return found


def held(setup: Setup, stage: int) -> Held:
    """Return the parameters of a pipeline stage on one rank."""
    total = Held(0.0)
    for part in of_stage(setup, stage):
        total += piece(setup, part)
    return total


def adapters(setup: Setup, stage: int) -> Held:
    """Return the parameters of LoRA on a stage: rank × (inputs + outputs) of each linear layer it is on."""
    lora = setup.lora
    if lora is None:
        return Held(0.0)
    total = Held(0.0)
    for part in of_stage(setup, stage):
        for index, count in part.groups:
            one = _adapter(setup, lora, index)
            total += Held(one.dense * count, one.expert * count)
    return total


def layers_of(setup: Setup, stage: int) -> Held:
    """Return the trained parameters of a stage's layers on one rank, its ends left out."""
    if setup.lora is not None:
        return adapters(setup, stage)
    total = Held(0.0)
    for part in of_stage(setup, stage):
        for index, count in part.groups:
            one = layer(setup, index)
            total += Held(one.dense * count, one.expert * count)
    return total


def _adapter(setup: Setup, lora: Lora, index: int) -> Held:
    shape, each = setup.shape, lora.rank * lora.slots
    h, tp = shape.hidden_size, setup.parallel.tp
    queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    attention = (h + queries) * 2 + (h + keys) * 2
    if lora.attention_only:
        return Held(each * attention / tp)
    if not shape.is_moe(index):
        return Held(each * (attention + 3 * (h + shape.ffn_hidden_size)) / tp)
    own = (shape.num_experts or 0) / setup.parallel.ep if lora.experts else 0.0
    return Held(each * attention / tp, each * own * 3 * (h + (shape.moe_ffn or 0)))


def shards(setup: Setup) -> dict[str, tuple[int, int]]:
    """Return over how many ranks weights, gradients and optimizer state are spread: dense, experts."""
    split, scheme = setup.parallel, setup.states.scheme
    full = (max(1, split.replicas), max(1, split.expert_replicas))
    one = (1, 1)
    sharded = setup.states.shard_optimizer
    return {
        "weight": full if scheme in ("fsdp", "zero3", "megatron_fsdp") else one,
        "grad": full if scheme in ("fsdp", "zero2", "zero3", "megatron_fsdp") else one,
        "optimizer": full if scheme not in ("ddp", "megatron") or (scheme == "megatron" and sharded) else one,
    }


def spread(params: Held, over: tuple[int, int], size: float) -> float:
    """Return the bytes of parameters of ``size`` bytes each, spread over ranks."""
    return (params.dense / over[0] + params.expert / over[1]) * size


def terms(setup: Setup, stage: int, *, grads: bool = True) -> Iterator[Term]:
    """Yield parameters, gradients and optimizer state of a training rank; ``grads`` False: none made yet."""
    kept, over = setup.states, shards(setup)
    if kept.away:
        return
    whole = held(setup, stage)
    trained = whole if setup.lora is None else adapters(setup, stage)
    source = SOURCES.get(kept.scheme, ZERO)
    if setup.lora is not None:
        yield _term("frozen parameters", whole, over["weight"], setup.lora.base, source)
    if kept.weight:
        yield _term("parameters", trained, over["weight"], kept.weight, source)
    master = over["optimizer"] if kept.weight else over["weight"]
    name = "master parameters" if kept.weight else "parameters"
    yield _term(name, trained, master, kept.master * (1 - kept.on_host if kept.weight else 1), source)
    if grads and not kept.grad_in_backward:
        yield _term("gradients", trained, over["grad"], kept.grad, source)
    stepped = 1 / setup.lora.slots if setup.lora is not None else 1
    yield _term(
        "optimizer state", trained, over["optimizer"], kept.moments * stepped * (1 - kept.on_host), source
    )


def _term(name: str, params: Held, over: tuple[int, int], size: float, source: str) -> Term:
    parts = [f"{params.dense / 1e6:.1f}M / {over[0]}"]
    if params.expert:
        parts.append(f"{params.expert / 1e6:.1f}M / {over[1]}")
    text = f"({' + '.join(parts)}) × {size:g} B"
    return Term(name, spread(params, over, size), text, source)


def step_temporaries(setup: Setup, stage: int) -> Term:
    """Return what an optimizer step allocates for a moment.

    torch's foreach AdamW makes one more copy of a state; an 8-bit one widens the largest parameter
    and its two states to fp32; a fused one makes nothing.
    """
    kept, over = setup.states, shards(setup)["optimizer"]
    if kept.away:
        return Term("optimizer step", 0.0, "on the host", FSDP)
    if kept.quantized:
        largest = parameters.embedding(setup.shape) / setup.parallel.tp / over[0]
        return Term("optimizer step", 12.0 * largest, "three fp32 copies of the largest parameter", QUANTIZED)
    params = adapters(setup, stage) if setup.lora is not None else held(setup, stage)
    size = kept.moments / 2 if kept.foreach else 0.0
    text = f"one copy of a state, {size:g} B a parameter" if size else "fused: none"
    return Term("optimizer step", spread(params, over, size), text, FOREACH)
