"""Sizes that the memory model says fit: token budgets, micro-batches, shares of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from rldoctor.facts.walk import Facts
from rldoctor.memory.interval import around
from rldoctor.memory.layout import GIB, Batch, Setup
from rldoctor.memory.phases import NAMES, Phase, fullest, phases
from rldoctor.types import UNKNOWN, Role

TOKEN_STEPS: Final = ((16384, 1024), (2048, 256), (0, 16))
"""Token budgets are given in round numbers: from so many tokens on, multiples of so many."""
LARGEST: Final = {"rollout.mem_fraction": 0.95}
LIMIT: Final = 1 << 24


def _tokens(setup: Setup, value: float) -> Setup:
    ways = setup.parallel.cp * setup.parallel.ulysses
    if setup.batch is None:
        return setup
    count = max(int(value) * ways, setup.batch.seq_len if int(value) * ways < setup.batch.seq_len else 0)
    return replace(setup, batch=replace(setup.batch, tokens=count))


def _micro(setup: Setup, value: float) -> Setup:
    if setup.batch is None:
        return setup
    length = setup.batch.seq_len
    return replace(setup, batch=Batch(int(value) * length, length, setup.batch.micro_batches))


def _logprob(setup: Setup, value: float) -> Setup:
    return replace(setup, logprob_tokens=int(value) * setup.parallel.cp * setup.parallel.ulysses)


def _fraction(setup: Setup, value: float) -> Setup:
    if setup.rollout is None:
        return setup
    return replace(setup, rollout=replace(setup.rollout, fraction=value))


def _seqs(setup: Setup, value: float) -> Setup:
    engine = setup.rollout
    if engine is None:
        return setup
    length = setup.batch.seq_len if setup.batch else 0
    tokens = int(value) * length if engine.kv_tokens is not None else None
    return replace(setup, rollout=replace(engine, max_seqs=int(value), kv_tokens=tokens))


def _requests(setup: Setup, value: float) -> Setup:
    """Return the setup with so many requests at once: an engine with a pool of its own lets the rest wait."""
    engine = setup.rollout
    return _seqs(setup, value) if engine is not None and engine.kv_tokens is not None else setup


def _both(setup: Setup, value: float) -> Setup:
    """Return the setup with a token budget that log-probability passes follow."""
    return _logprob(_tokens(setup, value), value)


def _bucket(setup: Setup, value: float) -> Setup:
    return replace(setup, sync_bucket=int(value))


FOLLOWED: Final = "batch.max_tokens_per_gpu and what follows it"
VARIED: Final[dict[str, Callable[[Setup, float], Setup]]] = {
    "batch.max_tokens_per_gpu": _tokens,
    "batch.max_tokens_logprob": _logprob,
    FOLLOWED: _both,
    "batch.micro": _micro,
    "batch.logprob_micro": lambda setup, value: _logprob(
        setup, value * (setup.batch.seq_len if setup.batch else 0)
    ),
    "rollout.mem_fraction": _fraction,
    "rollout.max_seqs": _seqs,
    "rollout.concurrency": _requests,
    "sync.bucket": _bucket,
}
PHASES: Final = {
    "batch.max_tokens_per_gpu": ("train",),
    FOLLOWED: ("train", "train.logprob"),
    "batch.micro": ("train",),
    "batch.max_tokens_logprob": ("train.logprob",),
    "batch.logprob_micro": ("train.logprob",),
    "rollout.mem_fraction": ("rollout",),
    "rollout.max_seqs": ("rollout",),
    "rollout.concurrency": ("rollout",),
    "sync.bucket": ("sync",),
}


def acting(facts: Facts, concept: str, setup: Setup) -> str:
    """Return the variation that a concept stands for: a budget that others follow changes them, too."""
    now = facts.value(concept)
    if concept != "batch.max_tokens_per_gpu" or not isinstance(now, int) or setup.logprob_tokens is None:
        return concept
    ways = setup.parallel.cp * setup.parallel.ulysses
    own = facts.written("batch.max_tokens_logprob")
    return FOLLOWED if own is None and setup.logprob_tokens <= max(now * ways, _longest(setup)) else concept


def _longest(setup: Setup) -> int:
    return setup.batch.seq_len if setup.batch else 0


def with_value(setup: Setup, concept: str, value: float) -> Setup:
    """Return the setup with another value of a concept that acts on it alone."""
    return VARIED[concept](setup, value)


def room_of(setup: Setup, names: tuple[str, ...] = ()) -> float:
    """Return the bytes that the worst phase leaves free at its interval's upper end; below 0: too full.

    With ``names`` the policy's phases of these names alone count.
    """
    if setup.gpu_gib is None:
        return 0.0
    room = setup.gpu_gib * GIB
    rows = [row for row in phases(setup, fullest(setup), names or NAMES) if not names or row.role == "policy"]
    return min((room - around(setup, row, "device").high for row in rows), default=room)


def worst(setup: Setup, name: str, role: Role) -> Phase | None:
    """Return a role's phase on the fullest rank, None where the run has no such phase."""
    rows = phases(setup, fullest(setup), (name,))
    return max((row for row in rows if row.role == role), key=lambda row: row.device, default=None)


def largest_that_fits(setup: Setup, concept: str, least: float = 0.0) -> Any:
    """Return the largest value with which the phases it acts on surely fit.

    None where not even the least does; UNKNOWN where nothing grows with it, or where the GPU's size is
    not known.
    """
    if setup.gpu_gib is None:
        return UNKNOWN
    if concept == "rollout.mem_fraction":
        return _largest_fraction(setup)
    step = _step(setup, concept)
    low = max(1, -(-int(least) // step))
    if not _holds(setup, concept, low * step):
        return None
    high = low * 2
    while _holds(setup, concept, high * step):
        low, high = high, high * 2
        if high * step > LIMIT * step:
            return UNKNOWN
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _holds(setup, concept, middle * step) else (low, middle)
    return low * step


def _holds(setup: Setup, concept: str, value: float) -> bool:
    return room_of(with_value(setup, concept, value), PHASES[concept]) >= 0


def _step(setup: Setup, concept: str) -> int:
    if concept == "sync.bucket":
        return 64 * 2**20
    if "tokens" not in concept:
        return 1
    now = setup.batch.tokens if setup.batch else setup.logprob_tokens or 0
    return next(step for least, step in TOKEN_STEPS if now >= least)


def _largest_fraction(setup: Setup) -> Any:
    """Return the largest share in steps of 0.05 with which sampling fits; UNKNOWN where none is told."""
    if setup.rollout is None or setup.rollout.fraction is None:
        return UNKNOWN
    for twentieths in range(19, 1, -1):
        share = round(twentieths / 20, 2)
        if room_of(_fraction(setup, share), ("rollout",)) >= 0:
            return share
    return None
