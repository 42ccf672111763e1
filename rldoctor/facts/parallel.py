"""Parallel sizes for remedies: what divides the model, fits the world and stays on a node."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from rldoctor.facts.asking import Ask, powers_of_two
from rldoctor.types import UNKNOWN

USUAL_NODE: Final = 8


def ep_for(ask: Ask) -> Any:
    """Return the smallest expert parallel size with at most ``experts_per_rank`` experts a rank.

    It divides the experts, and with ``etp`` (the one in force) and the pipeline it divides the world.
    """
    target, etp = ask.options.get("experts_per_rank", 32), ask.options.get("etp")
    names = ("model.num_experts", "train.ep", "train.world_size")
    experts, now, world = (ask.get(name) for name in names)
    pp = _or_one(ask.get("train.pp"))
    inner = _or_one(ask.get("train.etp") if etp is None else etp)
    if any(value is UNKNOWN for value in (experts, now, world, pp, inner)):
        return UNKNOWN
    if not experts or not now or not world or experts / now <= target:
        return None
    return next(
        (size for size in _divisors(experts) if _fits(size, experts / target, world, inner * pp)), None
    )


def raise_ep(ask: Ask) -> Any:
    """Return a larger expert parallel size: it divides the experts, and with etp and pp the world.

    The smallest with which the memory model says that training fits, else the next.
    """
    names = ("model.num_experts", "train.ep", "train.world_size")
    experts, now, world = (ask.get(name) for name in names)
    inner = [ask.get(name) for name in ("train.etp", "train.pp")]
    if any(value is UNKNOWN for value in (experts, now, world, *inner)):
        return UNKNOWN
    if not experts or not now or not world:
        return None
    whole = _or_one(inner[0]) * _or_one(inner[1])
    sizes = [size for size in _divisors(experts) if size > now and world % (size * whole) == 0]
    return _that_fits(ask, "train.ep", sizes)


def raise_ulysses(ask: Ask) -> Any:
    """Return a larger Ulysses size: a power of two that divides heads and GPUs, at most those of a node.

    The smallest with which the memory model says that the longest sample fits, else the next.
    """
    return _next_size(ask, "train.ulysses_sp", ("model.num_heads", "train.gpus"), fits=True)


def raise_cp(ask: Ask) -> Any:
    """Return a larger context parallel size that the world allows; None where a rank is left no data.

    The smallest with which the memory model says that the longest sample fits, else the next.
    """
    now, names = ask.get("train.cp"), ("train.world_size", "train.tp", "train.pp")
    world, tp, pp = (ask.get(name) for name in names)
    if any(value is UNKNOWN for value in (now, world, tp, pp)):
        return UNKNOWN
    if not now or not world:
        return None
    inner = _or_one(tp) * _or_one(pp)
    sizes = [size for size in powers_of_two(now, world // inner) if world % (inner * size) == 0]
    return _that_fits(ask, "train.cp", sizes)


def raise_tp(ask: Ask) -> Any:
    """Return the next tensor parallel size: it divides heads and the world, at most the GPUs of a node."""
    return _next_size(ask, "train.tp", ("model.num_heads", "train.world_size"))


def raise_rollout_tp(ask: Ask) -> Any:
    """Return the next tensor parallel size of an engine: it divides heads and GPUs of a node."""
    return _next_size(ask, "rollout.tp", ("model.num_heads", "rollout.gpus"))


def whole_node_engine(ask: Ask) -> Any:
    """Return the GPUs of a node, so that one engine fills it; None once it does."""
    now, width = ask.get("rollout.gpus_per_engine"), _node(ask)
    if now is UNKNOWN or width is UNKNOWN:
        return UNKNOWN
    return width if width and now and now < width else None


def _next_size(ask: Ask, concept: str, divided: Iterable[str], *, fits: bool = False) -> Any:
    now, width = ask.get(concept), _node(ask)
    wholes = [ask.get(name) for name in divided]
    if any(value is UNKNOWN for value in (now, width, *wholes)):
        return UNKNOWN
    if not now or not width or not all(wholes):
        return None
    sizes = [size for size in powers_of_two(now, width) if all(whole % size == 0 for whole in wholes)]
    return _that_fits(ask, concept, sizes) if fits else next(iter(sizes), None)


def _that_fits(ask: Ask, concept: str, sizes: list[int]) -> Any:
    """Return the first size that the memory model says fits, the first of all where it cannot tell."""
    if len(sizes) < 2 or ask.role != "policy":
        return next(iter(sizes), None)
    from rldoctor.facts.memory_sizes import split_fits

    return next((size for size in sizes if split_fits(ask.facts, concept, size)), sizes[0])


def _node(ask: Ask) -> Any:
    """Return the GPUs of a node; where nobody tells, all of the trainer up to those of a usual node."""
    for name in ("cluster.gpus_per_node", "train.gpus_per_node"):
        value = ask.get(name)
        if value is not None:
            return value
    gpus = ask.get("train.gpus")
    return min(gpus, USUAL_NODE) if isinstance(gpus, int) else gpus


def _fits(size: int, least: float, world: int, inner: int) -> bool:
    return size >= math.ceil(least) and world % (size * inner) == 0


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]


def _or_one(value: Any) -> Any:
    return 1 if value is None or value == 0 else value
