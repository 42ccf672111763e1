"""Where the ranks run. A new kind is one file here and one line in ``KINDS``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from trainer_core.config import Config
from trainer_core.failures import most_decisive
from trainer_core.types import Memory, Reply, RunFailed

KINDS: Final = {"local": "trainer_core.cluster.local:start", "ray": "trainer_core.cluster.ray_access:start"}
WORKER: Final = "trainer_core.worker:Worker"


class Transport(Protocol):
    """Carries calls to the ranks and their replies back."""

    size: int

    def send(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Reply]:
        """Call all ranks; return their replies by rank. After a failure, those that came within a moment."""

    def dump(self, folder: Path) -> None:
        """Have every rank write its stacks, also while it is busy."""

    def close(self) -> None:
        """End the ranks."""


class Gang:
    """All ranks, as the driver sees them: one call to all, the first cause of a failure, the highest peak."""

    def __init__(self, transport: Transport) -> None:
        self.size, self._transport = transport.size, transport
        self._highest: tuple[int, Memory] = (0, Memory())

    def each(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method on every rank, arguments a rank; return the answers by rank or raise RunFailed."""
        replies = self._transport.send(method, arguments)
        for rank, reply in enumerate(replies):
            if reply.memory.peak >= self._highest[1].peak:
                self._highest = (rank, reply.memory)
        failures = [reply.failure for reply in replies if reply.failure]
        if failures:
            raise RunFailed(most_decisive(failures))
        return [reply.value for reply in replies]

    def memory(self) -> tuple[int, Memory]:
        """Return the rank with the highest peak since the last call, and its memory."""
        highest, self._highest = self._highest, (0, Memory())
        return highest

    def dump(self, folder: Path) -> None:
        """Have every rank write its stacks, also while it is busy."""
        self._transport.dump(folder)

    def close(self) -> None:
        """End the ranks."""
        self._transport.close()


def world() -> tuple[int, int]:
    """Return this process's rank and the number of ranks, as torchrun set them."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def follow(config: Config, on_dump: Callable[[Callable[[Path], None]], None]) -> int:
    """Do as rank 0 says, as one of torchrun's other ranks; return the exit code."""
    code: int = import_module("trainer_core.cluster.local").serve(config, on_dump)
    return code


def start(config: Config) -> Gang:
    """Start the ranks that the config asks for, and let them meet and build."""
    module, _, name = KINDS[config.cluster.kind].partition(":")
    gang = Gang(getattr(import_module(module), name)(config))
    try:
        gang.each("build", [()] * gang.size)
    except BaseException:
        gang.close()
        raise
    return gang


def worker_class() -> Any:
    """Return the class of a rank; it is imported only in the process that is one."""
    module, _, name = WORKER.partition(":")
    return getattr(import_module(module), name)
