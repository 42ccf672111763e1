"""What travels through the loop. Every stage takes these and returns new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Phase = Literal["start", "data", "rollout", "reward", "advantage", "train", "sync", "checkpoint"]
FinishReason = Literal["stop", "length"]


class UserError(Exception):
    """What the user gave cannot be used: shown without a traceback, exit code 2."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One task for the policy; samples of one prompt are compared with each other."""

    index: int
    token_ids: tuple[int, ...]
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled completion, filled in stage by stage; a lost reward is None.

    ``version`` is the number of updates that the sampling weights had seen.
    """

    prompt: Prompt
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    version: int
    text: str = ""
    reward: float | None = None
    advantage: float = 0.0

    @property
    def length(self) -> int:
        """Return the tokens that training reads: the last one is only predicted."""
        return len(self.prompt.token_ids) + len(self.token_ids) - 1


@dataclass(frozen=True, slots=True)
class Memory:
    """What a rank's allocator says, in bytes; ``total`` is the limit, 0 where there is none."""

    allocated: int = 0
    peak: int = 0
    reserved: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a rank, or the driver, cannot go on: an event's kind and fields, and the words for a person."""

    kind: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    traceback: str = ""
    rank: int | None = None


class RunFailed(Exception):
    """The run ends with this failure as its last word."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Reply:
    """What one rank answers to one call."""

    value: Any = None
    memory: Memory = Memory()
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """What one rank reports of an optimizer step: sums over its own tokens, and the global gradient norm.

    ``micro_batch_tokens`` are those of the largest micro-batch; the driver, which planned it, knows.
    ``cpu_seconds`` is processor time, which others' load does not change; 0 where a device computes.
    """

    loss: float
    entropy: float
    logprob_diff: float
    logprob_diff_max: float
    clipped: float
    kl: float
    grad_norm: float
    skipped: bool = False
    micro_batch_tokens: int = 0
    cpu_seconds: float = 0.0
