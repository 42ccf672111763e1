# ruff: noqa: E501  lines of logs are long
"""Logs of runs that went well: real ones of torch, Ray and the trainer on this machine, and made ones.

    python benchmarks/healthy_logs.py FOLDER [MADE] [REAL]

Each log is one file; a real run that did not end with 0 is not kept. What stands in them is loud on purpose:
retries that succeed, warnings, exceptions that are caught, restarts.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from diagnose_log import KINDS, Maker, metrics

LONGEST_RUN: Final = 240  # seconds
TORCH: Final = """
import os, sys, logging, warnings, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel as DDP
kind, seed = sys.argv[1], int(sys.argv[2])
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger("train")
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(seed)
model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
if kind == "fsdp":
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.device_mesh import init_device_mesh
    fully_shard(model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
else:
    model = DDP(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
for step in range(1, 13):
    x = torch.randn(32, 16)
    loss = (model(x) - x.sum(1, keepdim=True)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    norm = sum(float((p.grad.to_local() if hasattr(p.grad, "to_local") else p.grad).norm()) for p in model.parameters())
    optimizer.step()
    if step == 4 and rank == 0:
        try:
            int("an answer")
        except ValueError:
            log.warning("could not parse 1 answer, scored 0.0, going on", exc_info=seed % 2 == 0)
    if step == 6:
        warnings.warn("a tensor was copied; this is slow")
    if rank == 0:
        log.info("step:%d - loss:%.5f - grad_norm:%.4f", step, float(loss), norm)
if seed % 3:
    dist.destroy_process_group()
print("done")
"""
RAY: Final = """
import logging, os, sys, time, ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=True)
@ray.remote(max_retries=2)
def score(number):
    if number == 3 and not os.path.exists(sys.argv[1]):
        open(sys.argv[1], "w").close()
        raise ConnectionError("the judge did not answer")
    print("scored", number)
    return number / 10
@ray.remote
class Trainer:
    def step(self, number):
        print(f"step:{number} - actor/grad_norm:{0.5 / (number + 1)} - critic/score/mean:{number / 20}")
        return number
trainer = Trainer.remote()
for number in range(1, 9):
    ray.get(trainer.step.remote(number))
    try:
        ray.get(score.remote(number))
    except ConnectionError as error:
        logging.warning("the judge failed once (%s), retrying", error)
        ray.get(score.remote(number))
ray.shutdown()
"""
DECOYS: Final = (
    "WARNING: connection to 10.0.0.9:8000 refused, retrying (attempt 1 of 5)",
    'Traceback (most recent call last):\n  File "/app/reward.py", line 8, in parse\n    return float(text)\n'
    "ValueError: could not convert string to float: 'ten'\nWARNING: could not parse 1 answer, scored 0.0, going on",
    "[rank0]:[W701 10:00:00.1 ProcessGroupNCCL.cpp:1479] Warning: WARNING: destroy_process_group() was not called "
    "before program exit, which can leak resources.",
    "FutureWarning: `torch.cuda.amp.autocast(args...)` is deprecated.",
    "(raylet) Spilled 5120 MiB, 14 objects, write throughput 812 MiB/s.",
    "WARNING 07-01 [scheduler.py:1754] Sequence group 7 is preempted by PreemptionMode.RECOMPUTE mode.",
    "INFO checkpoint: saved global_step_40 in 12.1 s",
    "wandb: Network error (ConnectTimeout), entering retry loop.",
    "/bin/sh: 1: nvidia-smi: not found",
    "Token indices sequence length is longer than the specified maximum sequence length for this model (4100 > 4096).",
)


def made(path: Path, seed: int) -> None:
    """Write a made log whose steps go on after each loud line."""
    make = Maker(random.Random(seed))
    lines: list[str] = []
    for _ in range(make.chance.randrange(6, 30)):
        chosen = make.chance.choices(list(KINDS), list(KINDS.values()), k=make.chance.randrange(5, 120))
        lines += [kind(make) for kind in chosen]
        if make.chance.random() < 0.5:
            lines.append(make.chance.choice(DECOYS))
        lines.append(metrics(make))
    lines += [metrics(make) for _ in range(3)]
    path.write_text("\n".join(lines) + "\n")


def real(folder: Path) -> dict[str, Callable[[int], list[str]]]:
    """Return the commands of real runs by name."""
    torch_file, ray_file = folder / "run_torch.py", folder / "run_ray.py"
    torch_file.write_text(TORCH)
    ray_file.write_text(RAY)
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port"]
    return {
        "ddp": lambda seed: [*run, str(29600 + seed), str(torch_file), "ddp", str(seed)],
        "fsdp": lambda seed: [*run, str(29700 + seed), str(torch_file), "fsdp", str(seed)],
        "ray": lambda seed: [sys.executable, str(ray_file), str(folder / f"mark_{seed}")],
    }


def main() -> None:
    """Write as many made logs as asked for, then as many real ones of each kind."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(int(sys.argv[2]) if len(sys.argv) > 2 else 90):
        made(folder / f"made_{seed}.log", seed)
    work = folder.parent / f"{folder.name}_work"
    work.mkdir(exist_ok=True)
    for name, command in real(work).items():
        for seed in range(int(sys.argv[3]) if len(sys.argv) > 3 else 4):
            done = subprocess.run(command(seed), capture_output=True, timeout=LONGEST_RUN, check=False)
            if done.returncode == 0:
                (folder / f"{name}_{seed}.log").write_bytes(done.stdout + done.stderr)
            else:
                print(name, seed, done.stderr[-400:].decode("utf-8", "replace"))


if __name__ == "__main__":
    main()
