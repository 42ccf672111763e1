"""Pipeline stages: which layers a rank holds, and how many micro-batches are in flight on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from rldoctor.memory.layout import Setup
from rldoctor.models import parameters

ROUNDS = 3
"""Rounds of an interleaved schedule that are walked: the peak repeats from the second on."""


class Piece(Struct, frozen=True):
    """A virtual stage: its layers, and whether embedding, head and multi-token prediction are on it.

    ``groups`` are layers of one kind: one of them, and how many there are.
    """

    layers: range
    groups: tuple[tuple[int, int], ...] = ()
    embeds: bool = False
    heads: bool = False
    mtp: int = 0


def sizes(setup: Setup) -> tuple[int, ...]:
    """Return the layers of each virtual stage, in the order in which a token passes them."""
    count = max(1, setup.parallel.pp * setup.parallel.vpp)
    return setup.parallel.pieces or _even(setup.shape.num_layers, count)


def of_stage(setup: Setup, stage: int) -> list[Piece]:
    """Return the virtual stages of one pipeline rank."""
    every = sizes(setup)
    return [_piece(setup, every, number) for number in range(stage, len(every), max(1, setup.parallel.pp))]


def _piece(setup: Setup, every: tuple[int, ...], number: int) -> Piece:
    last, shape = number == len(every) - 1, setup.shape
    start = sum(every[:number])
    layers = range(start, min(start + every[number], shape.num_layers))
    groups = parameters.kinds(shape, layers)
    return Piece(layers, groups, number == 0, last, shape.mtp_layers if last else 0)


def distinct(setup: Setup) -> list[int]:
    """Return the stages one of which holds most: of stages alike the first has most in flight."""
    found: dict[object, int] = {}
    for stage in range(setup.parallel.pp):
        parts = of_stage(setup, stage)
        key = tuple(
            (
                tuple((setup.shape.is_moe(i), setup.shape.is_linear(i), n) for i, n in p.groups),
                p.embeds,
                p.heads,
            )
            for p in parts
        )
        found.setdefault(key, stage)
    return list(found.values())


def _even(layers: int, count: int) -> tuple[int, ...]:
    """Split layers evenly; where they do not divide, embedding and head count as a layer each."""
    if layers % count == 0:
        return (layers // count,) * count
    whole = layers + 2
    found = [whole // count + (1 if number < whole % count else 0) for number in range(count)]
    found[0] -= 1
    found[-1] -= 1
    return tuple(max(0, size) for size in found)


def in_flight(setup: Setup, stage: int, weights: Sequence[float]) -> list[int]:
    """Return how many micro-batches each virtual stage of a rank keeps when the rank keeps most.

    ``weights`` is what one micro-batch keeps on each. GPipe: all; 1F1B: pp - stage; interleaved: as
    Megatron-LM's schedule warms up (core/pipeline_parallel/schedules.py:get_pp_rank_microbatches).
    """
    micro = setup.batch.micro_batches if setup.batch else 1
    pp, vpp = setup.parallel.pp, setup.parallel.vpp
    if pp == 1 and vpp == 1:
        return [1]
    if setup.parallel.all_forward:
        return [micro] * vpp
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
