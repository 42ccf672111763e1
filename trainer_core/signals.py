"""SIGTERM and Ctrl-C end the run after a step, SIGUSR1 writes dumps; also while the main thread hangs."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from trainer_core.run import Control

INTERRUPTED = 130
_kept: list[IO[str]] = []


def follow(dumps: Path, name: str) -> None:
    """Leave the end to the driver, in a process that only follows it; SIGUSR1 writes its stacks."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    dumps.mkdir(parents=True, exist_ok=True)
    stacks = (dumps / f"stacks_{name}.txt").open(
        "a", encoding="utf-8"
    )  # open for as long as the process lives
    faulthandler.register(signal.SIGUSR1, stacks, all_threads=True)
    _kept.append(stacks)


class Signals:
    """Listens in a thread: a wake-up pipe is written even when no Python code of the main thread runs."""

    def __init__(self, control: Control, dumps: Path) -> None:
        self._control, self._dumps = control, dumps
        self._forward: Callable[[Path], None] | None = None

    def forward(self, dump: Callable[[Path], None]) -> None:
        """Have SIGUSR1 reach the ranks too."""
        self._forward = dump

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, _nothing)
        self._dumps.mkdir(parents=True, exist_ok=True)
        self._stacks = (self._dumps / "stacks_driver.txt").open("a", encoding="utf-8")
        faulthandler.register(signal.SIGUSR1, self._stacks, all_threads=True, chain=True)
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        faulthandler.unregister(signal.SIGUSR1)
        self._stacks.close()
        os.close(self._write)
        self._thread.join()
        os.close(self._read)

    def _listen(self) -> None:
        while heard := os.read(self._read, 1):
            number = heard[0]
            if number == signal.SIGUSR1 and self._forward:
                self._forward(self._dumps)
            elif number == signal.SIGINT and self._control.stop:
                os._exit(INTERRUPTED)  # asked twice: do not wait for the step
            elif number in (signal.SIGTERM, signal.SIGINT):
                self._control.stop = signal.Signals(number).name
                print(f"{self._control.stop}: stopping after this step, with a checkpoint", flush=True)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Stand in for the default action: the thread acts."""
