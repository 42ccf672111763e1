"""What the trainer works out from its configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rldoctor.dialects.formulas import FactTable, derived, product, quotient
from rldoctor.types import UNKNOWN, Fact


def compute(facts: FactTable) -> Iterable[Fact]:
    """Yield sizes, batch arithmetic and what one process group of ranks implies."""
    ranks = facts.get("train.gpus")
    # one rank where neither the configuration nor torchrun says more
    ranks = 1 if ranks is None else ranks
    on_cpu = facts.raw("cluster.device") == "cpu"
    yield derived("train.gpus", ranks, text="cluster.workers")
    yield derived("train.world_size", ranks, ("train.gpus",))
    yield derived("train.fsdp_size", ranks, ("train.gpus",))
    yield derived("train.fsdp_version", 2, text="fully_shard")
    yield derived(
        "train.dp", quotient(ranks, facts.get("train.ulysses_sp")), ("train.gpus", "train.ulysses_sp")
    )
    yield derived("rollout.gpus", ranks, ("train.gpus",))
    yield derived("rollout.tp", 1, text="each rank samples with its own copy")
    yield derived("cluster.colocate", True, text="the ranks that train also sample")
    yield derived("cluster.asked_gpus", 0 if on_cpu else ranks, ("train.gpus",))
    yield from _batches(facts)


def _batches(facts: FactTable) -> Iterator[Fact]:
    samples = product(facts.get("batch.prompts_per_step"), facts.get("batch.n_samples"))
    counts = ("batch.prompts_per_step", "batch.n_samples")
    yield derived("batch.samples_per_rollout", samples, counts)
    yield derived("batch.global", samples, counts)
    yield derived("batch.steps_per_rollout", 1, text="one update on each rollout")
    prompt, answer = facts.get("batch.max_prompt_len"), facts.get("batch.max_response_len")
    known = isinstance(prompt, int) and isinstance(answer, int)
    longest = prompt + answer if known else UNKNOWN
    lengths = ("batch.max_prompt_len", "batch.max_response_len")
    for concept in ("batch.longest_sample", "batch.max_context_len", "batch.min_tokens_per_gpu"):
        yield derived(concept, longest, lengths)
    yield derived("batch.start_tokens_per_gpu", _an_eighth_of_a_step(facts, samples, longest), lengths)
    yield derived("batch.logprob_dynamic", facts.get("batch.dynamic"), ("batch.dynamic",))
    yield derived("batch.remove_padding", facts.get("batch.dynamic"), ("batch.dynamic",))
    yield derived("batch.loss_global_norm", True, text="the loss is normalised over the global batch")


def _an_eighth_of_a_step(facts: FactTable, samples: Any, longest: Any) -> Any:
    """Return an eighth of the tokens that a rank can have in a step: tuning climbs from there, live."""
    ranks = quotient(facts.get("train.gpus") or 1, facts.get("train.ulysses_sp"))
    if not (isinstance(samples, int) and isinstance(longest, int) and isinstance(ranks, int)):
        return UNKNOWN
    return -(-samples * longest // ranks) // 8
