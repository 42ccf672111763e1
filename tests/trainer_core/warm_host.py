"""Forks trainers from a process that has imported everything: each is a process of its own, started at once.

A line on stdin is a trainer to start; its process id comes back, and its exit code as a file at its end.
"""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path
from typing import Any

import trainer_core.__main__
import trainer_core.backends.fsdp
import trainer_core.engines.builtin
import trainer_core.worker

POLL_SECONDS = 0.02


def reap(running: dict[int, str]) -> None:
    """Write down the exit code of each trainer that has ended, as ``subprocess`` counts them."""
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            beside = Path(running.pop(pid))
            beside.with_suffix(".part").write_text(str(os.waitstatus_to_exitcode(status)))
            beside.with_suffix(".part").rename(beside)


def become(asked: dict[str, Any]) -> list[str]:
    """Turn this process into the trainer that was asked for; return its words."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.path[:0] = asked["env"]["PYTHONPATH"].split(os.pathsep)
    for number, path in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    return list(asked["words"])


def serve() -> list[str]:
    """Start what is asked for until stdin ends; in a started process return its words."""
    running: dict[int, str] = {}
    while True:
        ready, _, _ = select.select([0], [], [], POLL_SECONDS)
        reap(running)
        if not ready:
            continue
        line = os.read(0, 1 << 16)
        if not line:
            os._exit(0)
        while not line.endswith(b"\n"):
            line += os.read(0, 1 << 16)
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return become(asked)
        running[pid] = asked["code"]
        os.write(1, f"{pid}\n".encode())


os.write(1, b"ready\n")
sys.exit(trainer_core.__main__.main(serve()))
