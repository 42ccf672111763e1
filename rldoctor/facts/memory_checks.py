"""Layouts and sizes that no run can have: an estimate says so instead of giving a number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from rldoctor.facts.walk import Facts
from rldoctor.memory.layout import Setup
from rldoctor.models.config_fields import LARGEST, MOST_LAYERS

POSITIVE: Final = (
    "train.tp",
    "train.pp",
    "train.vpp",
    "train.cp",
    "train.ep",
    "train.etp",
    "train.ulysses_sp",
    "train.world_size",
    "rollout.tp",
    "batch.micro",
    "batch.max_tokens_per_gpu",
    "batch.max_tokens_logprob",
    "batch.max_prompt_len",
    "batch.max_response_len",
    "model.num_layers",
    "model.hidden_size",
    "model.num_heads",
    "model.vocab_size",
    "cluster.gpu_memory_gib",
    "cluster.host_memory_gib",
    "cluster.worker_memory_gib",
    "sync.bucket",
)
MOST: Final = 10**15
MOST_OF: Final = {"model.num_layers": MOST_LAYERS, "model.vocab_size": LARGEST, "model.hidden_size": LARGEST}


def sizes(facts: Facts) -> Iterator[str]:
    """Yield what is no size: zero, negative, infinite, or beyond anything that exists."""
    for concept in POSITIVE:
        value = facts.value(concept)
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and not 0 < value < MOST_OF.get(concept, MOST)
        ):
            yield f"{concept} is {value:g}, not a size"
    share = facts.value("rollout.mem_fraction")
    if isinstance(share, int | float) and not 0 < share <= 1:
        yield f"rollout.mem_fraction is {share:g}, not a share"


def layout(setup: Setup) -> Iterator[str]:
    """Yield what does not divide."""
    split, shape = setup.parallel, setup.shape
    model = split.tp * split.pp * split.cp * split.ulysses
    if split.world % model:
        yield f"{split.world} ranks are no multiple of tp × pp × cp × Ulysses = {model}"
    for name, size in (("tp", split.tp), ("Ulysses", split.ulysses)):
        if shape.num_heads % size:
            yield f"{shape.num_heads} attention heads do not divide by {name} {size}"
    if shape.num_heads % shape.num_kv_heads:
        yield f"{shape.num_heads} attention heads do not divide by {shape.num_kv_heads} KV heads"
    if split.pp * split.vpp > shape.num_layers:
        yield f"{shape.num_layers} layers are fewer than {split.pp * split.vpp} pipeline stages"
    if shape.num_experts:
        yield from _experts(setup, shape.num_experts)


def _experts(setup: Setup, experts: int) -> Iterator[str]:
    split = setup.parallel
    if experts % split.ep:
        yield f"{experts} experts do not divide by ep {split.ep}"
    if split.world % math.prod((split.etp, split.ep, split.pp)):
        yield f"{split.world} ranks are no multiple of etp × ep × pp = {split.etp * split.ep * split.pp}"
