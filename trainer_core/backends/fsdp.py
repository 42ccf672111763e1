"""FSDP2: each rank holds a shard of parameters, gradients and optimizer state."""

from __future__ import annotations

from collections.abc import Sequence
from errno import ENOSPC
from math import isfinite
from pathlib import Path
from shutil import disk_usage
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load as dcp_load
from torch.distributed.checkpoint.state_dict_saver import save as dcp_save
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from trainer_core import model
from trainer_core.config import Config
from trainer_core.memory import Meter
from trainer_core.protocols import Weights
from trainer_core.train import attention, loss, rows
from trainer_core.train.logprobs import chunked_logprobs
from trainer_core.types import Rollout, Update

PREFIX = "lm."
FULL_BYTES = 1 << 16


class Policy(nn.Module):
    """Body and head in one module: the head's weights are whole only inside of its forward."""

    def __init__(self, lm: Any) -> None:
        super().__init__()
        self.lm = lm

    def forward(
        self, batch: rows.Rows, temperature: float, chunk: int, ulysses: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-probability and entropy of each sampled token."""
        hidden = self.lm.get_decoder()(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            use_cache=False,
            cu_seqlens=batch.cu_seqlens,
            ulysses=ulysses,
        ).last_hidden_state
        read = hidden.flatten(0, 1)[batch.at]
        return chunked_logprobs(
            read, self.lm.get_output_embeddings().weight, batch.labels, temperature, chunk
        )


class FsdpBackend:
    """Owns this rank's shards, and takes steps with AdamW."""

    def __init__(self, config: Config, device: torch.device, meter: Meter) -> None:
        self._device, self._meter, self._recomputes = device, meter, False
        self._world = dist.get_world_size()
        self._mesh = init_device_mesh(device.type, (self._world,))
        self._ulysses, self._part = _ulysses_group(config.train.ulysses)
        self._policy = self._build(config)
        self._reference = self._build(config).requires_grad_(False) if config.algorithm.kl > 0 else None
        train = config.train
        self._optimizer = torch.optim.AdamW(
            self._policy.parameters(), lr=train.learning_rate, weight_decay=train.weight_decay
        )

    def _build(self, config: Config) -> Policy:
        lm = (
            model.skeleton(config.model)
            if config.model.meta_init
            else model.build(config, torch.device("cpu"))
        )
        attention.use(lm.config)
        policy, source = Policy(lm), model.source(config)
        dtype = getattr(torch, config.train.dtype)
        mixed = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
        decoder = lm.get_decoder()
        for number, layer in enumerate(decoder.layers):
            model.fill(layer, f"model.layers.{number}.", source, self._device)
            fully_shard(layer, mesh=self._mesh, mp_policy=mixed)
        model.fill(lm, "", source, self._device)
        lm.tie_weights()
        fully_shard(policy, mesh=self._mesh, mp_policy=mixed)
        return policy.train()

    def update(
        self, micro_batches: Sequence[Sequence[Rollout]], tokens: int, samples: int, config: Config
    ) -> Update:
        """Take one optimizer step over the whole batch, of which these are this rank's micro-batches."""
        self._recompute(config.train.recompute)
        sums = torch.zeros(6, dtype=torch.float64)
        for batch in micro_batches:
            one = self._backward(batch, tokens, samples, config)
            sums[:5] += one[:5]
            sums[5] = max(sums[5], one[5])
        norm = self._step(config)
        total, entropy, difference, clipped, kl, most = sums.tolist()
        return Update(total, entropy, difference, most, clipped, kl, norm, skipped=not isfinite(norm))

    def _backward(self, batch: Sequence[Rollout], tokens: int, samples: int, config: Config) -> torch.Tensor:
        """Add a micro-batch's gradients; return loss, and sums over its tokens of what the metrics show."""
        algorithm, train, temperature = config.algorithm, config.train, config.rollout.temperature
        weights = loss.token_weights(batch, algorithm.loss, tokens, samples, config.rollout.max_new_tokens)
        data = rows.packed(batch, weights, train.ulysses) if train.packing else rows.padded(batch, weights)
        data = (rows.split(data, self._part, train.ulysses) if self._ulysses else data).to(self._device)
        call = (data, temperature, train.logprob_chunk, self._ulysses)
        reference = None
        if self._reference is not None:
            with torch.no_grad():
                reference, _ = self._reference(*call)
        logprobs, entropy = self._policy(*call)
        terms = loss.policy_loss(
            logprobs, data.old_logprobs, data.advantages, data.weights, reference, algorithm
        )
        whole = terms.loss - algorithm.entropy * entropy.sum() / tokens
        self._meter.sample()
        (
            whole * self._world
        ).backward()  # FSDP averages over ranks; the loss is already divided by all tokens
        difference = (logprobs.detach() - data.old_logprobs).abs()
        most = difference.max() if len(difference) else difference.sum()
        found = (whole.detach(), entropy.detach().sum(), difference.sum(), terms.clipped, terms.kl, most)
        return torch.stack([value.double() for value in found]).cpu()

    def _step(self, config: Config) -> float:
        """Clip and apply the gradients unless one is no number; return their norm before."""
        limit = config.train.max_grad_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self._policy.parameters(), limit)
        size = float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
        if isfinite(size):
            for group in self._optimizer.param_groups:
                group["lr"] = config.train.learning_rate
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return size

    def _recompute(self, wanted: bool) -> None:
        if wanted == self._recomputes:
            return
        self._recomputes = wanted
        lm = self._policy.lm
        name = (
            "activation" if hasattr(lm, "activation_checkpointing_enable") else "gradient"
        )  # its older name
        if wanted:
            getattr(lm, f"{name}_checkpointing_enable")({"use_reentrant": False})
        else:
            getattr(lm, f"{name}_checkpointing_disable")()

    def weights(self) -> Weights:
        """Yield name and full tensor of each parameter; all ranks must walk through."""
        for name, parameter in self._policy.named_parameters():
            full = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
            yield name.removeprefix(PREFIX), full.detach()

    def save(self, folder: Path) -> None:
        """Write model and optimizer; all ranks together."""
        try:
            dcp_save({"app": _State(self._policy, self._optimizer)}, checkpoint_id=folder)
        except CheckpointException as error:  # no Exception, and it hides what the disk said
            if disk_usage(folder).free < FULL_BYTES:
                raise OSError(ENOSPC, "No space left on device", str(folder)) from error
            raise RuntimeError(f"saving to {folder} failed") from error

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote, on any number of ranks."""
        dcp_load({"app": _State(self._policy, self._optimizer)}, checkpoint_id=folder)


class _State(Stateful):
    """Model and optimizer as DCP reads and writes them."""

    def __init__(self, policy: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._policy, self._optimizer = policy, optimizer

    def state_dict(self) -> dict[str, Any]:
        weights, state = get_state_dict(self._policy, self._optimizer)
        return {"model": weights, "optimizer": state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        set_state_dict(
            self._policy,
            self._optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
        )


def _ulysses_group(size: int) -> tuple[Any, int]:
    """Return the neighbouring ranks that share a row, and this rank's part; all ranks make all groups."""
    if size == 1:
        return None, 0
    world, rank = dist.get_world_size(), dist.get_rank()
    groups = [dist.new_group(list(range(first, first + size))) for first in range(0, world, size)]
    return groups[rank // size], rank % size
