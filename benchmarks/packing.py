"""Packing against padding on heavy-tailed lengths: tokens trained a second, on one rank.

python benchmarks/packing.py [SAMPLES] [ROUNDS]

Answers are log-normal (8 to 1024 tokens). Packed rows have so many tokens as a padded batch of 8 has at
most, so that both need about the same memory. On CPU processor time counts, which others' load does not
change; on CUDA the clock.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from trainer_core.backends.fsdp import FsdpBackend
from trainer_core.config import Config, ModelConfig, TrainConfig
from trainer_core.memory import NoMeter
from trainer_core.train.plan import deal
from trainer_core.types import Prompt, Rollout

LONGEST, PADDED = 1024, 8
SHAPE = ModelConfig(layers=4, hidden_size=256, intermediate_size=768, heads=4, kv_heads=2, head_dim=64)
LARGE = ModelConfig(
    layers=28, hidden_size=1024, intermediate_size=3072, heads=16, kv_heads=8, head_dim=128, vocab_size=151936
)


def heavy_tailed(count: int) -> list[Rollout]:
    source, made = random.Random(0), []
    for index in range(count):
        length = min(LONGEST, max(8, int(source.lognormvariate(4.4, 1.1))))
        tokens = tuple(source.choices(range(256), k=length))
        prompt = Prompt(index, tokens[:4], "", "")
        made.append(Rollout(prompt, tokens, (-5.0,) * length, "stop", 0, advantage=source.gauss(0, 1)))
    return made


def seconds(backend: FsdpBackend, batches: Any, rollouts: Sequence[Rollout], config: Config) -> float:
    gpu = torch.cuda.is_available()
    clock = time.perf_counter if gpu else time.process_time
    start = clock()
    backend.update(batches, sum(len(r.token_ids) for r in rollouts), len(rollouts), config)
    if gpu:
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    """Print tokens a second of both, and the ratio; rounds take turns."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 48
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    torch.set_num_threads(1)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpu else "cpu:gloo", store=HashStore(), rank=0, world_size=1
    )
    model, dtype = (LARGE, "bfloat16") if gpu else (SHAPE, "float32")
    rollouts = heavy_tailed(count)
    tokens = sum(r.length for r in rollouts)
    packed = TrainConfig(max_token_in_packing=PADDED * LONGEST, dtype=dtype)
    padded = TrainConfig(packing=False, micro_batch_size=PADDED, dtype=dtype)
    arrived = [rollouts[a : a + PADDED] for a in range(0, count, PADDED)]
    ways = {
        "packed": (packed, deal(rollouts, packed, 1)[0]),
        "padded, sorted by length": (padded, deal(rollouts, padded, 1)[0]),
        "padded, as they came": (padded, arrived),
    }
    backend = FsdpBackend(Config(model=model, train=packed), device, NoMeter())
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (train, batches) in ways.items():
            taken[name].append(seconds(backend, batches, rollouts, Config(model=model, train=train)))
    rates = {name: tokens / statistics.median(values) for name, values in taken.items()}
    print(
        f"{count} answers of {min(r.length for r in rollouts)} to {max(r.length for r in rollouts)} tokens, "
        f"median {statistics.median(r.length for r in rollouts):.0f}; {device.type}, {tokens} tokens"
    )
    for name, rate in rates.items():
        print(f"  {name}: {rate:.0f} tokens/s; packed is {rates['packed'] / rate:.2f} times as fast")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
