"""Model parallel sizes with which parameters, gradients and optimizer states fit the GPUs that are there.

They help where every data parallel rank holds the whole of something: Megatron's parameters and gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rldoctor.facts.asking import Ask, powers_of_two
from rldoctor.facts.memory_sizes import states_over_gib
from rldoctor.facts.parallel import USUAL_NODE
from rldoctor.types import UNKNOWN

MOST_NODES: Final = 64
NEEDED: Final = (
    "train.tp",
    "train.pp",
    "train.cp",
    "train.world_size",
    "model.num_heads",
    "model.num_layers",
)


def tp_that_holds(ask: Ask) -> Any:
    """Return the smallest larger tensor parallel size with which the states fit, None where none does."""
    return next((tp for tp in _widths(ask) if _left(ask, {"train.tp": tp}) == 0), None)


def tp_beside_stages(ask: Ask) -> Any:
    """Return the tensor parallel size of the best split into pipeline stages, None where there is none."""
    return next((tp for tp, _ in _splits(ask)), None)


def stages_that_hold(ask: Ask) -> Any:
    """Return the pipeline stages of the best split, None where no split fits."""
    return next((stages for _, stages in _splits(ask)), None)


def ep_that_holds(ask: Ask) -> Any:
    """Return the smallest larger expert parallel size with which the states fit, None where none does."""
    names = ("model.num_experts", "train.ep", "train.world_size", "train.pp", "train.etp")
    values = [ask.get(name) for name in names]
    if UNKNOWN in values:
        return UNKNOWN
    experts, now, world, stages, inner = values
    if not experts or not now or not world:
        return None
    whole = (stages or 1) * (inner or 1)
    sizes = (
        size for size in range(now + 1, experts + 1) if experts % size == 0 and world % (size * whole) == 0
    )
    return next((size for size in sizes if _left(ask, {"train.ep": size}) == 0), None)


def widest_tp(ask: Ask) -> Any:
    """Return the widest tensor parallel size that the GPUs allow, None where it is in force."""
    return max(_widths(ask), default=None)


def gib_left_over(ask: Ask) -> Any:
    """Return by how many GiB the states exceed the GPU even with the widest size, None without one."""
    widest = widest_tp(ask)
    return None if widest is None else _left(ask, {"train.tp": widest})


def nodes_that_hold(ask: Ask) -> Any:
    """Return on how many nodes the states fit where no split over those of now holds them, else None."""
    return next((nodes for nodes, *_ in _grown(ask)), None)


def gpus_on_those_nodes(ask: Ask) -> Any:
    """Return the trainer's GPUs that go with `nodes_that_hold`."""
    return next((gpus for _, gpus, *_ in _grown(ask)), None)


def tp_on_those_nodes(ask: Ask) -> Any:
    """Return the tensor parallel size that goes with `nodes_that_hold`."""
    return next((tp for _, _, tp, _ in _grown(ask)), None)


def stages_on_those_nodes(ask: Ask) -> Any:
    """Return the pipeline stages that go with `nodes_that_hold`."""
    return next((stages for *_, stages in _grown(ask)), None)


def _grown(ask: Ask) -> Iterator[tuple[int, int, int, int]]:
    """Yield nodes, GPUs of the trainer, tensor parallel size and stages with which the states fit."""
    sizes, width = _sizes(ask), _most(ask)
    told = "cluster.nodes" if ask.get("train.nodes") is None else "train.nodes"
    nodes = ask.get(told)
    if sizes is None or type(nodes) is not int or next(_splits(ask), None) is not None:
        return
    layers, heads = sizes["model.num_layers"], sizes["model.num_heads"]
    before = sizes["train.tp"] * sizes["train.pp"]
    widths = [sizes["train.tp"], *powers_of_two(sizes["train.tp"], width)]
    for more in powers_of_two(nodes, MOST_NODES):
        for stages in (sizes["train.pp"], *powers_of_two(sizes["train.pp"], more)):
            for tp in (each for each in widths if heads % each == layers % stages == 0):
                changes = {"train.tp": tp, "train.pp": stages, told: more}
                if told == "cluster.nodes":  # the trainer's GPUs are the product of its own sizes
                    changes["train.gpus"] = tp * stages * sizes["train.world_size"] // before
                gpus = ask.facts.changed(changes).value("train.world_size")
                needed = _needed(ask, gpus, width) if told == "cluster.nodes" else more
                if gpus % (tp * stages) == 0 and needed <= more and _left(ask, changes) == 0:
                    yield needed, gpus, tp, stages


def _needed(ask: Ask, gpus: int, width: int) -> int:
    """Return the nodes that a launch asks for whose trainer has another number of GPUs."""
    now: int = ask.get("train.world_size")
    asked: int = max(ask.get("cluster.asked_gpus") or 0, now)
    return math.ceil((asked + gpus - now) / width)


def _splits(ask: Ask) -> Iterator[tuple[int, int]]:
    """Yield tensor parallel sizes and stages with which the states fit, those that split least first."""
    sizes = _sizes(ask)
    if sizes is None:
        return
    now, layers, ways = sizes["train.tp"], sizes["model.num_layers"], _ways(sizes)
    widths = [now, *_widths(ask)]
    for stages in powers_of_two(sizes["train.pp"], ways):
        if layers % stages == 0:
            fitting = (tp for tp in widths if ways % (tp * stages) == 0)
            yield from (
                (tp, stages) for tp in fitting if _left(ask, {"train.tp": tp, "train.pp": stages}) == 0
            )


def _widths(ask: Ask) -> list[int]:
    """Return the larger tensor parallel sizes that divide heads and GPUs, at most those of a node."""
    sizes = _sizes(ask)
    if sizes is None:
        return []
    ways, heads = _ways(sizes) // sizes["train.pp"], sizes["model.num_heads"]
    upto = powers_of_two(sizes["train.tp"], _most(ask))
    return [tp for tp in upto if ways % tp == 0 and heads % tp == 0]


def _ways(sizes: Mapping[str, int]) -> int:
    """Return the GPUs over which one copy of the model may be spread."""
    return sizes["train.world_size"] // sizes["train.cp"]


def _most(ask: Ask) -> int:
    """Return the GPUs of a node, over which tensor parallelism does not go."""
    told = (ask.get(name) for name in ("cluster.gpus_per_node", "train.gpus_per_node"))
    return min((width for width in told if isinstance(width, int) and width > 0), default=USUAL_NODE)


def _sizes(ask: Ask) -> dict[str, int] | None:
    values = {name: ask.get(name) for name in NEEDED}
    values = {
        name: 1 if value is None and name.startswith("train.") else value for name, value in values.items()
    }
    return values if all(type(value) is int and value > 0 for value in values.values()) else None


def _left(ask: Ask, changes: Mapping[str, int]) -> Any:
    """Return by how many GiB the states exceed the GPU with other sizes."""
    return states_over_gib(Ask(ask.facts.changed(changes), ask.role, ("train",)))
