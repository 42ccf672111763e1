"""The screen of a supervised run: one line that moves, and lines that stay."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from rldoctor.report.redact import redact
from rldoctor.run.tail import LiveEvent

GIB: Final = 1 << 30
PLAIN_SECONDS: Final = 10.0
CLEAR: Final = "\r\x1b[K"


class Screen(Struct):
    """Where progress is shown: a moving line on a terminal, plain lines now and then elsewhere."""

    quiet: bool = False
    steps: int | None = None
    change: str = ""
    _phase: str = "start"
    _step: LiveEvent = field(default_factory=dict)
    _drawn: str = ""
    _printed: float = 0.0
    _is_terminal: bool = field(default_factory=sys.stdout.isatty)

    def hear(self, event: LiveEvent) -> None:
        """Take in an event."""
        if event["kind"] == "phase_started":
            self._phase = str(event.get("phase"))
        elif event["kind"] == "step_finished":
            self._step = event
        elif event["kind"] == "run_started":
            self._phase = "start"

    def draw(self) -> None:
        """Show where the run is."""
        if self.quiet:
            return
        text = self._words()
        if self._is_terminal:
            if text != self._drawn:
                self._put(CLEAR + text[: shutil.get_terminal_size().columns - 1])
                self._drawn = text
            return
        now = time.monotonic()
        if self._step and text != self._drawn and now - self._printed >= PLAIN_SECONDS:
            self._put(text + "\n")
            self._drawn, self._printed = text, now

    def say(self, text: str) -> None:
        """Show a line that stays."""
        if not self.quiet:
            self.tell(text)

    def tell(self, text: str) -> None:
        """Show a line that stays, also when quiet."""
        if self._is_terminal and self._drawn:
            self._put(CLEAR)
            self._drawn = ""
        self._put(redact(text) + "\n")

    def _put(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:  # the terminal is gone: the run must still be ended in order
            self.quiet = True

    def _words(self) -> str:
        event, parts = self._step, [self._phase]
        if event:
            metrics = event.get("metrics") or {}
            of = f"/{self.steps}" if self.steps else ""
            parts.append(f"step {event.get('step')}{of}")
            parts += [f"reward {metrics['reward_mean']:.3f}"] if "reward_mean" in metrics else []
            parts += (
                [f"{metrics['tokens_per_second']:.0f} tokens/s"] if "tokens_per_second" in metrics else []
            )
            parts += [memory(event)] if event.get("bytes_peak") else []
        return "  ".join([*parts, *([self.change] if self.change else [])])


class Relay(Struct):
    """Shows what a foreign run prints, as it prints it."""

    screen: Screen
    log: Path
    _offset: int = 0

    def show(self) -> None:
        """Show what came since the last look."""
        if self.screen.quiet or not self.log.exists():
            return
        with self.log.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        if data:
            sys.stdout.write(data.decode("utf-8", "replace"))
            sys.stdout.flush()


def memory(event: LiveEvent) -> str:
    """Return the peak of memory against its limit, in GiB."""
    total = event.get("bytes_total")
    limit = f" of {total / GIB:.2f}" if total else ""
    return f"memory {event['bytes_peak'] / GIB:.2f}{limit} GiB"
