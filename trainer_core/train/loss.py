"""Losses. Each is a weight for a sequence's tokens, so that micro-batches only add up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from trainer_core.config import AlgorithmConfig
from trainer_core.types import Rollout

# (tokens of the answer, of the whole batch, samples of the batch, longest answer) -> weight of a token
TokenWeight = Callable[[int, int, int, int], float]
WEIGHTS: Final[dict[str, TokenWeight]] = {
    "dapo": lambda length, tokens, samples, longest: 1 / tokens,
    "grpo": lambda length, tokens, samples, longest: 1 / (samples * length),
    "dr_grpo": lambda length, tokens, samples, longest: 1 / (samples * longest),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """The loss of one micro-batch, and what it was made of; all but ``loss`` are sums over its tokens."""

    loss: torch.Tensor
    clipped: torch.Tensor
    kl: torch.Tensor


def token_weights(
    rollouts: Sequence[Rollout], name: str, tokens: int, samples: int, longest: int
) -> list[float]:
    """Return for each rollout how much one of its tokens counts in the loss of the global batch."""
    return [WEIGHTS[name](len(r.token_ids), tokens, samples, longest) for r in rollouts]


def policy_loss(
    logprobs: torch.Tensor,
    old: torch.Tensor,
    advantages: torch.Tensor,
    weights: torch.Tensor,
    reference: torch.Tensor | None,
    algorithm: AlgorithmConfig,
) -> Terms:
    """Return the clipped policy loss, plus the KL to a reference where there is one."""
    ratio = (logprobs - old).exp()
    clipped = ratio.clamp(1 - algorithm.clip_low, 1 + algorithm.clip_high)
    loss = -torch.minimum(ratio * advantages, clipped * advantages)
    kl = torch.zeros_like(logprobs)
    if reference is not None:
        kl = (reference - logprobs).exp() - (reference - logprobs) - 1
        loss = loss + algorithm.kl * kl
    outside = (clipped * advantages < ratio * advantages).sum()
    return Terms((loss * weights).sum(), outside.detach(), kl.detach().sum())
