# ruff: noqa: E501, SIM905  lines of logs are long
"""A log of many workers as large as asked for: engines, step lines, progress bars, samples, some failures.

    python benchmarks/diagnose_log.py FILE BYTES [STORM]

STORM is the share of lines that are part of a failure (0.1: every tenth); without it there is none.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

COLOUR, PLAIN = "\x1b[36m", "\x1b[0m"
ACTORS: Final = ("WorkerDict", "RolloutServer", "RewardWorker", "AgentLoop", "TaskRunner")
WORDS: Final = (
    "let the number of ways be counted first then add what remains and divide by two so the answer is the sum "
    "of both parts because each error of rounding cancels in memory of the last step return assert timeout"
).split()
METRICS: Final = (
    "actor/grad_norm actor/pg_loss actor/ppo_kl actor/entropy critic/score/mean critic/advantages/max "
    "response_length/mean response_length/clip_ratio timing_s/gen timing_s/update_actor perf/throughput"
).split()
FRAMES: Final = ("trainer/ppo/ray_trainer.py", "single_controller/base.py", "models/transformer/layer.py")
BLOCK: Final = 20_000


class Maker(Struct):
    """What lines are made from: chance, and the step that the run is at."""

    chance: random.Random
    step: int = 0

    def worker(self) -> str:
        """Return the prefix of one of 512 workers."""
        number = self.chance.randrange(512)
        return f"{COLOUR}({ACTORS[number % 4]} pid={4000 + number}, ip=10.0.{number // 64}.{number % 64}){PLAIN} "

    def clock(self) -> str:
        """Return the time of the step."""
        seconds = self.step * 31
        return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def engine(make: Maker) -> str:
    """Return what a vLLM engine says every ten seconds."""
    pick = make.chance.random
    return (
        f"{make.worker()}INFO 07-01 {make.clock()} [loggers.py:127] Engine 000: Avg prompt throughput: "
        f"{pick() * 5000:.1f} tokens/s, Avg generation throughput: {pick() * 9000:.1f} tokens/s, Running: "
        f"{int(pick() * 256)} reqs, Waiting: {int(pick() * 99)} reqs, GPU KV cache usage: {pick() * 100:.1f}%"
    )


def decode(make: Maker) -> str:
    """Return what an SGLang scheduler says after a batch."""
    pick = make.chance.random
    return (
        f"{make.worker()}[2026-07-01 {make.clock()} TP{int(pick() * 8)}] Decode batch. #running-req: "
        f"{int(pick() * 256)}, #token: {int(pick() * 900_000)}, token usage: {pick():.2f}, cuda graph: True, "
        f"gen throughput (token/s): {pick() * 9000:.2f}, #queue-req: {int(pick() * 64)}"
    )


def request(make: Maker) -> str:
    """Return the line of a server's access log."""
    return f'{make.worker()}INFO:     10.0.1.{make.chance.randrange(255)}:40112 - "POST /generate HTTP/1.1" 200 OK'


def progress(make: Maker) -> str:
    """Return a progress bar with several states on one line."""
    done = make.chance.randrange(1, 1000)
    states = (
        f"Processed prompts: {at * 100 // 1024:3d}%|{'█' * (at // 103):10s}| {at}/1024 [00:{at % 60:02d}<00:41]"
        for at in range(done, done + 3)
    )
    return make.worker() + "\r".join(states)


def channel(make: Maker) -> str:
    """Return a line of NCCL's start."""
    number = make.chance.randrange(8)
    return f"{make.worker()}node{number:03d}:811:942 [{number}] NCCL INFO Channel 0{number}/0 : 0[0] -> 1[1] via P2P/CUMEM"


def sample(make: Maker) -> str:
    """Return a sampled answer."""
    return (
        make.worker() + "[response] " + " ".join(make.chance.choices(WORDS, k=make.chance.randrange(40, 900)))
    )


def metrics(make: Maker) -> str:
    """Return verl's line of a step."""
    make.step += 1
    values = " - ".join(f"{name}:{make.chance.random() + 0.1:.12f}" for name in METRICS)
    return f"{COLOUR}(TaskRunner pid=3999){PLAIN} step:{make.step} - {values}"


def failure(make: Maker) -> str:
    """Return the traceback of a worker, with what its peers say."""
    who = make.worker()
    frames = (
        f'{who}  File "/opt/lib/python3.11/site-packages/{at}", line 81, in run\n{who}    go()'
        for at in FRAMES
    )
    ends = (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 3 has a total capacity of "
        "79.11 GiB of which 1.02 GiB is free.",
        "RuntimeError: CUDA error: an illegal memory access was encountered",
        "KeyError: 'reward_model'",
        "requests.exceptions.ConnectionError: Max retries exceeded with url: /generate",
    )
    return "\n".join((f"{who}Traceback (most recent call last):", *frames, who + make.chance.choice(ends)))


KINDS: Final[dict[Callable[[Maker], str], float]] = {
    engine: 24, decode: 24, request: 14, progress: 9, channel: 6, sample: 6, metrics: 0.2,
}  # fmt: skip
LINES_OF_FAILURE: Final = 8


def blocks(storm: float, seed: int = 7) -> Iterator[bytes]:
    """Yield a log in pieces, without an end."""
    make = Maker(random.Random(seed))
    quiet = sum(KINDS.values())
    kinds = {**KINDS, failure: quiet * storm / (1 - storm) / LINES_OF_FAILURE}
    while True:
        chosen = make.chance.choices(list(kinds), list(kinds.values()), k=BLOCK)
        yield ("\n".join(kind(make) for kind in chosen) + "\n").encode()


def write(path: Path, size: int, storm: float = 0.0) -> None:
    """Write a log of at least ``size`` bytes."""
    with path.open("wb") as file:
        for block in blocks(storm):
            file.write(block)
            if file.tell() >= size:
                return


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
