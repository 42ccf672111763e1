"""Ranks as Ray actors, on a cluster of their own or a running one. The only importer of Ray."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
import ray.util
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayError
from torch._C._distributed_c10d import PrefixStore, TCPStore

from trainer_core.cluster import Transport, worker_class
from trainer_core.cluster.guard import watch
from trainer_core.config import Config
from trainer_core.failures import describe
from trainer_core.types import Failure, Reply, RunFailed, UserError

START_SECONDS, LAST_WORDS_SECONDS, DUMP_SECONDS = 300.0, 3.0, 10.0
REACH_SECONDS = 5.0
LOOPBACK = "/sys/class/net/lo"
MEMORY_WORDS = ("memory pressure", "running low on memory", "OutOfMemory", "OOM")


class _Actor:
    """One rank in a process of its own; ``control`` calls are answered also while another one runs."""

    def __init__(self, config: Config, rank: int, world: int) -> None:
        _write_to(Path(config.run.folder, "logs", f"rank_{rank}.log"))
        self._worker = worker_class()(config, rank, world)

    def join(self, host: str, port: int, seconds: float) -> Reply:
        """Meet the other ranks at the driver's store."""
        store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=seconds))
        return self._worker.answer("join", (PrefixStore("ranks", store),))  # type: ignore[no-any-return]

    def answer(self, method: str, arguments: Sequence[Any]) -> Reply:
        """Call a method of the rank."""
        return self._worker.answer(method, arguments)  # type: ignore[no-any-return]

    def dump(self, folder: Path) -> None:
        """Write stacks and recordings."""
        self._worker.dump(folder)


def _write_to(path: Path) -> None:
    """Send this process's stdout and stderr to a file, whatever writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(number, 1)
    os.dup2(number, 2)
    os.close(number)


def start(config: Config) -> Transport:
    """Start Ray unless an address is given, and the ranks on it."""
    size = config.cluster.workers or 1
    guard = _connect(config, size)
    host = "127.0.0.1" if guard else ray.util.get_node_ip_address()
    store = _store(host, config.cluster.port or 0)
    gpus = 0 if config.cluster.device == "cpu" else min(1, ray.cluster_resources().get("GPU", 0) / size)
    decorate: Any = ray.remote
    needs = {"num_cpus": 0 if gpus else 1, "num_gpus": gpus, "max_restarts": 0}
    actor_class = decorate(**needs, concurrency_groups={"control": 1})(_Actor)
    try:
        actors = [actor_class.remote(config, rank, size) for rank in range(size)]
        ranks = _Ranks(actors, store, guard)
        seconds = config.cluster.process_group_timeout_seconds
        joined = ranks.gather(
            [actor.join.remote(host, store.port, seconds) for actor in actors], START_SECONDS
        )
    except BaseException:
        ray.shutdown()
        raise
    failure = next((reply.failure for reply in joined if reply.failure), None)
    if failure:
        ranks.close()
        raise RunFailed(failure)
    return ranks


def _connect(config: Config, size: int) -> subprocess.Popen[bytes] | None:
    """Connect to Ray; return the guard of the cluster, if it is one of our own."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    variables = {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])}
    if config.cluster.address is None and Path(LOOPBACK).exists():
        variables["GLOO_SOCKET_IFNAME"] = Path(LOOPBACK).name  # all ranks are here: no host name need resolve
    environment = {"env_vars": variables}
    shared: dict[str, Any] = {"runtime_env": environment, "log_to_driver": False, "logging_level": "warning"}
    if config.cluster.address:
        _reach(config.cluster.address)
        try:
            ray.init(address=config.cluster.address, **shared)
        except (ConnectionError, RayError, RuntimeError, ValueError) as error:
            raise UserError(
                f"cluster.address={config.cluster.address}: no Ray answers there: {error}"
            ) from error
        return None
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # sockets live below it: the path must be short
    guard = watch(folder)
    ray.init(
        num_cpus=size,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(folder),
        **shared,
    )
    return guard


def _reach(address: str) -> None:
    """Raise UserError where nobody answers at ``host:port``; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
        except OSError as error:
            raise UserError(f"cluster.address={address}: no Ray answers there: {error}") from error


def _store(host: str, port: int) -> TCPStore:
    """Return the ranks' meeting point; it lives in the driver and so outlives every rank."""
    try:
        return TCPStore(host, port, is_master=True, wait_for_workers=False)
    except (RuntimeError, OSError) as error:
        ray.shutdown()
        found = describe(error)
        raise RunFailed(
            Failure(found.kind, found.message, {"port": port, "host": host}, found.traceback)
        ) from error


class _Ranks:
    """Carries calls to the actors."""

    def __init__(self, actors: list[Any], store: TCPStore, guard: subprocess.Popen[bytes] | None) -> None:
        self.size, self._actors, self._store, self._guard = len(actors), actors, store, guard

    def send(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Reply]:
        return self.gather(
            [a.answer.remote(method, own) for a, own in zip(self._actors, arguments, strict=True)]
        )

    def gather(self, calls: list[Any], seconds: float | None = None) -> list[Reply]:
        """Return all replies; once one tells of a failure, only those that come within a moment."""
        replies: dict[int, Reply] = {}
        waiting = {call: rank for rank, call in enumerate(calls)}
        failed = False
        while waiting:
            done, _ = ray.wait(
                list(waiting), num_returns=1, timeout=LAST_WORDS_SECONDS if failed else seconds
            )
            if not done:
                break
            rank = waiting.pop(done[0])
            replies[rank] = _read(done[0], rank)
            failed = failed or replies[rank].failure is not None
        if waiting and not failed:
            ranks = sorted(waiting.values())
            failure = Failure("resources_missing", f"ranks {ranks} did not start within {seconds:g} seconds")
            return [Reply(failure=failure)]
        return [replies[rank] for rank in sorted(replies)]

    def dump(self, folder: Path) -> None:
        calls = [actor.dump.options(concurrency_group="control").remote(folder) for actor in self._actors]
        with suppress(RayError, GetTimeoutError):  # a dead rank has no stacks
            ray.wait(calls, num_returns=len(calls), timeout=DUMP_SECONDS)

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor)
        ray.shutdown()
        if self._guard and self._guard.stdin:
            self._guard.stdin.close()
            self._guard.wait()


def _read(call: Any, rank: int) -> Reply:
    try:
        reply: Reply = ray.get(call)
        return reply
    except OutOfMemoryError as error:
        return Reply(failure=_host_memory(str(error), rank))
    except RayActorError as error:
        words = str(error)
        if any(word in words for word in MEMORY_WORDS) and "OOM killer" not in words:
            return Reply(failure=_host_memory(words, rank))
        told = " ".join(words.partition("Some common causes")[0].split())
        reason = told[max(0, told.find("Worker exit type")) :][:500]
        message = f"rank {rank} died: {reason}"
        return Reply(
            failure=Failure("worker_died", message, {"actor": f"rank_{rank}", "reason": reason}, rank=rank)
        )


def _host_memory(words: str, rank: int) -> Failure:
    fields = {"device": "host", "process": f"rank_{rank}"}
    return Failure(
        "out_of_memory", f"Ray killed rank {rank} for want of host memory: {words[:1500]}", fields, rank=rank
    )
