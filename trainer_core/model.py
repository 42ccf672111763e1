"""The model: a shape, and weights tensor by tensor, from a folder or random by seed and name."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, Qwen3Config

from trainer_core.config import Config, ModelConfig
from trainer_core.types import UserError

Source = Callable[[str, torch.Size], torch.Tensor]


def shape(config: ModelConfig) -> Any:
    """Return the transformers configuration of the model, or raise UserError where its folder has none."""
    if config.path is None:
        return Qwen3Config(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.head_dim,
            tie_word_embeddings=config.tie_embeddings,
            initializer_range=config.initializer_range,
        )
    folder = Path(config.path)
    if not (folder / "config.json").is_file():
        raise UserError(f"model.path: {folder}: no config.json there")
    if not _files(folder):
        raise UserError(f"model.path: {folder}: no *.safetensors there")
    return AutoConfig.from_pretrained(folder)


def skeleton(config: ModelConfig) -> Any:
    """Return the model without memory: every parameter on the meta device, buffers real."""
    about = shape(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(about, dtype=torch.float32)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if any(buffer.is_meta for buffer in child.buffers(recurse=False)):
                setattr(parent, name, type(child)(config=about))
    return model


def fill(part: nn.Module, prefix: str, source: Source, device: torch.device) -> None:
    """Give the parameters of a part that have no memory yet theirs, with their values."""
    for name, parameter in list(part.named_parameters(prefix.rstrip("."))):
        if parameter.is_meta:
            owner = part.get_submodule(name.removeprefix(prefix).rpartition(".")[0])
            value = source(name, parameter.shape).to(device=device, dtype=parameter.dtype)
            setattr(
                owner, name.rpartition(".")[2], nn.Parameter(value, requires_grad=parameter.requires_grad)
            )


def build(config: Config, device: torch.device) -> Any:
    """Return the whole model with its weights."""
    model = skeleton(config.model)
    fill(model, "", source(config), device)
    model.tie_weights()
    return model.to(device)


def source(config: Config) -> Source:
    """Return where the weights come from: the model's folder, or a seed and each parameter's name."""
    return _from_folder(Path(config.model.path)) if config.model.path else _fresh(config)


def _fresh(config: Config) -> Source:
    def make(name: str, size: torch.Size) -> torch.Tensor:
        if len(size) < 2:
            return torch.zeros(size) if name.endswith("bias") else torch.ones(size)
        seed = torch.Generator().manual_seed(config.run.seed * 1_000_003 + zlib.crc32(name.encode()))
        return torch.empty(size).normal_(0.0, config.model.initializer_range, generator=seed)

    return make


def _from_folder(folder: Path) -> Source:
    where = {name: file for file in _files(folder) for name in _names(file)}

    def load(name: str, size: torch.Size) -> torch.Tensor:
        if name not in where:
            raise UserError(f"model.path: {folder}: no tensor {name}")
        with safe_open(where[name], "pt") as file:
            tensor: torch.Tensor = file.get_tensor(name)
        if tensor.shape != size:
            raise UserError(
                f"model.path: {folder}: {name} has shape {tuple(tensor.shape)}, not {tuple(size)}"
            )
        return tensor

    return load


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _names(file: Path) -> Iterator[str]:
    with safe_open(file, "pt") as opened:
        yield from opened.keys()
