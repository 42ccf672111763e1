"""What a step costs beside its phases, and what watching it costs: both as shares of the step.

python benchmarks/supervision.py [STEPS]

The loop's overhead is the time between steps that no phase accounts for (budget: 5 %). Supervision is the
supervisor's processor time over the time that the steps take (budget: 1 %).
"""

from __future__ import annotations

import statistics
import sys

import psutil
from supervised import Supervised, supervised

WARM = 15


def overhead(run: Supervised, first: int, last: int) -> float:
    """Return the share of the time from one finished step to another that lies in no phase."""
    begin, end = (run.events("step_finished", step)[0]["t"] for step in (first, last))
    phases = [event for event in run.events("phase_finished") if begin < event["t"] <= end]
    return 1 - sum(event["seconds"] for event in phases) / (end - begin)


def main() -> None:
    """Print the two shares."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with supervised("local", 1, 20) as run:
        supervisor = psutil.Process(run.process.pid)
        first = run.wait(WARM)
        before = sum(supervisor.cpu_times()[:2])
        last = run.wait(first["step"] + steps)
        used = sum(supervisor.cpu_times()[:2]) - before
        taken = statistics.median(event["seconds"] for event in run.events("step_finished")[WARM:])
        share = overhead(run, first["step"], last["step"])
    print(f"loop outside of the phases: {share:.2%} of {taken * 1000:.0f} ms a step (budget: 5 %)")
    wall = last["t"] - first["t"]
    print(f"supervision: {used / steps * 1000:.2f} ms a step: {used / wall:.2%} (budget: 1 %)")


if __name__ == "__main__":
    main()
