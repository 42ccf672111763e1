"""Running the trainer's real program in processes of their own, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHONPATH = f"{ROOT}{os.pathsep}{HERE}"
SMALL = """\
run: {{folder: {folder}, steps: 4}}
data: {{prompts: 100, prompt_length: 5}}
rollout: {{prompts_per_step: 4, samples_per_prompt: 4, max_new_tokens: 5}}
algorithm: {{entropy: 0.05}}
train: {{learning_rate: 2e-3, max_token_in_packing: 64}}
cluster: {{threads: 1}}
checkpoint: {{every: 2}}
"""
TOO_MANY_TOKENS = (
    "rollout.prompts_per_step=40",
    "rollout.samples_per_prompt=16",
    "rollout.max_new_tokens=8",
    "train.max_token_in_packing=100000",
)


class Process(Protocol):
    """What the tests need of a process, however it was started."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def send_signal(self, number: signal.Signals) -> None: ...
    def kill(self) -> None: ...
    def communicate(self, *, timeout: float) -> tuple[str, str]: ...


class Host:
    """The process that forks trainers."""

    def __init__(self) -> None:
        self._inner = subprocess.Popen(
            [sys.executable, str(HERE / "warm_host.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": PYTHONPATH},
        )
        assert self._inner.stdin and self._inner.stdout
        self._in, self._out = self._inner.stdin, self._inner.stdout
        assert self._out.readline() == b"ready\n"

    def start(self, asked: dict[str, Any]) -> int:
        self._in.write(json.dumps(asked).encode() + b"\n")
        self._in.flush()
        return int(self._out.readline())

    def close(self) -> None:
        self._in.close()
        self._inner.wait(10)


class Forked:
    """A trainer that the host forked, as a ``Popen``."""

    def __init__(self, host: Host, words: list[str], cwd: Path, base: Path, **env: str) -> None:
        self._out, self._err, self._code = (base.with_suffix(f".{kind}") for kind in ("out", "err", "code"))
        self.returncode: int | None = None
        self.pid = host.start(
            {
                "words": words,
                "cwd": str(cwd),
                "env": {**os.environ, "PYTHONPATH": PYTHONPATH, **env},
                **{kind: str(base.with_suffix(f".{kind}")) for kind in ("out", "err", "code")},
            }
        )

    def poll(self) -> int | None:
        if self.returncode is None and self._code.exists():
            self.returncode = int(self._code.read_text())
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, *, timeout: float) -> tuple[str, str]:
        end = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < end, f"it did not end; it said {self._err.read_text()}"
            time.sleep(0.02)
        return self._out.read_text(), self._err.read_text()


class Trainer:
    """Starts trainers with one configuration, and reads what they wrote."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.folder, self.config = folder / "run", folder / "config.yaml"
        self.config.write_text(SMALL.format(folder=self.folder))
        self.started: list[Process] = []
        self._host, self._numbers = host, count()

    def start(self, *settings: str, **env: str) -> Process:
        """Start one process."""
        words = [str(self.config), *(f"--set={each}" for each in settings)]
        base = self.config.parent / f"process_{next(self._numbers)}"
        self.started.append(Forked(self._host, words, self.config.parent, base, **env))
        return self.started[-1]

    def start_ranks(self, size: int, *settings: str) -> list[Process]:
        """Start a rank after the other, in the environment that torchrun gives them."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
        ranks = map(str, range(size))
        return [self.start(*settings, RANK=rank, LOCAL_RANK=rank, **meet) for rank in ranks]

    def start_torchrun(self, size: int, *settings: str) -> Process:
        """Start ranks as a user does."""
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
        words = ["-m", "trainer_core", str(self.config), *(f"--set={each}" for each in settings)]
        process = subprocess.Popen(
            [sys.executable, *launch, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.config.parent,
            env=os.environ | {"PYTHONPATH": PYTHONPATH},
        )
        self.started.append(process)
        return process

    def run(self, *settings: str, ranks: int = 1) -> tuple[int, str, str]:
        """Run to the end; return rank 0's exit code, output and errors."""
        started = self.start_ranks(ranks, *settings) if ranks > 1 else [self.start(*settings)]
        ended = [process.communicate(timeout=300) for process in started]
        assert started[0].returncode is not None
        return started[0].returncode, *ended[0]

    def events(self, kind: str | None = None, folder: Path | None = None) -> list[dict[str, Any]]:
        path = (folder or self.folder) / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in found if kind in (None, event["kind"])]

    def wait(self, holds: Callable[[], object], seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    def metrics(self, name: str, folder: Path | None = None) -> list[float]:
        return [event["metrics"][name] for event in self.events("step_finished", folder)]

    def end(self) -> None:
        """End what still runs, and all that it started."""
        for process in self.started:
            if process.poll() is None and psutil.pid_exists(process.pid):
                tree = psutil.Process(process.pid)
                for member in [*tree.children(recursive=True), tree]:
                    member.kill()
                process.communicate(timeout=20)
