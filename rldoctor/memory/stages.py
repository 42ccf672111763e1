"""Pipeline stages: which layers a rank holds, and how many micro-batches are in flight on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rldoctor.memory.layout import Setup

ROUNDS = 3
"""Rounds of an interleaved schedule that are walked: the peak repeats from the second on."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A virtual stage: its layers, and whether embedding, head and multi-token prediction are on it."""

    layers: tuple[int, ...]
    embeds: bool = False
    heads: bool = False
    mtp: int = 0


def pieces(setup: Setup) -> list[Piece]:
    """Return all virtual stages in the order in which a token passes them."""
    count = max(1, setup.parallel.pp * setup.parallel.vpp)
    sizes = setup.parallel.pieces or _even(setup.shape.num_layers, count)
    found: list[Piece] = []
    start = 0
    for number, size in enumerate(sizes):
        last = number == len(sizes) - 1
        layers = tuple(range(start, min(start + size, setup.shape.num_layers)))
        found.append(Piece(layers, number == 0, last, setup.shape.mtp_layers if last else 0))
        start += size
    return found


def _even(layers: int, count: int) -> tuple[int, ...]:
    """Split layers evenly; where they do not divide, embedding and head count as a layer each."""
    if layers % count == 0:
        return (layers // count,) * count
    whole = layers + 2
    sizes = [whole // count + (1 if number < whole % count else 0) for number in range(count)]
    sizes[0] -= 1
    sizes[-1] -= 1
    return tuple(max(0, size) for size in sizes)


def of_stage(setup: Setup, stage: int) -> list[Piece]:
    """Return the virtual stages of one pipeline rank."""
    return pieces(setup)[stage :: max(1, setup.parallel.pp)]


def in_flight(setup: Setup, stage: int, weights: Sequence[float]) -> list[int]:
    """Return how many micro-batches each virtual stage of a rank keeps when the rank keeps most.

    ``weights`` is what one micro-batch keeps on each. 1F1B: pp - stage; interleaved: as Megatron-LM's
    schedule warms up (core/pipeline_parallel/schedules.py:get_pp_rank_microbatches).
    """
    micro = setup.batch.micro_batches if setup.batch else 1
    pp, vpp = setup.parallel.pp, setup.parallel.vpp
    if pp == 1 and vpp == 1:
        return [1]
    if vpp == 1:
        return [max(1, min(micro, pp - stage))]
    return _interleaved(setup, stage, weights, micro)


def _interleaved(setup: Setup, stage: int, weights: Sequence[float], micro: int) -> list[int]:
    pp, vpp = setup.parallel.pp, setup.parallel.vpp
    group = setup.parallel.group or pp
    order = list(_order(min(micro, ROUNDS * group), vpp, group))
    warmup = min(len(order), (pp - stage - 1) * 2 + (vpp - 1) * group)
    kept, best = [0] * vpp, [0] * vpp
    for number, chunk in enumerate(order):
        kept[chunk] += 1
        if _weight(kept, weights) > _weight(best, weights):
            best = list(kept)
        if number >= warmup:
            kept[vpp - 1 - order[number - warmup]] -= 1
    return best


def _order(micro: int, vpp: int, group: int) -> Iterator[int]:
    """Yield the virtual stage of each forward pass, in the order in which a rank runs them."""
    for start in range(0, micro, group):
        for chunk in range(vpp):
            for _ in range(start, min(start + group, micro)):
                yield chunk


def _weight(kept: Sequence[int], weights: Sequence[float]) -> float:
    return sum(count * weight for count, weight in zip(kept, weights, strict=True))
