"""Reading hostile files in a process of its own: a crash, too much memory or time end that process alone."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rldoctor.types import RLDoctorError

SECONDS: Final = 120
LARGEST_ANSWER: Final = 64 << 20
CHUNK: Final = 1 << 20


def run(work: Callable[[], Any], memory: int, name: str, seconds: float = SECONDS) -> Any:
    """Return what ``work`` gives as plain JSON values; it may use ``memory`` bytes more than now.

    Raises RLDoctorError where it fails, crashes, or takes longer than ``seconds``.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _in_child(work, memory, writer, seconds)
    os.close(writer)
    try:
        data = _receive(reader, time.monotonic() + seconds)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return _answer(data, name, seconds)


def _in_child(work: Callable[[], Any], memory: int, writer: int, seconds: float) -> None:
    """Do the work and write the answer; never returns."""
    code = 1
    faulthandler.disable()
    try:
        _limit(memory, seconds)
        try:
            answer = {"value": work()}
        except RLDoctorError as error:
            answer = {"error": [error.message, error.hint]}
        except MemoryError:
            answer = {"error": ["reading it takes more memory than is allowed", ""]}
        with os.fdopen(writer, "wb") as stream:
            stream.write(json.dumps(answer).encode())
        code = 0
    finally:
        os._exit(code)


def _limit(memory: int, seconds: float) -> None:
    used = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    for limit, most in ((resource.RLIMIT_AS, used + memory), (resource.RLIMIT_CPU, int(seconds) + 1)):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _receive(reader: int, deadline: float) -> bytes | None:
    """Return all that the child writes, None where it takes too long or never stops."""
    pieces: list[bytes] = []
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(reader, CHUNK)
        if not data:
            return b"".join(pieces)
        pieces.append(data)
        if sum(map(len, pieces)) > LARGEST_ANSWER:
            break
    return None


def _answer(data: bytes | None, name: str, seconds: float) -> Any:
    if data is None:
        raise RLDoctorError(f"reading this dump took more than {seconds:.0f} s; it was left", file=name)
    if not data:
        raise RLDoctorError("this dump is broken: the process that read it crashed", file=name)
    answer = json.loads(data)
    if "error" in answer:
        message, hint = answer["error"]
        raise RLDoctorError(message, file=name, hint=hint)
    return answer["value"]
