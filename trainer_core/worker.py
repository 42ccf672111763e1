"""A rank: its part of the backend, its engine, and what the driver may ask of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Store

from trainer_core import backends, dumps, engines, memory
from trainer_core.config import Config
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
        """Build engine and backend, within the memory limit."""
        if self._config.dumps.memory_snapshot and self._device.type == "cuda":
            dumps.record_allocations()
        _warm_up(self._device)
        self._meter = memory.meter(self._device, self._config.cluster.worker_memory_limit_gib)
        self._engine = engines.build(self._config, self._device, self._meter)
        self._backend = backends.build(self._config, self._device, self._meter)

    def generate(self, prompts: Sequence[Prompt], config: Config, source: int) -> list[Rollout]:
        """Sample one answer a prompt."""
        return self._engine.generate(prompts, config, source) if prompts else []

    def train(
        self, micro_batches: Sequence[Sequence[Rollout]], tokens: int, samples: int, config: Config, step: int
    ) -> Update:
        """Take one optimizer step; all randomness of it follows from seed, step and rank."""
        torch.manual_seed(seed(config.run.seed, step, self.rank))
        return self._backend.update(micro_batches, tokens, samples, config)

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


def _warm_up(device: torch.device) -> None:
    """Start threads and libraries before memory is counted: they belong to no model."""
    a = torch.randn(256, 256, device=device, requires_grad=True)
    (a @ a).softmax(-1).sum().backward()
