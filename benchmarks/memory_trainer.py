"""The trainer's own peaks against the memory model, before and after calibration.

    python benchmarks/memory_trainer.py [cpu|cuda]

Three sizes × two token budgets × recomputation on and off: each is a run of `trainer_core` of a few steps,
and the estimate is of the very file that was run. What is calibrated is predicted from the run with the
other budget. On CUDA peaks are torch's allocated bytes; on CPU those of the process's data segment.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import torch
from msgspec.structs import replace

from rldoctor import facts, sources
from rldoctor.estimate import measured
from rldoctor.facts import ToldFacts
from rldoctor.facts.memory_setup import sized
from rldoctor.memory import fit
from rldoctor.memory.layout import GIB, Setup

SIZES = {
    "cpu": ((128, 384, 2), (256, 768, 2), (256, 768, 4)),
    "cuda": ((1024, 3072, 28), (2048, 6144, 28), (2560, 9728, 36)),
}
BUDGETS = {"cpu": (1024, 4096), "cuda": (8192, 32768)}
LENGTHS = {"cpu": (240, 16), "cuda": (512, 1536)}
VOCABULARY = {"cpu": 2048, "cuda": 151936}
PROMPTS = {"cpu": 2, "cuda": 8}
DTYPE = {"cpu": "float32", "cuda": "bfloat16"}
CONFIG = """\
run: {{folder: {folder}, steps: 3}}
model: {{vocab_size: {vocabulary}, hidden_size: {hidden}, intermediate_size: {ffn}, layers: {layers},
  heads: {heads}, kv_heads: {heads}, head_dim: 64, tie_embeddings: true}}
data: {{prompt_length: {prompt}}}
rollout: {{prompts_per_step: {prompts}, samples_per_prompt: 8, max_new_tokens: {answer}, stop_token_ids: []}}
train: {{learning_rate: 1e-6, dtype: {dtype}, max_token_in_packing: {budget}, recompute: {again}}}
cluster: {{device: {device}, workers: 1{limit}}}
checkpoint: {{every: 1000}}
dumps: {{memory_snapshot: false}}
"""


def main() -> None:
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: nothing measured")
        return
    cold, warm = [], []
    with tempfile.TemporaryDirectory() as home:
        for size, again in product(SIZES[device], (False, True)):
            seen = [run(Path(home), device, size, budget, again) for budget in BUDGETS[device]]
            for number, (setup, peaks) in enumerate(seen):
                before = errors(setup, peaks)
                told = fit.calibrate(seen[1 - number][0], seen[1 - number][1]).free
                after = errors(replace(setup, free=told), peaks)
                cold += before
                warm += after
                peak = max(each.bytes for each in peaks) / GIB
                name = f"{size[0]} × {size[2]} layers, {BUDGETS[device][number]} tokens, recompute {again}"
                print(
                    f"{name:52s} {peak:7.3f} GiB  cold {_worst(before)}  calibrated {_worst(after)}",
                    flush=True,
                )
    for name, every in (("cold", cold), ("calibrated on the other budget", warm)):
        sizes = sorted(abs(error) for error in every)
        worst = max(every, key=abs)
        middle = 100 * statistics.median(sizes)
        print(f"{name}: {len(sizes)} steps, median {middle:.1f} %, worst {100 * worst:+.1f} %")


def _worst(every: list[float]) -> str:
    return f"{100 * max(every, key=abs):+5.1f} %"


def run(
    home: Path, device: str, size: tuple[int, int, int], budget: int, again: bool
) -> tuple[Setup, list[fit.Measured]]:
    """Train a few steps and return the setup of the file with the peaks of its run."""
    hidden, ffn, layers = size
    prompt, answer = LENGTHS[device]
    folder = home / f"{hidden}-{budget}-{again}"
    config = home / f"{folder.name}.yaml"
    limit = ", worker_memory_limit_gib: 16" if device == "cpu" else ""
    config.write_text(
        CONFIG.format(
            folder=folder, hidden=hidden, ffn=ffn, layers=layers, heads=max(1, hidden // 64), budget=budget,
            again=str(again).lower(), device=device, limit=limit, prompt=prompt, answer=answer,
            vocabulary=VOCABULARY[device], dtype=DTYPE[device], prompts=PROMPTS[device],
        )
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "trainer_core", str(config)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{config.name}: {done.stderr[-800:]}")
    (world, *_) = facts.walk_known(sources.read(str(config), sources.Told({}, ())), ToldFacts())
    setup = sized(world).setup
    if setup is None:
        sys.exit(f"{config.name}: memory cannot be estimated")
    return setup, list(measured.peaks(str(folder)))


def errors(setup: Setup, peaks: list[fit.Measured]) -> list[float]:
    """Return the relative error of a setup's estimate for each peak; calibration is the setup's own."""
    return [fit.estimate(setup, each) / each.bytes - 1 for each in peaks]


if __name__ == "__main__":
    main()
