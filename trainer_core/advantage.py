"""Advantage: scored rollouts in, credited rollouts out; those that lost their score stay behind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

from trainer_core.types import Rollout

EPSILON = 1e-4


def credit(rollouts: Sequence[Rollout], deviation: str) -> list[Rollout]:
    """Credit each rollout with its reward minus its group's mean, over a deviation."""
    scored = [rollout for rollout in rollouts if rollout.reward is not None]
    groups: dict[int, list[float]] = defaultdict(list)
    for rollout in scored:
        groups[rollout.prompt.index].append(rollout.reward or 0.0)
    means = {index: fmean(rewards) for index, rewards in groups.items()}
    whole = _deviation([reward for rewards in groups.values() for reward in rewards])
    scales = {
        index: {"group": _deviation(rewards), "batch": whole}.get(deviation, 1.0 - EPSILON) + EPSILON
        for index, rewards in groups.items()
    }
    return [
        replace(r, advantage=((r.reward or 0.0) - means[r.prompt.index]) / scales[r.prompt.index])
        for r in scored
    ]


def _deviation(rewards: Sequence[float]) -> float:
    return stdev(rewards) if len(rewards) > 1 else 0.0
