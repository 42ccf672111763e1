from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from trainer_core import model
from trainer_core.config import Config, ModelConfig
from trainer_core.engines import build
from trainer_core.engines.builtin import BuiltinEngine
from trainer_core.memory import NoMeter
from trainer_core.types import Prompt, Rollout

CPU = torch.device("cpu")
CONFIG = Config(model=ModelConfig(initializer_range=0.3))
PROMPTS = [Prompt(i, tuple(range(5, 8 + i)), "", "") for i in range(4)]


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return dict(model.build(CONFIG, CPU).named_parameters())


@pytest.fixture
def engine(weights: dict[str, torch.Tensor]) -> Iterator[BuiltinEngine]:
    torch.set_num_threads(1)
    made = build(CONFIG, CPU, NoMeter())
    assert isinstance(made, BuiltinEngine)
    made.update(iter(weights.items()), 7)
    yield made


def config(**rollout: object) -> Config:
    return replace(CONFIG, rollout=replace(CONFIG.rollout, **rollout))  # type: ignore[arg-type]


def logprobs(rollout: Rollout, temperature: float) -> list[float]:
    """Return what the model itself says of the sampled tokens."""
    ids = torch.tensor([rollout.prompt.token_ids + rollout.token_ids])
    logits = model.build(CONFIG, CPU)(ids[:, :-1]).logits[0] / temperature
    chosen = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    return chosen[len(rollout.prompt.token_ids) - 1 :].tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_the_models_own_also_beside_longer_prompts(
    engine: BuiltinEngine, temperature: float
) -> None:
    found = engine.generate(PROMPTS, config(temperature=temperature, max_new_tokens=6), 3)
    assert [r.prompt for r in found] == PROMPTS
    for rollout in found:
        assert rollout.version == 7
        assert list(rollout.logprobs) == pytest.approx(logprobs(rollout, temperature), abs=2e-5)


def test_the_same_seed_gives_the_same_samples(engine: BuiltinEngine) -> None:
    one, two, other = (engine.generate(PROMPTS, CONFIG, seed) for seed in (1, 1, 2))
    assert one == two != other


def test_sampling_follows_the_probabilities(engine: BuiltinEngine) -> None:
    prompts = [PROMPTS[0]] * 4000
    found = engine.generate(prompts, config(max_new_tokens=1, max_concurrent=4000), 5)
    counts = torch.bincount(torch.tensor([r.token_ids[0] for r in found]), minlength=259) / 4000
    logits = model.build(CONFIG, CPU)(torch.tensor([PROMPTS[0].token_ids])).logits[0, -1].detach()
    assert float((counts - logits.softmax(-1)).abs().max()) < 0.03


def test_an_answer_ends_with_its_stop_token(engine: BuiltinEngine) -> None:
    free = engine.generate([PROMPTS[0]] * 8, config(max_new_tokens=6, stop_token_ids=()), 5)
    assert {r.finish_reason for r in free} == {"length"}
    stop = free[0].token_ids[2]
    ended = engine.generate([PROMPTS[0]] * 8, config(max_new_tokens=6, stop_token_ids=(stop,)), 5)
    first = free[0].token_ids.index(stop)
    assert ended[0].finish_reason == "stop"
    assert ended[0].token_ids == free[0].token_ids[: first + 1]
    assert len(ended[0].logprobs) == len(ended[0].token_ids)
    assert all(r.token_ids.count(stop) == (r.finish_reason == "stop") for r in ended)


def test_few_at_once_are_sampled_in_turns(engine: BuiltinEngine) -> None:
    found = engine.generate(PROMPTS, config(max_concurrent=1), 1)
    assert [r.prompt for r in found] == PROMPTS


def test_new_weights_are_sampled_from(engine: BuiltinEngine, weights: dict[str, torch.Tensor]) -> None:
    before = engine.generate(PROMPTS, CONFIG, 1)
    engine.update(((name, tensor * 0.5) for name, tensor in weights.items()), 8)
    after = engine.generate(PROMPTS, CONFIG, 1)
    assert after[0].version == 8
    assert [r.logprobs for r in before] != [r.logprobs for r in after]
