"""Attention over a packed row, registered with transformers: each sequence sees itself, no mask is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as collectives
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

PACKED = "packed_sdpa"


def runs(cu_seqlens: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield start, number and length of neighbouring sequences of one length."""
    start = 0
    for length, same in groupby(b - a for a, b in pairwise(cu_seqlens)):
        count = len(list(same))
        yield start, count, length
        start += count * length


def packed_sdpa(
    module: torch.nn.Module, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Any, **keywords: Any
) -> tuple[torch.Tensor, None]:
    """Return causal attention within each sequence of a row: from ``[1, H, T, D]`` to ``[1, T, H, D]``.

    With a group as ``ulysses`` each rank brings a slice of the row and computes a share of the heads.
    """
    if keywords.get("sliding_window"):
        raise ValueError("packing does not know sliding-window attention; set train.packing: false")
    cu_seqlens, scale = keywords["cu_seqlens"], keywords.get("scaling")
    if cu_seqlens is None:
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True)
        return out.transpose(1, 2), None
    group = keywords.get("ulysses")
    if group is None:
        return _by_sequence(q, k, v, cu_seqlens, scale), None
    size = dist.get_world_size(group)
    if k.shape[1] % size:
        k, v = (x.repeat_interleave(size // k.shape[1], 1) for x in (k, v))
    q, k, v = (_exchange(x, 1, 2, group) for x in (q, k, v))
    return _exchange(_by_sequence(q, k, v, cu_seqlens, scale), 1, 2, group), None


def _by_sequence(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cu_seqlens: Sequence[int], scale: float | None
) -> torch.Tensor:
    out = []
    for start, count, length in runs(cu_seqlens):
        part = slice(start, start + count * length)
        a, b, c = (x[0, :, part].unflatten(1, (count, length)).transpose(0, 1) for x in (q, k, v))
        seen = functional.scaled_dot_product_attention(a, b, c, is_causal=True, scale=scale, enable_gqa=True)
        out.append(seen.transpose(1, 2).flatten(0, 1))
    return torch.cat(out)[None]


def _exchange(x: torch.Tensor, scatter: int, gather: int, group: Any) -> torch.Tensor:
    """Split one axis over the ranks and collect the other, with gradients."""
    size = dist.get_world_size(group)
    x = x.movedim(scatter, 0).contiguous()
    mine = x.shape[0] // size
    y = collectives.wait_tensor(collectives.all_to_all_single_autograd(x, None, None, group))
    parts = y.view(size, mine, *y.shape[1:]).movedim(1, scatter + 1).unbind(0)
    return torch.cat(parts, dim=gather)


def use(config: Any) -> None:
    """Have a model attend so; its forward then takes ``cu_seqlens`` and ``ulysses``, the sharing group."""
    ALL_ATTENTION_FUNCTIONS.register(PACKED, packed_sdpa)
    config._attn_implementation = PACKED
