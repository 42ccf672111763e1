"""Which rollouts share a micro-batch, and on which rank."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from trainer_core.config import TrainConfig
from trainer_core.types import Rollout

Batches = list[list[Rollout]]


def deal(rollouts: Sequence[Rollout], train: TrainConfig, ranks: int) -> list[Batches]:
    """Return each rank's micro-batches: equally many on every rank, as sharded collectives need it.

    A rank with too few rollouts gets empty micro-batches.
    """
    if train.packing:
        batches = pack(rollouts, train.max_token_in_packing, ranks)
    else:
        ordered = sorted(rollouts, key=_by_length)
        size = train.micro_batch_size
        batches = [list(ordered[a : a + size]) for a in range(0, len(ordered), size)]
    batches += [[] for _ in range(-len(batches) % ranks)]
    batches.sort(key=lambda batch: -sum(r.length for r in batch))
    return [batches[rank::ranks] for rank in range(ranks)]


def pack(rollouts: Sequence[Rollout], budget: int, ranks: int) -> Batches:
    """Return evenly filled micro-batches of at most ``budget`` tokens, their number a multiple of ``ranks``.

    A rollout longer than the budget stands alone.
    """
    long = [[r] for r in rollouts if r.length >= budget]
    short = sorted((r for r in rollouts if r.length < budget), key=_by_length, reverse=True)
    total = sum(r.length for r in short)
    bins = max(1, -(-total // budget)) if short else 0
    while True:
        bins += -(bins + len(long)) % ranks
        filled = _fill(short, bins, budget)
        if filled is not None:
            return long + [batch for batch in filled if batch]
        bins += 1


def _fill(ordered: Sequence[Rollout], bins: int, budget: int) -> Batches | None:
    """Put each rollout, longest first, into the emptiest bin; None where that bin overflows."""
    batches: Batches = [[] for _ in range(bins)]
    heap = [(0, place) for place in range(bins)]
    for rollout in ordered:
        load, place = heap[0]
        if load + rollout.length > budget:
            return None
        batches[place].append(rollout)
        heapq.heapreplace(heap, (load + rollout.length, place))
    return batches


def _by_length(rollout: Rollout) -> tuple[int, int, tuple[int, ...]]:
    return (rollout.length, rollout.prompt.index, rollout.token_ids)
