"""Training: credited rollouts in, one optimizer step out. The driver plans, the ranks compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trainer_core.config import Config
from trainer_core.protocols import Workers
from trainer_core.train.plan import deal
from trainer_core.types import Rollout, Update


def update(workers: Workers, rollouts: Sequence[Rollout], config: Config, step: int) -> Update:
    """Take one optimizer step; return what it did, over all ranks."""
    ulysses = config.train.ulysses
    plans = deal(rollouts, config.train, workers.size // ulysses)
    tokens, samples = sum(len(r.token_ids) for r in rollouts), len(rollouts)
    calls = [(plans[rank // ulysses], tokens, samples, config, step) for rank in range(workers.size)]
    updates: list[Update] = workers.each("train", calls)
    largest = max(sum(r.length for r in batch) for batches in plans for batch in batches)
    return replace(total(updates), micro_batch_tokens=largest)


def total(updates: Sequence[Update]) -> Update:
    """Return the sum of what the ranks report; the gradient norm is the same on all."""
    return Update(
        loss=sum(u.loss for u in updates),
        entropy=sum(u.entropy for u in updates),
        logprob_diff=sum(u.logprob_diff for u in updates),
        logprob_diff_max=max(u.logprob_diff_max for u in updates),
        clipped=sum(u.clipped for u in updates),
        kl=sum(u.kl for u in updates),
        grad_norm=updates[0].grad_norm,
        skipped=any(u.skipped for u in updates),
        cpu_seconds=max(u.cpu_seconds for u in updates),
    )
