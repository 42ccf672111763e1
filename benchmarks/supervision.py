"""The supervisor's share of a step: its processor time over the time that the steps take (budget: 1 %).

python benchmarks/supervision.py [STEPS]
"""

from __future__ import annotations

import statistics
import sys

import psutil
from supervised import supervised

WARM = 15


def main() -> None:
    """Print the processor time of the supervisor for a step, and its share."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with supervised("local", 1, 20) as run:
        supervisor = psutil.Process(run.process.pid)
        first = run.wait(WARM)
        before = sum(supervisor.cpu_times()[:2])
        last = run.wait(first["step"] + steps)
        used = sum(supervisor.cpu_times()[:2]) - before
        taken = [event["seconds"] for event in run.steps()[WARM:]]
    wall = last["t"] - first["t"]
    print(
        f"supervision: {used / steps * 1000:.2f} ms of {statistics.median(taken) * 1000:.0f} ms a step: "
        f"{used / wall:.2%} (budget: 1 %)"
    )


if __name__ == "__main__":
    main()
