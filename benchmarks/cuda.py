"""On CUDA: a budget far too large really fails, is healed, climbs; events' peaks against the driver's.

python benchmarks/cuda.py [STEPS]

A Qwen3-shaped model of 0.6 billion random parameters, local kind, bfloat16. The driver's figure is NVML's
for the trainer's process; it holds CUDA's context and what the allocator keeps besides. Packing against
padding on the same device: ``packing.py``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import pynvml
import torch
from supervised import start

GIB = 1 << 30
CONFIG = """\
run: {{folder: {folder}, steps: {steps}}}
model: {{vocab_size: 151936, hidden_size: 1024, intermediate_size: 3072, layers: 28, heads: 16, kv_heads: 8,
  head_dim: 128, initializer_range: 0.02, meta_init: true}}
data: {{prompt_length: 512}}
rollout: {{prompts_per_step: 64, samples_per_prompt: 16, max_new_tokens: 512}}
algorithm: {{entropy: 0.0}}
train: {{learning_rate: 1e-6, dtype: bfloat16, max_token_in_packing: 2000000}}
cluster: {{device: cuda}}
checkpoint: {{every: 1000}}
"""


def main() -> None:
    """Run, look at the driver's figure meanwhile, print the story."""
    if not torch.cuda.is_available():
        print("no CUDA device here: nothing measured")
        return
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    pynvml.nvmlInit()
    device = pynvml.nvmlDeviceGetHandleByIndex(0)
    with tempfile.TemporaryDirectory() as home:
        config = Path(home, "config.yaml")
        config.write_text(CONFIG.format(folder=f"{home}/run", steps=steps))
        process = start(config, Path(home, "run"))
        highest = 0
        while process.poll() is None:
            used = [each.usedGpuMemory or 0 for each in pynvml.nvmlDeviceGetComputeRunningProcesses(device)]
            highest = max([highest, *used])
            time.sleep(0.05)
        tell(Path(home, "run"), highest)


def tell(folder: Path, highest: int) -> None:
    """Print failures, climb and peaks of a run."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    failed = [event for event in events if event["kind"] == "out_of_memory"]
    peaks = [event for event in events if event["kind"] == "phase_finished" and event.get("bytes_peak")]
    allocated, reserved = (max(event[name] for event in peaks) for name in ("bytes_peak", "bytes_reserved"))
    print(f"out of memory: {len(failed)} ({', '.join(event['device'] for event in failed)})")
    for line in (folder / "journal.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "measured" and "bytes_peak" in entry:
            rate, peak = entry["train_tokens_per_second"], entry["bytes_peak"] / GIB
            print(f"  budget {entry['budget']}: peak {peak:.1f} GiB, {rate:.0f} tokens/s: {entry['verdict']}")
    print(
        f"highest peak: {allocated / GIB:.2f} GiB allocated, {reserved / GIB:.2f} reserved (events), "
        f"{highest / GIB:.2f} used by the process (driver)"
    )


if __name__ == "__main__":
    main()
