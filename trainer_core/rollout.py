"""Rollout: prompts in, sampled completions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from trainer_core.config import Config
from trainer_core.protocols import Workers
from trainer_core.types import Prompt, Rollout


def collect(workers: Workers, prompts: Sequence[Prompt], config: Config, step: int) -> list[Rollout]:
    """Sample every prompt as often as the config says, a share on each rank."""
    wanted = [prompt for prompt in prompts for _ in range(config.rollout.samples_per_prompt)]
    shares = spread(wanted, workers.size)
    calls = [(share, config, seed(config.run.seed, step, rank)) for rank, share in enumerate(shares)]
    return [rollout for answers in workers.each("generate", calls) for rollout in answers]


def read(rollouts: Sequence[Rollout], decode: Callable[[Sequence[int]], str]) -> list[Rollout]:
    """Give each rollout its text."""
    return [replace(rollout, text=decode(rollout.token_ids)) for rollout in rollouts]


def spread(items: Sequence[Prompt], parts: int) -> list[list[Prompt]]:
    """Cut a sequence into parts whose sizes differ by at most one."""
    size, more = divmod(len(items), parts)
    starts = [part * size + min(part, more) for part in range(parts + 1)]
    return [list(items[a:b]) for a, b in pairwise(starts)]


def seed(run: int, step: int, rank: int) -> int:
    """Return the seed of a rank at a step: all randomness of a run follows from the run's seed."""
    return (run * 1_000_003 + step) * 4099 + rank
