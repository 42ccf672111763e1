"""Micro-batches as tensors: one packed row without padding, or a padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from trainer_core.types import Rollout

PAD_TOKEN = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """What one forward pass reads, and for each token that was sampled what the loss needs.

    ``at`` holds the flat positions whose next token was sampled; ``cu_seqlens`` the cumulative
    lengths of the sequences of a packed row, None in a padded batch.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    cu_seqlens: tuple[int, ...] | None
    at: torch.Tensor
    labels: torch.Tensor
    old_logprobs: torch.Tensor
    advantages: torch.Tensor
    weights: torch.Tensor

    def to(self, device: torch.device) -> Rows:
        """Return the same on a device."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("input_ids", "position_ids", "at", "labels", "old_logprobs", "advantages", "weights")
        }
        return Rows(cu_seqlens=self.cu_seqlens, **moved)


def packed(rollouts: Sequence[Rollout], weights: Sequence[float], multiple: int = 1) -> Rows:
    """Return one row of all rollouts; it is padded to a multiple by a sequence without labels.

    Sequences of one length stand together: attention takes them in one call.
    """
    order = sorted(range(len(rollouts)), key=lambda i: rollouts[i].length)
    lengths = [rollouts[i].length for i in order]
    padding = -sum(lengths) % multiple or (0 if lengths else multiple)
    if padding:
        lengths.append(padding)
    ends = (0, *accumulate(lengths))
    ids = [token for i in order for token in _inputs(rollouts[i])] + [PAD_TOKEN] * padding
    positions = [p for length in lengths for p in range(length)]
    return _rows(
        [rollouts[i] for i in order], [weights[i] for i in order], ends, ends,
        torch.tensor([ids]), torch.tensor([positions]),
    )  # fmt: skip


def padded(rollouts: Sequence[Rollout], weights: Sequence[float]) -> Rows:
    """Return a batch padded at the right; a causal model's real tokens never see the padding."""
    width = max((r.length for r in rollouts), default=1)
    ids = [[*_inputs(r), *[PAD_TOKEN] * (width - r.length)] for r in rollouts] or [[PAD_TOKEN]]
    starts = range(0, len(rollouts) * width, width)
    positions = torch.arange(width).expand(len(ids), width)
    return _rows(rollouts, weights, starts, None, torch.tensor(ids), positions)


def split(rows: Rows, part: int, parts: int) -> Rows:
    """Return one rank's slice of a packed row; positions and sequence ends stay those of the whole row."""
    width = rows.input_ids.shape[1] // parts
    first = part * width
    mine = (rows.at >= first) & (rows.at < first + width)
    return Rows(
        input_ids=rows.input_ids[:, first : first + width],
        position_ids=rows.position_ids[:, first : first + width],
        cu_seqlens=rows.cu_seqlens,
        at=rows.at[mine] - first,
        labels=rows.labels[mine],
        old_logprobs=rows.old_logprobs[mine],
        advantages=rows.advantages[mine],
        weights=rows.weights[mine],
    )


def _inputs(rollout: Rollout) -> tuple[int, ...]:
    return (rollout.prompt.token_ids + rollout.token_ids)[:-1]


def _rows(
    rollouts: Sequence[Rollout],
    weights: Sequence[float],
    starts: Sequence[int],
    ends: Sequence[int] | None,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor,
) -> Rows:
    at: list[int] = []
    for rollout, start in zip(rollouts, starts, strict=False):
        first = start + len(rollout.prompt.token_ids) - 1
        at.extend(range(first, first + len(rollout.token_ids)))
    counts = [len(r.token_ids) for r in rollouts]
    return Rows(
        input_ids=input_ids,
        position_ids=position_ids,
        cu_seqlens=tuple(ends) if ends is not None else None,
        at=torch.tensor(at, dtype=torch.long),
        labels=torch.tensor([token for r in rollouts for token in r.token_ids], dtype=torch.long),
        old_logprobs=torch.tensor([p for r in rollouts for p in r.logprobs], dtype=torch.float32),
        advantages=_repeated([r.advantage for r in rollouts], counts),
        weights=_repeated(list(weights), counts),
    )


def _repeated(values: list[float], counts: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).repeat_interleave(torch.tensor(counts, dtype=torch.long))
