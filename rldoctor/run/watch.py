"""Watching one attempt: its events, its heart, its end. Cheap: a look at two files a tenth of a second."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from msgspec import Struct, field

from rldoctor.run import processes
from rldoctor.run.tail import LiveEvent, Tail

POLL_SECONDS: Final = 0.1
PULSE_SECONDS: Final = 0.5
DUMP_SECONDS: Final = 10.0
STOP_SECONDS: Final = 180.0
AT_ONCE: Final = 2
REWARDS: Final = 5
LAST_WORDS_SECONDS: Final = 1.5
ONE_WISH_SECONDS: Final = 0.5  # `timeout` and schedulers signal a process and its group: the same wish twice
SLOWER: Final = 20.0
PATIENCE: Final[Mapping[str, float]] = {"start": 900.0, "checkpoint": 600.0, "first": 300.0, "": 60.0}
ENDS: Final = frozenset(
    {
        "run_finished",
        "out_of_memory",
        "nan",
        "exception",
        "worker_died",
        "process_death",
        "collective_timeout",
        "connection_lost",
        "disk_full",
        "port_in_use",
        "resources_missing",
    }
)


class Interrupt(Struct):
    """How often the user (or the machine) asked for the end; twice means at once."""

    asked: int = 0
    name: str = ""
    last: float = -ONE_WISH_SECONDS

    def listen(self) -> None:
        """Take Ctrl-C, SIGTERM and a closed terminal as a wish to end."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if now - self.last >= ONE_WISH_SECONDS:
            self.asked, self.name, self.last = self.asked + 1, signal.Signals(number).name, now


class End(Struct, frozen=True):
    """How an attempt ended: ``code`` below 0 names a signal; ``hung`` counts silent seconds.

    ``step`` is the one under way, ``finished`` the last one that was finished; ``reward`` is a mean of the
    last few.
    """

    code: int
    phase: str = "start"
    step: int = 0
    last: Mapping[str, Any] = field(default_factory=dict)
    hung: float | None = None
    asked: bool = False
    finished: int = 0
    reward: float | None = None

    @property
    def was_stopped(self) -> bool:
        """Say whether somebody else asked the trainer to end, and it did in order."""
        return self.last.get("kind") == "run_finished" and self.last.get("status") == "stopped"

    @property
    def is_done(self) -> bool:
        """Say whether the trainer did all it was to do."""
        return self.last.get("kind") == "run_finished" and self.last.get("status") == "done"

    @property
    def signal(self) -> str | None:
        """Return the signal that ended the process, if one did."""
        return signal.Signals(-self.code).name if self.code < 0 else None

    @property
    def spoke(self) -> bool:
        """Say whether the trainer said itself why it ended."""
        return self.last.get("kind") in ENDS


class Heart(Struct):
    """When something last moved, and how long silence may last before it is a hang."""

    told: float | None = None
    floors: Mapping[str, float] = field(default_factory=dict)
    phase: str = "start"
    steps: int = 0
    longest: float = 0.0
    beat: float = field(default_factory=time.monotonic)

    def heard(self, event: LiveEvent) -> None:
        """Take in a sign of life."""
        now = time.monotonic()
        if self.steps:
            self.longest = max(self.longest, now - self.beat)
        self.beat = now
        self.steps += event["kind"] == "step_finished"
        if event["kind"] == "phase_started":
            self.phase = str(event.get("phase"))

    def moved(self) -> None:
        """Take in a sign of life that is no event."""
        self.beat = time.monotonic()

    def silent(self) -> float:
        """Return the seconds since the last sign of life."""
        return time.monotonic() - self.beat

    def limit(self) -> float:
        """Return after how many silent seconds the run hangs; what was told holds from the first step on."""
        if self.told is not None and self.steps:
            return self.told
        usual = PATIENCE.get(self.phase, PATIENCE[""] if self.steps else PATIENCE["first"])
        return max(usual, self.floors.get(self.phase, 0.0), SLOWER * self.longest)


class Watch(Struct):
    """One attempt under supervision."""

    folder: Path
    child: processes.Child
    heart: Heart
    interrupt: Interrupt
    hear: Callable[[LiveEvent], None]
    pulse: Callable[[], None]
    tail: Tail
    output: Path | None = None
    """Of a foreign command, which writes no events: what it prints is its only sign of life."""
    _last: LiveEvent = field(default_factory=dict)
    _done: LiveEvent = field(default_factory=dict)
    _rewards: deque[float] = field(default_factory=lambda: deque(maxlen=REWARDS))
    _phase: str = "start"
    _step: int = 0
    _pulsed: float = 0.0
    _printed: int = 0

    def until_the_end(self) -> End:
        """Return how the attempt ended; a hang is ended here, its stacks taken first."""
        while True:
            code = self.child.poll()
            self._listen()
            if code is not None:
                return self._end(code)
            if self.interrupt.asked:
                return self._stop()
            if self._has_failed() and self.heart.silent() > LAST_WORDS_SECONDS:
                processes.end_all(self.folder, self.child)
                return self._end(self.child.wait())
            if self._hangs():
                return self._hang()
            self._beat()
            time.sleep(POLL_SECONDS)

    def _hangs(self) -> bool:
        """Say whether it was silent for too long; a foreign command's patience only a person can tell."""
        if self.output is None:
            return self.heart.silent() > self.heart.limit()
        told = self.heart.told
        return told is not None and self._printed > 0 and self.heart.silent() > told

    def _listen(self) -> None:
        printed = self.output.stat().st_size if self.output is not None and self.output.exists() else 0
        if printed != self._printed:
            self._printed = printed
            self.heart.moved()
        for event in self.tail.new():
            self.heart.heard(event)
            self._last = event
            self._finish(event)
            self._phase = str(event.get("phase", self._phase))
            step = event.get("step")
            self._step = step if isinstance(step, int) else self._step
            self.hear(event)

    def _finish(self, event: LiveEvent) -> None:
        if event["kind"] == "step_finished":
            self._done = event
            reward = (event.get("metrics") or {}).get("reward_mean")
            self._rewards += [float(reward)] if isinstance(reward, int | float) else []

    def _has_failed(self) -> bool:
        """Say whether the trainer has told why it ends; what it tidies up then is not worth the wait."""
        return self._last.get("kind") in ENDS - {"run_finished"}

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._pulsed >= PULSE_SECONDS:
            self._pulsed = now
            processes.reap(self.child)
            self.pulse()

    def _end(self, code: int, hung: float | None = None, asked: bool = False) -> End:
        reward = fmean(self._rewards) if self._rewards else None
        finished = int(self._done.get("step", 0))
        return End(code, self._phase, self._step, self._last, hung, asked, finished, reward)

    def _stop(self) -> End:
        """Ask the driver to save and end, wait for it, but no longer once asked twice."""
        if self.output is None:
            processes.signal_driver(self.folder, self.child, signal.SIGTERM)
        else:
            processes.signal_group(self.child, signal.SIGTERM)
        begin = time.monotonic()
        while self.child.poll() is None and self.interrupt.asked < AT_ONCE:
            self._listen()
            self._beat()
            if time.monotonic() - begin > STOP_SECONDS:
                break
            time.sleep(POLL_SECONDS)
        processes.end_all(self.folder, self.child)
        self._listen()
        return self._end(self.child.wait(), asked=True)

    def _hang(self) -> End:
        """Take stacks and recordings, then end the whole tree."""
        silent = self.heart.silent()
        if self.output is None:  # the signal for dumps would end a program that does not know it
            self._dump()
        self._listen()
        if self.heart.silent() < silent:
            return self.until_the_end()  # it moved meanwhile: only slow
        processes.end_all(self.folder, self.child)
        return self._end(self.child.wait(), hung=silent)

    def _dump(self) -> None:
        """Have the driver write its dumps, and wait until they are written."""
        dumps = self.folder / "dumps"
        before = _stamps(dumps)
        processes.signal_driver(self.folder, self.child, signal.SIGUSR1)
        begin, now, moved = time.monotonic(), before, time.monotonic()
        while time.monotonic() - begin < DUMP_SECONDS and self.child.poll() is None:
            time.sleep(POLL_SECONDS)
            seen = _stamps(dumps)
            if seen != now:
                now, moved = seen, time.monotonic()
            elif now != before and time.monotonic() - moved > 1.0:
                return


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    if not folder.is_dir():
        return {}
    return {
        path.name: (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.iterdir()
        if path.is_file()
    }
