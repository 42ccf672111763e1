"""What remedies and rules ask of the memory model: values that fit, and what does not, in one line."""

from __future__ import annotations

from typing import Any, Final

from rldoctor.facts.asking import Ask, Name, room_is_known
from rldoctor.facts.memory_fit import VARIED, acting, largest_that_fits, room_of, worst
from rldoctor.facts.memory_setup import sized
from rldoctor.facts.told import split
from rldoctor.facts.walk import Facts
from rldoctor.memory.layout import GIB, Setup
from rldoctor.memory.phases import Phase
from rldoctor.types import UNKNOWN

SHOWN: Final = 4
STATES: Final = ("parameters", "gradients", "optimizer state")


def over_gib(ask: Ask) -> Any:
    """Return by how many GiB a phase of the fullest rank exceeds its GPU; 0 where it fits.

    UNKNOWN on CPU: what a process's data limit allows is found by running, at no cost, and the terms
    that are not tensors weigh as much there as those that are.
    """
    found = _phase(ask)
    if found is None or found[0].on_cpu:
        return UNKNOWN
    setup, phase = found
    return round(max(0.0, phase.device / GIB - (setup.gpu_gib or 0.0)), 2)


def states_over_gib(ask: Ask) -> Any:
    """Return by how many GiB parameters, gradients and optimizer states alone exceed the GPU; 0 if not."""
    found = _phase(ask)
    if found is None or found[0].on_cpu:
        return UNKNOWN
    setup, phase = found
    kept = sum(term.bytes for term in phase.terms if term.name.endswith(STATES))
    return round(max(0.0, kept / GIB - (setup.gpu_gib or 0.0)), 2)


def memory_line(ask: Ask) -> Any:
    """Return the arithmetic of a phase in one line: its largest terms, their sum, and the GPU's size."""
    found = _phase(ask)
    if found is None:
        return UNKNOWN
    setup, phase = found
    terms = sorted((*phase.terms, *phase.beside), key=lambda term: -term.bytes)
    parts = [f"{term.name} {_size(term.bytes)}" for term in terms[:SHOWN]]
    rest = phase.device - sum(term.bytes for term in terms[:SHOWN])
    parts += [f"rest {_size(rest)}"] if rest > 0.01 * phase.device else []
    return f"{' + '.join(parts)} = {_size(phase.device)} of {_size((setup.gpu_gib or 0.0) * GIB)}"


def _size(count: float) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB / 2 else f"{count / 2**20:.0f} MiB"


def _phase(ask: Ask) -> tuple[Setup, Phase] | None:
    """Return setup and phase that a call is about; None where something is not known."""
    setup = _setup(ask.facts)
    if setup is None or not ask.args or not isinstance(ask.args[0], str):
        return None
    found = worst(setup, ask.args[0], ask.role)
    return None if found is None else (setup, found)


def _setup(facts: Facts) -> Setup | None:
    """Return the setup of facts that say how large a GPU is; None before anything is worked out."""
    return sized(facts).setup if room_is_known(facts) else None


def fitting(ask: Ask, floor: float = 0.0) -> Any:
    """Return the largest value of the first argument that fits and is below the one in force.

    Not below ``floor``, which counts where nothing fits surely. UNKNOWN where the model has nothing to
    say: no GPU's size, a concept that does not act on memory alone, or a value in force that it holds
    for good although it was not.
    """
    argument = ask.args[0] if ask.args else None
    if not isinstance(argument, Name) or ask.role != "policy" or argument.name not in VARIED:
        return UNKNOWN
    value, setup = ask.get(argument.name), _setup(ask.facts)
    if setup is None or not isinstance(value, int | float) or isinstance(value, bool):
        return UNKNOWN
    key = split(argument.name)
    found: Any = (
        UNKNOWN if key is None else largest_that_fits(setup, acting(ask.facts, argument.name, setup), floor)
    )
    if found is None:
        return floor if 0 < floor < value else None
    if argument.name == "batch.logprob_micro" and isinstance(found, int):
        found = _dividing(ask, found)
    if argument.name == "batch.micro" and isinstance(found, int):
        samples = ask.get("batch.samples_per_rank")
        sizes = range(found, 0, -1) if isinstance(samples, int) and samples > 0 else ()
        found = next((size for size in sizes if samples % size == 0), found)
    return found if found is not UNKNOWN and found < value else UNKNOWN


def _dividing(ask: Ask, most: int) -> int:
    """Return the largest micro-batch up to ``most`` that divides a rank's part of a rollout.

    Where that is not known: the largest power of two, which divides most of what people choose.
    """
    samples, ranks = ask.get("batch.samples_per_rollout"), ask.get("train.dp")
    if not isinstance(samples, int) or not isinstance(ranks, int) or ranks < 1 or samples < ranks:
        return 1 << (most.bit_length() - 1)
    return next(size for size in range(most, 0, -1) if samples // ranks % size == 0)


def split_fits(facts: Facts, concept: str, ways: int) -> bool:
    """Return whether training fits with a parallel size; where it splits sequences, a budget shrinks."""
    if _setup(facts) is None:
        return False
    longest, changes = facts.value("batch.longest_sample"), {concept: ways}
    splits = concept in ("train.ulysses_sp", "train.cp")
    if splits and facts.value("batch.dynamic") is True and isinstance(longest, int):
        least = facts.changed(changes).value("batch.min_tokens_per_gpu")
        whole = isinstance(least, int) and least >= longest
        changes["batch.max_tokens_per_gpu"] = longest if whole else -(-longest // ways)
    setup = _setup(facts.changed(changes))
    return setup is not None and setup.gpu_gib is not None and room_of(setup, ("train",)) >= 0
