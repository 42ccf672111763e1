"""Time from a worker's death (kill -9) to the next finished step, and finished steps lost.

python benchmarks/recovery.py [local|ray] [RUNS]
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import suppress

import psutil
from supervised import Supervised, supervised

EVERY = 10


def a_worker(run: Supervised, kind: str) -> psutil.Process:
    """Return a process that computes: a Ray actor, or the trainer itself."""
    wanted = "_Actor" if kind == "ray" else "-m trainer_core"
    for process in psutil.Process(run.process.pid).children(recursive=True):
        with suppress(psutil.Error):  # ended meanwhile
            if wanted in " ".join(process.cmdline()):
                return process
    raise SystemExit("no worker runs")


def main() -> None:
    """Kill a worker several times in one run; print the median and the worst."""
    kind = sys.argv[1] if len(sys.argv) > 1 else "local"
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seconds, lost = [], []
    with supervised(kind, 2 if kind == "ray" else 1, EVERY) as run:
        step = 0
        for number in range(runs):
            step = run.wait(step + EVERY + 3 + number)["step"]
            worker, killed = a_worker(run, kind), time.time()
            worker.kill()
            worker.wait(10)
            time.sleep(0.2)
            done = run.steps()[-1]["step"]
            again = run.wait(0, after=max(killed, run.steps()[-1]["t"]))
            seconds.append(again["t"] - killed)
            lost.append(done - again["step"] + 1)
            step = max(done, again["step"])
    print(f"{kind}: death of a worker to the next finished step: median {statistics.median(seconds):.1f} s")
    print(f"  each: {', '.join(f'{value:.1f}' for value in seconds)} s")
    print(f"  finished steps lost: {lost} (never more than the checkpoint interval, {EVERY})")


if __name__ == "__main__":
    main()
