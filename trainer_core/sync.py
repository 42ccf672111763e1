"""Weight sync: the engines sample from what the backend has learned."""

from __future__ import annotations

from trainer_core.protocols import Workers


def push(workers: Workers, version: int) -> None:
    """Give every engine the weights after ``version`` updates."""
    workers.each("sync", [(version,)] * workers.size)
