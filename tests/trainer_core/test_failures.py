from __future__ import annotations

import errno
from typing import Any

import pytest

from trainer_core.failures import describe, most_decisive
from trainer_core.types import Failure, Memory, UserError

CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 981504 bytes. Error code 12 (Cannot allocate memory)"
)
CUDA = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.15 GiB."
LIMIT = Memory(allocated=5, peak=90, reserved=90, total=100)


@pytest.mark.parametrize(
    ("error", "memory", "kind", "fields"),
    [
        (
            RuntimeError(CPU),
            LIMIT,
            "out_of_memory",
            {"device": "cpu_limit", "bytes_asked": 981504, "bytes_free": 10},
        ),
        (
            RuntimeError(CPU),
            Memory(),
            "out_of_memory",
            {"device": "host", "bytes_asked": 981504, "bytes_free": None},
        ),
        (RuntimeError(CUDA), LIMIT, "out_of_memory", {"device": "gpu", "bytes_asked": int(2.5 * 2**30)}),
        (MemoryError(), LIMIT, "out_of_memory", {"device": "cpu_limit", "bytes_asked": None}),
        (RuntimeError("can't start new thread"), LIMIT, "out_of_memory", {"device": "cpu_limit"}),
        (
            RuntimeError("Timed out waiting 8000ms for recv operation"),
            None,
            "collective_timeout",
            {"timeout_ms": 8000},
        ),
        (RuntimeError("[x] Connection closed by peer [127.0.0.1]:4"), None, "connection_lost", {}),
        (OSError(errno.ENOSPC, "No space left on device", "/f/x"), None, "disk_full", {"path": "/f/x"}),
        (
            RuntimeError("The server socket: bind to [::]:29500 failed (EADDRINUSE)"),
            None,
            "port_in_use",
            {"port": 29500},
        ),
        (KeyError("k"), None, "exception", {"type": "KeyError", "message": "'k'"}),
        (UserError("no"), None, "user_error", {}),
    ],
)
def test_an_exception_becomes_the_event_that_it_means(
    error: Exception, memory: Memory | None, kind: str, fields: dict[str, Any]
) -> None:
    found = describe(error, rank=3, memory=memory)
    assert (found.kind, found.rank) == (kind, 3)
    assert fields.items() <= found.fields.items()


def test_the_cause_below_counts() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("PytorchStreamWriter failed writing file") from error
    except RuntimeError as error:
        found = describe(error)
    assert found.kind == "disk_full"
    assert "in test_the_cause_below_counts" in found.traceback
    group = ExceptionGroup("several", [ValueError("a"), MemoryError()])
    assert describe(group).kind == "out_of_memory"


def test_a_lost_peer_is_less_decisive_than_why_it_was_lost() -> None:
    lost, memory, died = (Failure(kind, "") for kind in ("connection_lost", "out_of_memory", "worker_died"))
    assert most_decisive([lost, memory]) is memory
    assert most_decisive([lost, memory, died]) is died
    assert most_decisive([lost]) is lost
