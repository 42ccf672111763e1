from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore
from transformers import Qwen3ForCausalLM

from trainer_core import model
from trainer_core.backends import build
from trainer_core.config import AlgorithmConfig, Config, ModelConfig, TrainConfig
from trainer_core.memory import NoMeter
from trainer_core.types import Prompt, Rollout, UserError

CPU = torch.device("cpu")
SHAPE = ModelConfig(hidden_size=16, intermediate_size=24, layers=2, heads=2, kv_heads=1, head_dim=8)


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    dist.init_process_group("cpu:gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a model saved by transformers itself, in several files."""
    torch.manual_seed(5)
    made = Qwen3ForCausalLM(model.shape(replace(SHAPE, tie_embeddings=False)))
    made.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    return tmp_path


@pytest.mark.parametrize("meta_init", [False, True])
def test_a_folder_is_loaded_whole(folder: Path, meta_init: bool) -> None:
    config = Config(model=ModelConfig(path=str(folder), meta_init=meta_init))
    loaded = dict(build(config, CPU, NoMeter()).weights())
    saved = Qwen3ForCausalLM.from_pretrained(folder).state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)


def test_the_model_computes_what_transformers_computes(folder: Path) -> None:
    ids = torch.randint(256, (2, 7))
    ours = model.build(Config(model=ModelConfig(path=str(folder))), CPU)(ids).logits
    assert torch.allclose(ours, Qwen3ForCausalLM.from_pretrained(folder)(ids).logits, atol=1e-6)


def test_fresh_weights_follow_the_seed_alone() -> None:
    one, same = (dict(model.build(Config(model=SHAPE), CPU).named_parameters()) for _ in range(2))
    config = Config(model=SHAPE)
    other = dict(model.build(replace(config, run=replace(config.run, seed=1)), CPU).named_parameters())
    assert all(torch.equal(one[name], same[name]) for name in one)
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(one[name], other[name])
    assert float(one[name].detach().std()) == pytest.approx(0.08, rel=0.1)
    assert float(one["model.norm.weight"].detach().min()) == 1.0


def test_what_is_no_model_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        model.shape(ModelConfig(path=str(tmp_path / "none")))
    for file in folder.glob("*.safetensors"):
        if "00001" not in file.name:
            file.unlink()
    with pytest.raises(UserError, match="no tensor"):
        model.build(Config(model=ModelConfig(path=str(folder))), CPU)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        model.shape(ModelConfig(path=str(folder)))


def rollouts() -> list[Rollout]:
    prompt = Prompt(0, (5, 6, 7), "", "")
    made = [Rollout(prompt, (8 + i, 9), (-5.0, -5.0), "length", 0) for i in range(4)]
    return [replace(r, advantage=1.0 if i % 2 else -1.0) for i, r in enumerate(made)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_updates_move_away_from_a_reference_that_stays(dtype: str) -> None:
    train = TrainConfig(learning_rate=0.01, dtype=dtype)
    config = Config(model=SHAPE, train=train, algorithm=AlgorithmConfig(kl=0.1))
    backend = build(config, CPU, NoMeter())
    kl = [backend.update([rollouts()], 8, 4, config).kl for _ in range(3)]
    assert kl[0] == pytest.approx(0.0, abs=1e-6)
    assert kl[2] > kl[1] > 1e-6


def test_an_update_favours_what_was_better() -> None:
    config = Config(model=SHAPE, train=TrainConfig(learning_rate=0.01))
    backend = build(config, CPU, NoMeter())
    losses = [backend.update([rollouts()], 8, 4, config).loss for _ in range(5)]
    assert losses == sorted(losses, reverse=True)


def test_gradients_that_are_no_numbers_change_nothing() -> None:
    config = Config(model=SHAPE, train=TrainConfig(learning_rate=0.01))
    backend = build(config, CPU, NoMeter())
    before = {name: tensor.clone() for name, tensor in backend.weights()}
    bad = [replace(r, advantage=float("nan")) for r in rollouts()]
    assert backend.update([bad], 8, 4, config).skipped
    assert all(torch.equal(tensor, before[name]) for name, tensor in backend.weights())
    assert not backend.update([rollouts()], 8, 4, config).skipped


def test_a_learning_rate_changes_between_updates() -> None:
    config = Config(model=SHAPE)
    backend = build(config, CPU, NoMeter())
    before = {name: tensor.clone() for name, tensor in backend.weights()}
    backend.update([rollouts()], 8, 4, replace(config, train=replace(config.train, learning_rate=0.0)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in backend.weights())
