"""The plug-in points: what trains, what samples, what scores, and where the ranks are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from trainer_core.config import Config
from trainer_core.types import Memory, Prompt, Rollout, Update

Weights = Iterator[tuple[str, Any]]
Scored = tuple[list[Rollout], list[tuple[Rollout, str]]]


class Backend(Protocol):
    """Owns this rank's part of the trainable model and its optimizer."""

    def update(
        self, micro_batches: Sequence[Sequence[Rollout]], tokens: int, samples: int, config: Config
    ) -> Update:
        """Take one optimizer step over the whole batch, of which these are this rank's micro-batches."""

    def weights(self) -> Weights:
        """Yield name and full tensor of each parameter; all ranks must walk through."""

    def save(self, folder: Path) -> None:
        """Write model and optimizer; all ranks together."""

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote, on any number of ranks."""


class Engine(Protocol):
    """Owns a copy of the weights and samples from it."""

    def generate(self, prompts: Sequence[Prompt], config: Config, seed: int) -> list[Rollout]:
        """Return one completion a prompt, in their order; a pure function of weights, prompts and seed."""

    def update(self, weights: Weights, version: int) -> None:
        """Sample from these weights from now on."""


class Scorer(Protocol):
    """Scores answers, each within a hard time limit."""

    def score(self, rollouts: Sequence[Rollout], seconds: float) -> Scored:
        """Return the rollouts with their rewards, None where lost, and the lost ones with the reason."""

    def close(self) -> None:
        """End the processes."""


class Workers(Protocol):
    """All ranks, as the driver sees them."""

    size: int

    def each(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method on every rank, arguments a rank; return the answers by rank or raise RunFailed."""

    def memory(self) -> tuple[int, Memory]:
        """Return the rank with the highest peak since the last call, and its memory."""

    def dump(self, folder: Path) -> None:
        """Have every rank write its stacks, also while it is busy."""

    def close(self) -> None:
        """End the ranks."""
