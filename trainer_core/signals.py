"""SIGTERM and Ctrl-C end the run after a step, SIGUSR1 writes dumps; also while the main thread hangs."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from trainer_core.run import Control

INTERRUPTED = 130
ONE_WISH_SECONDS = 0.5  # the terminal and torchrun both hand on one Ctrl-C


class Signals:
    """Listens in a thread: a wake-up pipe is written even when no Python code of the main thread runs.

    Without a control this process only follows the driver, which decides about the end.
    """

    def __init__(self, control: Control | None, dumps: Path, name: str = "driver") -> None:
        self._control, self._dumps, self._name = control, dumps, name
        self._forward: Callable[[Path], None] | None = None
        self._asked = 0.0

    def forward(self, dump: Callable[[Path], None]) -> None:
        """Have SIGUSR1 reach the ranks too."""
        self._forward = dump

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, _nothing)  # the thread acts
        self._dumps.mkdir(parents=True, exist_ok=True)
        self._stacks = (self._dumps / f"stacks_{self._name}.txt").open("a", encoding="utf-8")
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
            if heard[0] == signal.SIGUSR1 and self._forward:
                self._dump(self._forward)
            elif heard[0] in (signal.SIGTERM, signal.SIGINT) and self._control:
                self._stop(self._control, signal.Signals(heard[0]))

    def _dump(self, forward: Callable[[Path], None]) -> None:
        try:
            forward(self._dumps)
        except Exception as error:  # noqa: BLE001 - a dump that fails must not end the listening
            print(f"no dump: {type(error).__name__}: {error}", flush=True)

    def _stop(self, control: Control, number: signal.Signals) -> None:
        now = time.monotonic()
        if number == signal.SIGINT and control.stop and now - self._asked >= ONE_WISH_SECONDS:
            os._exit(INTERRUPTED)  # asked twice: do not wait for the step
        if control.stop:
            return
        self._asked, control.stop = now, number.name
        print(f"{number.name}: stopping after this step, with a checkpoint", flush=True)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Stand in for the default action: the thread acts."""
