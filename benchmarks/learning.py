"""Learning to 0.9 on the copy task against TRL's GRPO: the same model, data and settings, three seeds.

python benchmarks/learning.py PYTHON_WITH_TRL [SEEDS]

Both train until the mean reward of the last five steps is 0.9, alternating seed by seed on one thread.
Wall time includes the start; processor time is the steadier figure where others use the machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIG = """\
run: {{folder: {folder}, steps: 600, stop_at_reward: 0.9, seed: {seed}}}
algorithm: {{entropy: 0.05, loss: dapo, advantage: group}}
train: {{learning_rate: 2e-3, max_token_in_packing: 4096}}
cluster: {{threads: 1, device: cpu}}
checkpoint: {{every: 100000}}
"""


def timed(words: list[str]) -> tuple[float, float, str]:
    """Return wall seconds, processor seconds and output of a command on one thread."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    before, began = os.times(), time.monotonic()
    ended = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    wall, after = time.monotonic() - began, os.times()
    if ended.returncode:
        raise SystemExit(ended.stdout[-2000:] + ended.stderr[-4000:])
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu, ended.stdout


def ours(seed: int) -> tuple[float, float, int]:
    """Return wall, processor seconds and steps of trainer_core."""
    with tempfile.TemporaryDirectory() as home:
        config = Path(home, "config.yaml")
        config.write_text(CONFIG.format(folder=f"{home}/run", seed=seed))
        wall, cpu, _ = timed([sys.executable, "-m", "trainer_core", str(config)])
        last = json.loads(Path(home, "run", "events.jsonl").read_text().splitlines()[-1])
    if last.get("reason") != "reward":
        raise SystemExit(f"seed {seed}: did not learn: {last}")
    return wall, cpu, int(last["step"])


def peers(python: str, seed: int) -> tuple[float, float, int]:
    """Return wall, processor seconds and steps of TRL."""
    wall, cpu, out = timed([python, str(Path(__file__).with_name("learning_trl.py")), str(seed)])
    return wall, cpu, int(out.split()[-1])


def main() -> None:
    """Print each run, and the ratios of the sums."""
    python = sys.argv[1]
    seeds = range(int(sys.argv[2]) if len(sys.argv) > 2 else 3)
    sides: dict[str, list[tuple[float, float, int]]] = {"trainer_core": [], "TRL": []}
    for seed in seeds:
        sides["trainer_core"].append(ours(seed))
        sides["TRL"].append(peers(python, seed))
        for name, runs in sides.items():
            wall, cpu, steps = runs[-1]
            print(
                f"seed {seed}  {name:12s} {steps:4d} steps  {wall:6.1f} s wall  {cpu:6.1f} s processor",
                flush=True,
            )
    for place, what in enumerate(("wall", "processor")):
        one, other = (sum(run[place] for run in sides[name]) for name in ("trainer_core", "TRL"))
        print(f"{what} time to 0.9, all seeds: {one:.0f} s against {other:.0f} s: {one / other:.2f} of TRL's")
    per_step = {
        name: statistics.median(cpu / steps for _, cpu, steps in runs) for name, runs in sides.items()
    }
    print(
        "processor time a step: "
        + ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in per_step.items())
    )


if __name__ == "__main__":
    main()
