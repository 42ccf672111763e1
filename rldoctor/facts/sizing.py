"""Sizes for remedies: a value, None where it is spent, or UNKNOWN where something is missing.

Lowering gives something strictly smaller; raising jumps to the smallest legal value that meets its target.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rldoctor import expr
from rldoctor.facts.asking import Ask, Name, room_is_known
from rldoctor.facts.told import split
from rldoctor.facts.walk import Facts
from rldoctor.types import UNKNOWN, Role

FUNCTIONS: Final[Mapping[str, str]] = {
    name: f"rldoctor.facts.{module}:{name}"
    for module, names in {
        "sizing": (
            "halve",
            "double",
            "lower_fraction",
            "lower_tokens",
            "raise_tokens",
            "longer_timeout",
            "power_of_two",
            "global_batch_for",
            "micro_for",
            "gpus_for",
            "missing",
            "largest_divisor",
            "multiple_of",
            "lower_micro",
        ),
        "parallel": (
            "ep_for",
            "raise_ep",
            "raise_ulysses",
            "raise_cp",
            "raise_tp",
            "raise_rollout_tp",
            "whole_node_engine",
        ),
        "mismatch": ("shape_mismatch", "size_of_checkpoint"),
        "memory_sizes": ("over_gib", "states_over_gib", "memory_line"),
        "memory_spread": (
            "tp_that_holds",
            "tp_beside_stages",
            "stages_that_hold",
            "ep_that_holds",
            "widest_tp",
            "gib_left_over",
            "nodes_that_hold",
            "gpus_on_those_nodes",
            "tp_on_those_nodes",
            "stages_on_those_nodes",
        ),
    }.items()
    for name in names
}
MEMORY: Final = ("rldoctor.facts.memory_sizes", "rldoctor.facts.memory_spread")
LONGER: Final = 2
LARGEST: Final = 1 << 16  # no batch or parallel size is searched above it


def call(
    name: str,
    facts: Facts,
    args: Sequence[expr.Node],
    keywords: Mapping[str, expr.Node],
    role: Role = "policy",
) -> Any:
    """Return what a sizing function gives; UNKNOWN for a function or an argument that nobody knows."""
    if name not in FUNCTIONS:
        return UNKNOWN
    module, _, function = FUNCTIONS[name].partition(":")
    if module in MEMORY and not room_is_known(facts):
        return UNKNOWN
    compute: Callable[[Ask], Any] = getattr(importlib.import_module(module), function)
    scope = _Scope(facts, role)
    options = {key: expr.evaluate(node, scope) for key, node in keywords.items()}
    values = tuple(_argument(node, scope) for node in args)
    if any(value is UNKNOWN for value in (*options.values(), *values)):
        return UNKNOWN
    return compute(Ask(facts, role, values, options))


def halve(ask: Ask) -> Any:
    """Return half of a value, not below ``floor`` (1 for whole numbers); None below it.

    Where memory follows from it and the GPU's size is known: the largest that the model says fits.
    """
    value, floor = ask.value(), ask.options.get("floor")
    if not _is_number(value):
        return value if value is UNKNOWN else None
    half = value // 2 if isinstance(value, int) else value / 2
    least = (1 if isinstance(value, int) else 0) if floor is None else floor
    fits = _fitting(ask, least)
    if fits is not UNKNOWN:
        return fits
    return half if half >= least and half < value else None


def double(ask: Ask) -> Any:
    """Return twice a value, None above ``ceiling``."""
    value, ceiling = ask.value(), ask.options.get("ceiling")
    if not _is_number(value):
        return value if value is UNKNOWN else None
    return None if value <= 0 or (ceiling is not None and value * 2 > ceiling) else value * 2


def lower_fraction(ask: Ask) -> Any:
    """Return a memory fraction lowered by ``step`` (0.1), None below ``floor`` (0.2).

    Where the GPU's size is known: what the model says fits, if that is lower still.
    """
    value = ask.value()
    if not _is_number(value):
        return value if value is UNKNOWN else None
    fits = _fitting(ask, ask.options.get("floor", 0.2))
    if fits is not UNKNOWN and fits is not None and fits < value - ask.options.get("step", 0.1):
        return fits
    lowered = round(value - ask.options.get("step", 0.1), 4)
    return lowered if lowered >= ask.options.get("floor", 0.2) else None


def lower_tokens(ask: Ask) -> Any:
    """Return a smaller token budget, never below what the longest sample needs.

    The largest that the memory model says fits; where it cannot tell, or holds the one in force for
    good, what the system's guide starts from, and half once that is in force.
    """
    value, least = ask.value(), ask.get("batch.min_tokens_per_gpu")
    start = ask.get("batch.start_tokens_per_gpu")
    if value is UNKNOWN or least is UNKNOWN or start is UNKNOWN:
        return UNKNOWN
    if not _is_number(value):
        return None
    floor = max(least or 0, 1)
    fits = _fitting(ask, floor)
    if fits is not UNKNOWN:
        return None if fits is None else max(int(fits), floor)
    if start and max(start, floor) < value:
        return max(start, floor)
    half = max(value // 2, floor)
    return half if half < value else None


def _fitting(ask: Ask, floor: float) -> Any:
    """Return what the memory model says fits below the value in force, UNKNOWN where it cannot tell."""
    if not room_is_known(ask.facts):
        return UNKNOWN
    from rldoctor.facts.memory_sizes import fitting

    return fitting(ask, floor)


def lower_micro(ask: Ask) -> Any:
    """Return a smaller micro-batch: the largest that fits and divides a rank's samples, else half."""
    value, samples = ask.get("batch.micro"), ask.get("batch.samples_per_rank")
    if value is UNKNOWN:
        return UNKNOWN
    if not isinstance(value, int) or isinstance(value, bool) or value <= 1:
        return None
    found = _fitting(Ask(ask.facts, ask.role, (Name("batch.micro"),)), 1)
    most = value // 2 if found is UNKNOWN or found is None else int(found)
    if not isinstance(samples, int) or samples < 1:
        return max(1, most)
    return next(size for size in range(max(1, most), 0, -1) if samples % size == 0)


def raise_tokens(ask: Ask) -> Any:
    """Return the least token budget that the longest sample allows, None if the one in force is enough."""
    value, least = ask.value(), ask.get("batch.min_tokens_per_gpu")
    if value is UNKNOWN or least is UNKNOWN:
        return UNKNOWN
    return least if _is_number(least) and (value is None or value < least) else None


def longer_timeout(ask: Ask) -> Any:
    """Return a timeout in seconds above ``factor`` (2) times the ``measured`` duration, in whole minutes."""
    value, measured = ask.get("dist.timeout"), ask.options.get("measured")
    if value is UNKNOWN:
        return UNKNOWN
    if not _is_number(value):
        return None
    base = value if not _is_number(measured) else max(measured, value)
    longer = (math.floor(base * ask.options.get("factor", LONGER) / 60) + 1) * 60
    return longer if longer > value else None


def power_of_two(ask: Ask) -> Any:
    """Return the nearest power of two that is not above the value; with ``up``, not below it."""
    value = ask.value()
    if not _is_number(value) or value < 1:
        return value if value is UNKNOWN else None
    below: int = 1 << (int(value).bit_length() - 1)
    return below * 2 if ask.options.get("up") and below < value else below


def global_batch_for(ask: Ask) -> Any:
    """Return the samples of a step that the rollout and its number of steps give."""
    samples, steps = ask.get("batch.samples_per_rollout"), ask.get("batch.steps_per_rollout")
    written = ask.facts.written("batch.steps_per_rollout")
    steps = written if written is not None else steps
    if samples is UNKNOWN or steps is UNKNOWN:
        return UNKNOWN
    if not samples or not steps or samples % steps:
        return None
    value = samples // steps
    return None if value == ask.get("batch.global") else value


def micro_for(ask: Ask) -> Any:
    """Return the largest micro-batch below the one in force that divides the samples of a rank."""
    micro, samples = ask.get("batch.micro"), ask.get("batch.samples_per_rank")
    if micro is UNKNOWN or samples is UNKNOWN:
        return UNKNOWN
    if not micro or not samples or samples % micro == 0:
        return None
    return next((size for size in range(min(micro, samples), 0, -1) if samples % size == 0), None)


def largest_divisor(ask: Ask) -> Any:
    """Return the largest size below the one in force that divides ``of`` (and ``also``), else None."""
    value, wholes = ask.value(), [ask.options[name] for name in ("of", "also") if name in ask.options]
    if value is UNKNOWN:
        return UNKNOWN
    if not all(_is_number(number) and number > 0 for number in (value, *wholes)):
        return None
    sizes = range(min(int(value) - 1, LARGEST), 0, -1)
    return next((size for size in sizes if all(whole % size == 0 for whole in wholes)), None)


def multiple_of(ask: Ask) -> Any:
    """Return the next multiple of ``of`` above the value, with ``down`` below it; None if it is one."""
    value, part = ask.value(), ask.options.get("of")
    if value is UNKNOWN:
        return UNKNOWN
    if part is None or not (_is_number(value) and _is_number(part)) or part <= 0 or value % part == 0:
        return None
    below = value // part * part
    return (below or None) if ask.options.get("down") else below + part


def gpus_for(ask: Ask) -> Any:
    """Return the GPUs of a node that training may ask for, so that all it asks for exists."""
    present, nodes = ask.get("cluster.gpus"), ask.get("train.nodes")
    asked, width = ask.get("cluster.asked_gpus"), ask.get("train.gpus_per_node")
    if any(value is UNKNOWN for value in (present, nodes, asked, width)):
        return UNKNOWN
    if not (present and nodes and asked and width) or asked <= present:
        return None
    others = 0 if ask.get("cluster.colocate") else asked - nodes * width
    fits = (present - others) // nodes
    return fits if 1 <= fits < width else None


def missing(ask: Ask) -> Any:
    """Return the items of a list that another list has not; None where there is no such list."""
    wanted, present = (ask.worth(argument) for argument in ask.args)
    if wanted is UNKNOWN or present is UNKNOWN:
        return UNKNOWN
    if not isinstance(wanted, list) or not isinstance(present, list):
        return None
    return [item for item in wanted if item not in present]


class _Scope:
    """What arguments and options are evaluated over."""

    def __init__(self, facts: Facts, role: Role) -> None:
        self.facts, self.role = facts, role

    def lookup(self, name: str) -> Any:
        own = self.facts.value(f"{self.role}.{name}") if self.role != "policy" and split(name) else None
        return self.facts.value(name) if own is None else own

    def is_given(self, name: str) -> bool:
        return self.facts.is_given(name)

    def call(self, function: str, args: Sequence[expr.Node], keywords: Mapping[str, expr.Node]) -> Any:
        return call(function, self.facts, args, keywords, self.role)


def _argument(node: expr.Node, scope: _Scope) -> Any:
    if node[0] == "name" and split(node[1]) is not None:
        return Name(node[1])
    return expr.evaluate(node, scope)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
