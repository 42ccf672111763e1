"""The largest value that fits, found on the setup itself where a concept acts on it alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from rldoctor.facts import Facts
from rldoctor.facts.memory_fit import LARGEST, PHASES, VARIED, acting, largest_that_fits, room_of, with_value
from rldoctor.facts.memory_setup import sized
from rldoctor.facts.told import split, typed
from rldoctor.memory.layout import GIB, Setup
from rldoctor.types import UNKNOWN, RLDoctorError

SIZES: Final = ("train.tp", "train.pp", "train.cp", "train.ep", "train.ulysses_sp", "rollout.tp")


def pair(text: str) -> tuple[str, Any]:
    """Return concept and typed value of ``concept=value``."""
    name, equals, value = text.partition("=")
    if not equals:
        raise RLDoctorError(
            f"--what-if {text}: not CONCEPT=VALUE", hint="--what-if batch.max_tokens_per_gpu=16384"
        )
    return name.strip(), next(iter(typed({name.strip(): value}).values()))


def solve(facts: Facts, setup: Setup, name: str) -> dict[str, Any]:
    """Return the largest value of a concept with which every phase surely fits."""
    if split(name) is None:
        typed({name: "1"})  # says which names are near
    if setup.gpu_gib is None:
        raise RLDoctorError(
            f"--solve {name}: the GPU's size is not known", hint="--set cluster.gpu_memory_gib=80"
        )
    if name in VARIED:
        value = largest_that_fits(setup, acting(facts, name, setup))
    elif name in SIZES:
        value = _largest_size(facts, setup, name)
    else:
        known = ", ".join((*(word for word in VARIED if " " not in word), *SIZES))
        raise RLDoctorError(f"--solve {name}: nothing is known about how memory follows from it", hint=known)
    now, grows = facts.value(name), value is not UNKNOWN
    value = value if grows else None
    return {
        "concept": name,
        "value": value,
        "grows": grows,
        "now": now if isinstance(now, int | float) else None,
        "room_gib": None if value is None else round(_room(facts, setup, name, value) / GIB, 2),
        "limit": LARGEST.get(name),
    }


def _room(facts: Facts, setup: Setup, name: str, value: Any) -> float:
    if name in VARIED:
        variation = acting(facts, name, setup)
        return room_of(with_value(setup, variation, value), PHASES[variation])
    other = sized(facts.changed({name: value})).setup
    return room_of(replace(other, free=setup.free)) if other is not None else 0.0


def _largest_size(facts: Facts, setup: Setup, name: str) -> int | None:
    """Return the smallest parallel size with which the run fits: more of it only costs speed."""
    tried: Sequence[int] = [size for size in (1, 2, 4, 8, 16, 32, 64) if setup.parallel.world % size == 0]
    holds: Callable[[int], bool] = lambda size: _room(facts, setup, name, size) >= 0  # noqa: E731
    return next((size for size in tried if holds(size)), None)
