"""The builtin engine: a copy of the model on this rank, sampling with a KV cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from trainer_core import model
from trainer_core.config import Config, RolloutConfig
from trainer_core.memory import Meter
from trainer_core.protocols import Weights
from trainer_core.types import Prompt, Rollout

PAD_TOKEN = 0


class BuiltinEngine:
    """Samples from its own copy of the weights; empty until the first sync."""

    def __init__(self, config: Config, device: torch.device, meter: Meter) -> None:
        self._device, self._meter, self.version = device, meter, 0
        dtype = getattr(torch, config.train.dtype)
        self._model = model.skeleton(config.model)
        model.fill(self._model, "", lambda name, size: torch.empty(size, dtype=dtype), device)
        self._model.tie_weights()
        self._model = self._model.to(device=device, dtype=dtype).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, weights: Weights, version: int) -> None:
        """Copy the weights; KV caches live only within one call, so none goes stale."""
        own = dict(self._model.named_parameters())
        for name, tensor in weights:
            own[name].copy_(tensor)
        self.version = version

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], config: Config, seed: int) -> list[Rollout]:
        """Return one completion a prompt, in their order."""
        source = torch.Generator(self._device).manual_seed(seed)
        size = config.rollout.max_concurrent
        chunks = [prompts[a : a + size] for a in range(0, len(prompts), size)]
        return [rollout for chunk in chunks for rollout in self._sample(chunk, config.rollout, source)]

    def _sample(
        self, prompts: Sequence[Prompt], rollout: RolloutConfig, source: torch.Generator
    ) -> list[Rollout]:
        ids, mask = _left_padded(prompts, self._device)
        stops = torch.tensor(rollout.stop_token_ids, device=self._device)
        cache, finished = (
            DynamicCache(config=self._model.config),
            torch.zeros(len(ids), dtype=torch.bool, device=self._device),
        )
        tokens, logprobs = [], []
        positions = (mask.cumsum(1) - 1).clamp(min=0) if mask is not None else None
        for _ in range(rollout.max_new_tokens):
            logits = self._model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            logp = (logits.float() / rollout.temperature).log_softmax(-1)
            ids = _draw(logp, source)
            tokens.append(ids)
            logprobs.append(logp.gather(1, ids))
            finished |= torch.isin(ids[:, 0], stops)
            if finished.all():
                break
            if mask is not None and positions is not None:
                mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
                positions = positions[:, -1:] + 1
        self._meter.sample()
        return _read(
            prompts, torch.cat(tokens, 1), torch.cat(logprobs, 1), set(rollout.stop_token_ids), self.version
        )


def _draw(logp: torch.Tensor, source: torch.Generator) -> torch.Tensor:
    """Draw one token a row: the largest of p / Exponential(1) is a sample of p."""
    noise = torch.empty_like(logp).exponential_(generator=source)
    return (logp.exp() / noise).argmax(-1, keepdim=True)


def _left_padded(prompts: Sequence[Prompt], device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the prompts padded at the left and their mask, None where nothing is padded."""
    width = max(len(p.token_ids) for p in prompts)
    ids = torch.tensor(
        [[*[PAD_TOKEN] * (width - len(p.token_ids)), *p.token_ids] for p in prompts], device=device
    )
    if all(len(p.token_ids) == width for p in prompts):
        return ids, None
    mask = torch.tensor(
        [[0] * (width - len(p.token_ids)) + [1] * len(p.token_ids) for p in prompts], device=device
    )
    return ids, mask


def _read(
    prompts: Sequence[Prompt], tokens: torch.Tensor, logprobs: torch.Tensor, stops: set[int], version: int
) -> list[Rollout]:
    rollouts = []
    for prompt, row, chances in zip(prompts, tokens.tolist(), logprobs.tolist(), strict=True):
        end = next((place + 1 for place, token in enumerate(row) if token in stops), None)
        reason = "length" if end is None else "stop"
        rollouts.append(Rollout(prompt, tuple(row[:end]), tuple(chances[:end]), reason, version))  # type: ignore[arg-type]
    return rollouts
