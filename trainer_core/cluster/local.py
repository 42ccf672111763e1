"""Ranks without Ray: this process alone, or the processes that torchrun started, of which rank 0 drives."""

from __future__ import annotations

import base64
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, Store, TCPStore

from trainer_core.cluster import Transport, worker_class, world
from trainer_core.config import Config
from trainer_core.failures import describe
from trainer_core.types import Failure, Reply, RunFailed, UserError

DRIVER_SECONDS = 86400.0
FAILURE_KEY, FAILURE_SECONDS = "failure", 3.0


def start(config: Config) -> Transport:
    """Start rank 0 in this process; under torchrun, with the others as its peers."""
    _, size = world()
    if config.cluster.workers not in (None, size):
        raise UserError(
            f"cluster.workers={config.cluster.workers}, but {size} process runs; use cluster.kind: ray, or\n"
            f"  torchrun --nproc-per-node {config.cluster.workers} -m trainer_core CONFIG"
        )
    if size % config.train.ulysses:
        raise UserError(f"train.ulysses={config.train.ulysses} must divide the {size} ranks")
    return _Alone(config) if size == 1 else _Torchrun(config, size)


class _Alone:
    """One rank, in this process."""

    size = 1

    def __init__(self, config: Config) -> None:
        self._worker = worker_class()(config, 0, 1)
        port = config.cluster.port
        self._worker.join(_store(port) if port else HashStore())

    def send(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Reply]:
        return [self._worker.answer(method, arguments[0])]

    def dump(self, folder: Path) -> None:
        self._worker.dump(folder)

    def close(self) -> None:
        self._worker.close()


def _store(port: int) -> TCPStore:
    """Return the ranks' meeting point at a port, or raise RunFailed where it is taken."""
    try:
        return TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
    except (RuntimeError, OSError) as error:
        failure = describe(error)
        raise RunFailed(
            Failure(failure.kind, failure.message, {"port": port, "host": "127.0.0.1"}, failure.traceback)
        ) from error


class _Torchrun:
    """Rank 0 of torchrun's processes: it calls its own worker and has the others do the same."""

    def __init__(self, config: Config, size: int) -> None:
        self.size, self._broken = size, False
        self._patience = timedelta(seconds=config.cluster.process_group_timeout_seconds)
        self._worker = worker_class()(config, 0, size, int(os.environ.get("LOCAL_RANK", "0")))
        self._worker.join(None)
        self._store, self._group, self._soon = _meet(config)
        self._others = [self._store.get(f"process_{rank}").decode() for rank in range(1, size)]

    def send(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Reply]:
        try:
            self._tell((method, arguments))
            mine = self._worker.answer(method, arguments[0])
            if mine.failure is None:
                replies: list[Any] = [None] * self.size
                dist.gather_object(mine, replies)
                return replies
        except RuntimeError as error:
            mine = Reply(failure=describe(error, rank=0))
        self._broken = True
        return [mine, *self._heard(mine)]

    def _tell(self, command: tuple[str, Any]) -> None:
        # Nobody is busy between two commands: who does not come now has stopped.
        dist.monitored_barrier(self._group, self._patience)
        dist.broadcast_object_list([command], group=self._soon)

    def _heard(self, mine: Reply) -> list[Reply]:
        """Return why another rank ended: its own word, or that it left none."""
        try:
            self._store.wait([FAILURE_KEY], timedelta(seconds=FAILURE_SECONDS))
        except RuntimeError:
            lost = mine.failure is not None and mine.failure.kind == "connection_lost"
            return [Reply(failure=Failure("worker_died", "a rank is gone and left no word"))] if lost else []
        return [Reply(failure=pickle.loads(base64.b64decode(self._store.get(FAILURE_KEY))))]

    def dump(self, folder: Path) -> None:
        self._worker.dump(folder)
        for host, _, pid in (other.rpartition(":") for other in self._others):
            if host == socket.gethostname():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGUSR1)

    def close(self) -> None:
        if dist.is_initialized() and not self._broken:  # torchrun ends the others of a broken group
            self._tell(("close", ()))
            self._worker.close()


def serve(config: Config, on_dump: Callable[[Callable[[Path], None]], None]) -> int:
    """Do as rank 0 says, until it says close: the life of torchrun's other ranks. Return the exit code."""
    rank, size = world()
    worker = worker_class()(config, rank, size, int(os.environ.get("LOCAL_RANK", "0")))
    worker.join(None)
    on_dump(worker.dump)
    store, group, soon = _meet(config)
    store.set(f"process_{rank}", f"{socket.gethostname()}:{os.getpid()}")
    while True:
        heard: list[Any] = [None]
        dist.monitored_barrier(group, timedelta(seconds=DRIVER_SECONDS))
        dist.broadcast_object_list(heard, group=soon)
        method, arguments = heard[0]
        if method == "close":
            worker.close()
            return 0
        reply = worker.answer(method, arguments[rank])
        if reply.failure:
            store.set(FAILURE_KEY, base64.b64encode(pickle.dumps(reply.failure)).decode())
            print(reply.failure.traceback, file=sys.stderr, flush=True)
            return 1
        dist.gather_object(reply)


def _meet(config: Config) -> tuple[Store, Any, Any]:
    """Return the ranks' store, a group that may stay silent while the driver works, and one for commands.

    Whoever came to the barrier takes the command at once: a rank that stops in between is not waited for.
    """
    store = dist.distributed_c10d._get_default_store()
    patience = timedelta(seconds=config.cluster.process_group_timeout_seconds)
    group = dist.new_group(backend="gloo", timeout=timedelta(seconds=DRIVER_SECONDS))
    return store, group, dist.new_group(backend="gloo", timeout=patience)
