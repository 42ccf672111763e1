"""The same gradients, however a batch is cut: what the memory knobs rest on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore
from torch.distributed.tensor import DTensor

from trainer_core.backends.fsdp import FsdpBackend
from trainer_core.config import AlgorithmConfig, Config, TrainConfig
from trainer_core.memory import NoMeter
from trainer_core.train import plan
from trainer_core.train.logprobs import chunked_logprobs
from trainer_core.types import Prompt, Rollout

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _alone() -> Iterator[None]:
    torch.set_num_threads(1)
    dist.init_process_group("cpu:gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def batch() -> list[Rollout]:
    source = random.Random(3)
    made = []
    for index in range(12):
        prompt = tuple(source.choices(range(256), k=source.randint(1, 9)))
        answer = tuple(source.choices(range(256), k=min(60, int(source.lognormvariate(2.2, 0.9)) + 1)))
        logprobs = tuple(-5.5 + source.uniform(-0.6, 0.6) for _ in answer)
        made.append(
            Rollout(
                Prompt(index, prompt, "", ""),
                answer,
                logprobs,
                "length",
                0,
                reward=0.0,
                advantage=source.gauss(0, 1),
            )
        )
    return made


def gradients(batch: Sequence[Rollout], config: Config) -> tuple[dict[str, torch.Tensor], float]:
    """Return what one update would apply, by parameter, and its loss."""
    backend = FsdpBackend(config, CPU, NoMeter())
    backend._recompute(config.train.recompute)
    batches = plan.deal(batch, config.train, 1)[0]
    tokens = sum(len(r.token_ids) for r in batch)
    sums = sum(backend._backward(one, tokens, len(batch), config) for one in batches)
    found = {
        name: parameter.grad.full_tensor() if isinstance(parameter.grad, DTensor) else parameter.grad
        for name, parameter in backend._policy.named_parameters()
    }
    return found, float(sums[0])


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert any(gradient.abs().max() > 1e-4 for gradient in one.values())
    for name, gradient in one.items():
        assert torch.allclose(
            gradient, other[name], rtol=1e-4, atol=2e-6 * float(gradient.abs().max() + 1)
        ), name


ONE_BY_ONE = TrainConfig(packing=False, micro_batch_size=1)
ALGORITHM = AlgorithmConfig(entropy=0.05, kl=0.1)


@pytest.mark.parametrize(
    "train",
    [
        TrainConfig(packing=True, max_token_in_packing=10_000),
        TrainConfig(packing=True, max_token_in_packing=64),
        TrainConfig(packing=True, max_token_in_packing=100, recompute=True),
        TrainConfig(packing=True, max_token_in_packing=100, logprob_chunk=7),
        TrainConfig(packing=False, micro_batch_size=5),
    ],
    ids=["one-row", "rows-of-64", "recompute", "small-chunks", "padded"],
)
@pytest.mark.parametrize("loss", ["dapo", "grpo", "dr_grpo"])
def test_gradients_do_not_depend_on_how_the_batch_is_cut(
    batch: list[Rollout], train: TrainConfig, loss: str
) -> None:
    algorithm = replace(ALGORITHM, loss=loss)
    alone, loss_alone = gradients(batch, Config(train=ONE_BY_ONE, algorithm=algorithm))
    cut, loss_cut = gradients(batch, Config(train=train, algorithm=algorithm))
    assert loss_cut == pytest.approx(loss_alone, rel=1e-5)
    assert_same(alone, cut)


def test_a_packed_row_without_sequence_ends_would_be_noticed(
    batch: list[Rollout], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer_core.train import attention

    alone, _ = gradients(batch, Config(train=ONE_BY_ONE, algorithm=ALGORITHM))
    monkeypatch.setattr(attention, "runs", lambda ends: [(0, 1, ends[-1])])
    leaking, _ = gradients(batch, Config(train=TrainConfig(max_token_in_packing=10_000), algorithm=ALGORITHM))
    with pytest.raises(AssertionError):
        assert_same(alone, leaking)


def test_losses_differ_where_lengths_do(batch: list[Rollout]) -> None:
    losses = {
        name: gradients(batch, Config(train=ONE_BY_ONE, algorithm=AlgorithmConfig(loss=name)))[1]
        for name in ("dapo", "grpo", "dr_grpo")
    }
    assert len({round(value, 6) for value in losses.values()}) == 3


def test_recompute_and_small_rows_keep_fewer_bytes(batch: list[Rollout]) -> None:
    def kept(train: TrainConfig) -> int:
        backend, most, sizes = FsdpBackend(Config(train=train), CPU, NoMeter()), 0, list[int]()
        backend._recompute(train.recompute)
        for one in plan.deal(batch, train, 1)[0]:
            sizes.clear()
            note = lambda tensor: (sizes.append(tensor.nbytes), tensor)[1]  # noqa: E731
            with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                backend._backward(one, 100, 12, Config(train=train))
            most = max(most, sum(sizes))
        return most

    plain = kept(TrainConfig(max_token_in_packing=10_000))
    assert kept(TrainConfig(max_token_in_packing=10_000, recompute=True)) < plain / 2
    assert kept(TrainConfig(max_token_in_packing=80)) < plain / 2


def test_meta_init_gives_the_same_weights(batch: list[Rollout]) -> None:
    plain = Config()
    meta = replace(plain, model=replace(plain.model, meta_init=True))
    one = dict(FsdpBackend(plain, CPU, NoMeter()).weights())
    other = dict(FsdpBackend(meta, CPU, NoMeter()).weights())
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert gradients(batch, meta)[1] == gradients(batch, plain)[1]


def test_untied_heads_train_too(batch: list[Rollout]) -> None:
    config = Config()
    untied = replace(config, model=replace(config.model, tie_embeddings=False, meta_init=True))
    found, _ = gradients(batch, untied)
    assert found["lm.lm_head.weight"].abs().max() > 0
    assert found["lm.model.embed_tokens.weight"].abs().max() > 0


def test_chunked_logprobs_are_those_of_full_logits() -> None:
    torch.manual_seed(0)
    hidden, head = torch.randn(37, 16, dtype=torch.float64), torch.randn(50, 16, dtype=torch.float64)
    labels, weights = torch.randint(50, (37,)), torch.randn(2, 37)

    def loss(chunked: bool) -> tuple[torch.Tensor, ...]:
        h, w = hidden.float().requires_grad_(), head.float().requires_grad_()
        if chunked:
            logprobs, entropy = chunked_logprobs(h, w, labels, 0.7, 8)
        else:
            every = (h @ w.T / 0.7).log_softmax(-1)
            logprobs, entropy = every.gather(1, labels[:, None])[:, 0], -(every.exp() * every).sum(-1)
        value = (logprobs * weights[0] + entropy * weights[1]).sum()
        return logprobs.detach(), entropy.detach(), *torch.autograd.grad(value, [h, w])

    for one, other in zip(loss(True), loss(False), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
