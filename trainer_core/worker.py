"""A rank: its part of the backend, its engine, and what the driver may ask of it."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Store

from trainer_core import backends, dumps, engines, memory
from trainer_core.config import Config, ModelConfig
from trainer_core.failures import describe
from trainer_core.rollout import seed
from trainer_core.types import Memory, Prompt, Reply, Rollout, Update


class Worker:
    """One rank. ``answer`` is how it is called; failures come back as replies."""

    def __init__(self, config: Config, rank: int, world: int, local_rank: int = 0) -> None:
        self._config, self.rank, self._world = config, rank, world
        self._device = _device(config, local_rank)
        torch.set_num_threads(config.cluster.threads or max(1, (os.cpu_count() or 1) // world))
        self._meter: memory.Meter | None = None

    def answer(self, method: str, arguments: Sequence[Any]) -> Reply:
        """Call a method; return its value, or why it failed, with the memory it took."""
        if self._meter:
            self._meter.reset_peak()
        try:
            value = getattr(self, method)(*arguments)
        except Exception as error:  # noqa: BLE001 - isolates one rank: the driver decides what it means
            now = self._meter.read() if self._meter else Memory()
            return Reply(None, now, describe(error, rank=self.rank, memory=now))
        return Reply(value, self._meter.read() if self._meter else Memory())

    def join(self, store: Store | None) -> None:
        """Meet the other ranks; without a store at torchrun's meeting point."""
        if self._config.dumps.flight_recorder:
            dumps.record_collectives(Path(self._config.run.folder, "dumps"))
        gpu = self._device.type == "cuda"
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "cpu:gloo",
            store=store,
            rank=self.rank,
            world_size=self._world,
            timeout=timedelta(seconds=self._config.cluster.process_group_timeout_seconds),
        )

    def build(self) -> None:
        """Build engine and backend, within the memory limit.

        A miniature goes first: what libraries take for themselves is held before memory is counted.
        """
        if self._config.dumps.memory_snapshot and self._device.type == "cuda":
            dumps.record_allocations()
        self._assemble(_miniature(self._config))
        rollouts = self.generate([Prompt(0, (97,), "a", "a")] * 2, self._config, 0)
        self.train([rollouts], sum(len(r.token_ids) for r in rollouts), 2, self._config, 0)
        self.sync(0)
        del self._engine, self._backend
        gc.collect()
        self._meter = memory.meter(self._device, self._config.cluster.worker_memory_limit_gib)
        self._assemble(self._config)

    def _assemble(self, config: Config) -> None:
        meter = self._meter or memory.NoMeter()
        self._engine = engines.build(config, self._device, meter)
        self._backend = backends.build(config, self._device, meter)

    def generate(self, prompts: Sequence[Prompt], config: Config, source: int) -> list[Rollout]:
        """Sample one answer a prompt."""
        return self._engine.generate(prompts, config, source) if prompts else []

    def train(
        self, micro_batches: Sequence[Sequence[Rollout]], tokens: int, samples: int, config: Config, step: int
    ) -> Update:
        """Take one optimizer step; all randomness of it follows from seed, step and rank."""
        torch.manual_seed(seed(config.run.seed, step, self.rank))
        start = time.process_time()
        update = self._backend.update(micro_batches, tokens, samples, config)
        on_cpu = self._device.type == "cpu"
        return replace(update, cpu_seconds=time.process_time() - start) if on_cpu else update

    def sync(self, version: int) -> None:
        """Give the engine the backend's weights."""
        self._engine.update(self._backend.weights(), version)

    def save(self, folder: Path) -> None:
        """Write this rank's part of a checkpoint."""
        self._backend.save(folder)

    def load(self, folder: Path) -> None:
        """Read this rank's part of a checkpoint."""
        self._backend.load(folder)

    def dump(self, folder: Path) -> None:
        """Write stacks, memory snapshot and flight recorder of this rank."""
        dumps.write_all(folder, f"rank_{self.rank}")

    def close(self) -> None:
        """Leave the others, and end this rank's threads."""
        if self._meter:
            self._meter.close()
        if dist.is_initialized():
            dist.destroy_process_group()


def _device(config: Config, local_rank: int) -> torch.device:
    wanted = config.cluster.device
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    device = torch.device("cuda", local_rank % max(1, torch.cuda.device_count()))
    torch.cuda.set_device(device)
    return device


def _miniature(config: Config) -> Config:
    """Return the same run with next to no model."""
    heads = 2 * config.train.ulysses
    model = ModelConfig(
        hidden_size=8, intermediate_size=8, layers=1, heads=heads, kv_heads=heads, head_dim=2, vocab_size=264
    )
    return replace(config, model=model)
