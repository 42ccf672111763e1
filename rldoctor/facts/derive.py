"""What follows from settings in every system: sizes, batch arithmetic, lengths, GPUs.

A system's own formulas come first; a fact that is there already is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

from rldoctor.dialects.formulas import derived, product, quotient
from rldoctor.facts.table import Table
from rldoctor.types import UNKNOWN, Fact, Role

Derivation = Callable[[Table, Role], Iterator[Fact]]
MEGATRON: Final = ("megatron", "megatron_fsdp")
OWN_SIZES: Final[tuple[Role, ...]] = ("ref", "critic")


def derive(table: Table) -> None:
    """Put every derived fact into the table that is not in it yet."""
    for derivation in (_gpus, _sizes, _experts, _batches, _lengths, _budget, _rollout, _asked):
        _take(table, derivation, "policy")
    for role in OWN_SIZES:
        if table.in_use(role) and table.get("batch.max_tokens_per_gpu", role) is not None:
            _take(table, _budget, role)
        if table.in_use(role) and table.get("train.tp", role) is not None:
            for derivation in (_sizes, _experts):
                _take(table, derivation, role)


def _take(table: Table, derivation: Derivation, role: Role) -> None:
    for fact in derivation(table, role):
        if fact.value is not None and table.get(fact.concept, role) is None:
            table.put(fact)


def _gpus(table: Table, role: Role) -> Iterator[Fact]:
    asked = product(table.get("train.nodes"), table.get("train.gpus_per_node"))
    yield derived("train.gpus", asked, ("train.nodes", "train.gpus_per_node"))
    yield derived("rollout.gpus", *_rollout_gpus(table))


def _rollout_gpus(table: Table) -> tuple[Any, tuple[str, ...]]:
    colocate = table.get("cluster.colocate")
    if colocate is UNKNOWN or colocate is True:
        value = UNKNOWN if colocate is UNKNOWN else table.get("train.gpus")
        return value, ("cluster.colocate", "train.gpus")
    own = product(table.get("rollout.nodes"), table.get("rollout.gpus_per_node"))
    return own or None if own is not UNKNOWN else own, ("rollout.nodes", "rollout.gpus_per_node")


def _sizes(table: Table, role: Role) -> Iterator[Fact]:
    world = table.get("train.gpus", role)
    gpus: tuple[Role, str] = (role, "train.gpus") if world is not None else ("policy", "train.gpus")
    world = table.get("train.gpus") if world is None else world
    yield derived("train.world_size", world, (gpus,), role)
    if table.get("train.backend") in MEGATRON and table.get("train.etp", role) is None:
        yield derived("train.etp", table.get("train.tp", role), ("train.tp",), role)
    split = [name for name in ("tp", "pp", "cp", "ulysses_sp") if _size(table, name, role) != 1]
    parts = [_size(table, name, role) for name in split]
    yield derived("train.dp", quotient(world, *parts), (gpus, *(f"train.{name}" for name in split)), role)
    copy = [name for name in ("tp", "pp", "cp") if _size(table, name, role) != 1]
    shared = product(*(_size(table, name, role) for name in copy))
    yield derived("train.model_parallel", shared, tuple(f"train.{name}" for name in copy), role)
    if table.get("train.backend") in MEGATRON and _experts_of(table, role) is not None:
        inner = [_size(table, name, role) for name in ("etp", "ep", "pp")]
        inputs = (gpus, "train.etp", "train.ep", "train.pp")
        yield derived("train.edp", quotient(world, *inner), inputs, role)
        yield derived("train.expert_parallel", product(*inner), inputs[1:], role)


def _experts(table: Table, role: Role) -> Iterator[Fact]:
    if table.get("train.backend") not in MEGATRON:
        return
    own: Role = role if table.get("model.num_experts", role) is not None else "policy"
    experts, ranks = table.get("model.num_experts", own), table.get("train.ep", role)
    inputs: tuple[tuple[Role, str], ...] = ((own, "model.num_experts"), (role, "train.ep"))
    if experts is UNKNOWN or ranks is UNKNOWN:
        yield derived("model.experts_per_rank", UNKNOWN, inputs, role)
    elif experts and ranks:
        yield derived("model.experts_per_rank", math.ceil(experts / ranks), inputs, role)


def _batches(table: Table, role: Role) -> Iterator[Fact]:
    answers = table.get("batch.n_samples")
    samples = product(table.get("batch.prompts_per_step"), answers)
    yield derived("batch.samples_per_rollout", samples, ("batch.prompts_per_step", "batch.n_samples"))
    yield derived(
        "batch.global",
        product(table.get("batch.mini_prompts"), answers),
        ("batch.mini_prompts", "batch.n_samples"),
    )
    rollout, step = table.get("batch.samples_per_rollout"), table.get("batch.global")
    steps = quotient(rollout, step)
    yield derived("batch.steps_per_rollout", steps, ("batch.samples_per_rollout", "batch.global"))
    share = quotient(table.get("batch.global"), table.get("train.dp"))
    yield derived("batch.samples_per_rank", share, ("batch.global", "train.dp"))


def _lengths(table: Table, role: Role) -> Iterator[Fact]:
    lengths = ("batch.max_prompt_len", "batch.max_response_len")
    prompt, answer = (table.get(name) for name in lengths)
    whole = table.get("batch.max_context_len")
    if whole is not None:
        yield derived("batch.longest_sample", whole, ("batch.max_context_len",))
    elif prompt is UNKNOWN or answer is UNKNOWN:
        yield derived("batch.longest_sample", UNKNOWN, lengths)
    elif prompt is not None and answer is not None:
        yield derived("batch.longest_sample", prompt + answer, lengths)


def _budget(table: Table, role: Role) -> Iterator[Fact]:
    """Yield the least token budget of a role, which holds the longest sample."""
    longest = table.get("batch.longest_sample")
    ranks = product(_size(table, "cp", role), _size(table, "ulysses_sp", role))
    own = [name for name in ("train.cp", "train.ulysses_sp") if table.get(name, role) is not None]
    inputs: tuple[tuple[Role, str], ...] = (
        ("policy", "batch.longest_sample"),
        *((role, name) for name in own),
    )
    if longest is UNKNOWN or ranks is UNKNOWN:
        yield derived("batch.min_tokens_per_gpu", UNKNOWN, inputs, role)
    elif longest and ranks:
        yield derived("batch.min_tokens_per_gpu", math.ceil(longest / ranks), inputs, role)


def _rollout(table: Table, role: Role) -> Iterator[Fact]:
    sizes = [name for name in ("tp", "dp", "pp") if table.get(f"rollout.{name}") is not None]
    each = product(*(table.get(f"rollout.{name}") for name in sizes)) if sizes else None
    yield derived("rollout.gpus_per_engine", each, tuple(f"rollout.{name}" for name in sizes))
    each = table.get("rollout.gpus_per_engine")
    engines = quotient(table.get("rollout.gpus"), each)
    yield derived("rollout.engines", engines, ("rollout.gpus", "rollout.gpus_per_engine"))
    node = (
        "rollout.gpus_per_node" if table.get("rollout.gpus_per_node") is not None else "train.gpus_per_node"
    )
    width = table.get(node)
    if width is UNKNOWN or each is UNKNOWN:
        yield derived("rollout.engines_per_node", UNKNOWN, (node, "rollout.gpus_per_engine"))
    elif width and each:
        yield derived("rollout.engines_per_node", max(1, width // each), (node, "rollout.gpus_per_engine"))


def _asked(table: Table, role: Role) -> Iterator[Fact]:
    inputs = ("cluster.colocate", "train.gpus", "rollout.gpus")
    colocate, train, rollout = (table.get(name) for name in inputs)
    if UNKNOWN in (colocate, train, rollout):
        yield derived("cluster.asked_gpus", UNKNOWN, inputs)
    elif train is not None:
        together = max(train, rollout or 0) if colocate else train + (rollout or 0)
        yield derived("cluster.asked_gpus", together, inputs)


def _experts_of(table: Table, role: Role) -> Any:
    own = table.get("model.num_experts", role)
    return table.get("model.num_experts") if own is None else own


def _size(table: Table, name: str, role: Role) -> Any:
    """Return a parallel size: what a system does not have splits nothing."""
    value = table.get(f"train.{name}", role)
    return 1 if value is None else value
