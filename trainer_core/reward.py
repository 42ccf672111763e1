"""Reward: answers in, scores out, in processes of their own that are killed when an answer takes too long."""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any, Final

from trainer_core.protocols import Scored, Scorer
from trainer_core.types import Rollout, UserError

RewardFunction = Callable[[str, str, str], float]
PIPE_BYTES = 1 << 15
LISTEN_SECONDS = 0.05
START_SECONDS = 60.0
PR_SET_PDEATHSIG = 1


def match(prompt: str, answer: str, text: str) -> float:
    """Return the share of the answer's positions that the text has right."""
    return sum(a == b for a, b in zip(answer, text, strict=False)) / max(1, len(answer))


def exact(prompt: str, answer: str, text: str) -> float:
    """Return 1 where the text is the answer, else 0."""
    return float(answer == text)


REWARDS: Final[dict[str, RewardFunction]] = {"match": match, "exact": exact}


def find(name: str) -> RewardFunction:
    """Return a reward by its name or by ``module:function``."""
    if name in REWARDS:
        return REWARDS[name]
    module, colon, function = name.partition(":")
    if not colon:
        raise UserError(f"reward.function: {name}: known are {', '.join(REWARDS)}, or module:function")
    try:
        found: RewardFunction = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"reward.function: {name}: {error}") from error
    return found


def serve(name: str) -> None:
    """Score answers from stdin and write scores to stdout, a line each: the life of a reward process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    function = find(name)
    out, sys.stdout = sys.stdout, sys.stderr  # what a reward prints must not look like a score
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(_scored(function, json.loads(line))), file=out, flush=True)


def _end_with_parent() -> None:
    """Have the kernel end this process with the trainer, even while a reward is stuck."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux alone has it; elsewhere stdin's end must do
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _scored(function: RewardFunction, question: list[str]) -> dict[str, Any]:
    try:
        reward = float(function(*question))
        return {"reward": reward} if isfinite(reward) else {"lost": f"the reward is {reward}"}
    except Exception as error:  # noqa: BLE001 - isolates one sample from a function that is not ours
        return {"lost": f"{type(error).__name__}: {error}"[:300]}


def score(scorer: Scorer, rollouts: Sequence[Rollout], seconds: float) -> Scored:
    """Return the rollouts with their rewards, None where lost, and the lost ones with the reason."""
    return scorer.score(rollouts, seconds)


class _Process:
    """One reward process, and the rollouts it was given, oldest first."""

    def __init__(self, name: str) -> None:
        code = f"from trainer_core.reward import serve; serve({name!r})"
        path = os.pathsep.join(part for part in [str(Path.cwd()), *sys.path] if part)
        self._inner = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=os.environ | {"PYTHONPATH": path},
        )
        assert self._inner.stdin and self._inner.stdout
        self._in, self.out = self._inner.stdin, self._inner.stdout
        self.waiting: deque[int] = deque()
        self.deadline = 0.0
        self._sizes: deque[int] = deque()
        self._heard = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.out, selectors.EVENT_READ)
            words = self.out.readline() if selector.select(START_SECONDS) else b""
        if words != b"ready\n":
            self.end()
            raise UserError("a reward process did not start; its own words stand above")

    def give(self, queue: deque[int], rollouts: Sequence[Rollout], seconds: float) -> None:
        """Hand over as much as surely fits into the pipe: writing must not wait for a stuck function."""
        while queue:
            rollout = rollouts[queue[0]]
            question = [rollout.prompt.text, rollout.prompt.answer, rollout.text]
            line = json.dumps(question).encode() + b"\n"
            if self.waiting and sum(self._sizes) + len(line) > PIPE_BYTES:
                return
            if not self.waiting:
                self.deadline = time.monotonic() + seconds
            self.waiting.append(queue.popleft())
            self._sizes.append(len(line))
            try:
                self._in.write(line)
            except BrokenPipeError:
                return  # it died: reading its end of file says so

    def hear(self, seconds: float) -> list[tuple[int, dict[str, Any]]] | None:
        """Return the scores that arrived, or None where the process has ended."""
        data = os.read(self.out.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self._heard = (self._heard + data).split(b"\n")
        for _ in lines:
            self._sizes.popleft()
        self.deadline = time.monotonic() + seconds
        return [(self.waiting.popleft(), json.loads(line)) for line in lines]

    def end(self) -> None:
        """Kill the process."""
        self._inner.kill()
        self._inner.wait()
        self._in.close()
        self.out.close()


class RewardProcesses:
    """Scores answers in a few processes; one that exceeds its time is killed and replaced."""

    def __init__(self, name: str, workers: int) -> None:
        self._name = name
        find(name)
        self._processes = [_Process(name) for _ in range(workers)]

    def score(self, rollouts: Sequence[Rollout], seconds: float) -> Scored:
        """Return the rollouts with their rewards, None where lost, and the lost ones with the reason."""
        queue, scores = deque(range(len(rollouts))), dict[int, dict[str, Any]]()
        while len(scores) < len(rollouts):
            for place, process in enumerate(self._processes):
                process.give(queue, rollouts, seconds)
                lost = self._listen(process, scores, seconds)
                if lost and process.waiting:
                    scores[process.waiting.popleft()] = {"lost": lost}
                    queue.extendleft(reversed(process.waiting))
                    process.end()
                    self._processes[place] = _Process(self._name)
        missed = [(rollouts[i], row["lost"]) for i, row in sorted(scores.items()) if "lost" in row]
        return [
            replace(rollout, reward=scores[i].get("reward")) for i, rollout in enumerate(rollouts)
        ], missed

    def _listen(self, process: _Process, scores: dict[int, dict[str, Any]], seconds: float) -> str:
        """Take in what a process says within a moment; return why its oldest rollout is lost, if it is."""
        if not process.waiting:
            return ""
        with selectors.DefaultSelector() as selector:
            selector.register(process.out, selectors.EVENT_READ)
            ready = selector.select(min(LISTEN_SECONDS, max(0.0, process.deadline - time.monotonic())))
        if ready:
            heard = process.hear(seconds)
            scores.update(heard or ())
            return "" if heard is not None else "the reward process died"
        return f"no reward within {seconds:g} seconds" if time.monotonic() >= process.deadline else ""

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.end()
