"""The tuned token budget against the best of a grid: its share of the throughput, and failures on the way.

python benchmarks/tuning.py [STEPS]

The example with a budget far too large runs under ``--autotune`` until its climb is settled. Then each
budget of a grid, and the tuned one, trains the same batch within the same memory limit.
On CPU processor time counts, which others' load does not change.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch._C._distributed_c10d import HashStore

from trainer_core.config import Config
from trainer_core.config.reading import read
from trainer_core.train.plan import deal
from trainer_core.types import Prompt, Rollout
from trainer_core.worker import Worker

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "too_large.yaml"
GRID = (480, 1920, 3840, 7680, 15360)
ROUNDS = 4
GIB = 1 << 30


def tuned(steps: int) -> tuple[int, int, list[dict[str, Any]]]:
    """Return the budget that a supervised run settles on, its out-of-memory events, and its experiments."""
    with tempfile.TemporaryDirectory() as home:
        words = ["--run-folder", f"{home}/run", "--set", f"run.steps={steps}", "--quiet"]
        command = [sys.executable, "-m", "rldoctor", "run", "--autotune", str(EXAMPLE), *words]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        config, _ = read(Path(home, "run", "config.yaml"), [])
        events = Path(home, "run", "events.jsonl").read_text()
        journal = [json.loads(line) for line in Path(home, "run", "journal.jsonl").read_text().splitlines()]
    measured = [entry for entry in journal if entry["kind"] == "measured"]
    return config.train.max_token_in_packing, events.count('"out_of_memory"'), measured


def batch(config: Config) -> list[Rollout]:
    """Return answers as the example samples them."""
    source, rollout = random.Random(0), config.rollout
    made = []
    for index in range(rollout.prompts_per_step * rollout.samples_per_prompt):
        prompt = tuple(source.choices(config.data.alphabet.encode(), k=config.data.prompt_length))
        answer = tuple(source.choices(config.data.alphabet.encode(), k=rollout.max_new_tokens))
        chances = (-5.0,) * len(answer)
        made.append(
            Rollout(Prompt(index, prompt, "", ""), answer, chances, "length", 0, advantage=source.gauss(0, 1))
        )
    return made


def one(budget: int) -> float | None:
    """Return the tokens a second of training with a budget, None where memory does not suffice.

    In a process of its own: an allocator that has failed is no measure for the next.
    """
    words = [sys.executable, __file__, "--one", str(budget)]
    ended = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    said = ended.stdout.split()
    if ended.returncode or not said:
        raise SystemExit(ended.stderr)
    return None if said[-1] == "failed" else float(said[-1])


def measure(budget: int) -> None:
    """Print the rate of one budget, or that it failed."""
    config, _ = read(EXAMPLE, [f"train.max_token_in_packing={budget}"])
    worker = Worker(config, 0, 1)
    worker.join(HashStore())
    worker.build()
    rollouts = batch(config)
    call = (
        deal(rollouts, config.train, 1)[0],
        sum(len(r.token_ids) for r in rollouts),
        len(rollouts),
        config,
        1,
    )
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    taken = []
    for _ in range(ROUNDS):
        start = clock()
        reply = worker.answer("train", call)
        taken.append(clock() - start)
        if reply.failure:
            print("failed")
            return
    print(sum(r.length for r in rollouts) / statistics.median(taken[1:]))


def main() -> None:
    """Print the climb, the grid, and the share."""
    if sys.argv[1:2] == ["--one"]:
        measure(int(sys.argv[2]))
        return
    budget, failures, climb = tuned(int(sys.argv[1]) if len(sys.argv) > 1 else 24)
    for entry in (entry for entry in climb if "bytes_peak" in entry):
        peak, limit = entry["bytes_peak"] / GIB, entry["bytes_total"] / GIB
        print(f"climb: {entry['budget']:6d} tokens, peak {peak:.3f} of {limit:.3f} GiB: {entry['verdict']}")
    rates = {size: one(size) for size in sorted({*GRID, budget})}
    best = max(filter(None, rates.values()))
    for size, rate in rates.items():
        words = "out of memory" if rate is None else f"{rate:7.0f} tokens/s, {rate / best:.2f} of the best"
        print(f"{'tuned' if size == budget else 'grid '} {size:6d} tokens: {words}")
    print(f"out-of-memory events on the way: {failures}")


if __name__ == "__main__":
    main()
