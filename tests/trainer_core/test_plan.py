from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer_core.config import TrainConfig
from trainer_core.train.plan import deal
from trainer_core.types import Prompt, Rollout


def rollout(index: int, length: int) -> Rollout:
    return Rollout(Prompt(index, (1,), "", ""), (2,) * length, (0.0,) * length, "length", 0)


lengths = st.lists(st.integers(1, 200), min_size=1, max_size=60)


@given(lengths, st.integers(1, 300), st.integers(1, 5))
def test_every_rollout_is_in_one_micro_batch_and_none_exceeds_the_budget(
    sizes: list[int], budget: int, ranks: int
) -> None:
    rollouts = [rollout(index, size) for index, size in enumerate(sizes)]
    plans = deal(rollouts, TrainConfig(max_token_in_packing=budget), ranks)
    assert len(plans) == ranks and len({len(batches) for batches in plans}) == 1
    dealt = [r.prompt.index for batches in plans for batch in batches for r in batch]
    assert sorted(dealt) == list(range(len(sizes)))
    for batches in plans:
        for batch in batches:
            assert sum(r.length for r in batch) <= budget or len(batch) == 1


@given(lengths, st.integers(1, 20), st.integers(1, 5))
def test_without_packing_a_micro_batch_has_at_most_so_many(sizes: list[int], size: int, ranks: int) -> None:
    rollouts = [rollout(index, length) for index, length in enumerate(sizes)]
    plans = deal(rollouts, TrainConfig(packing=False, micro_batch_size=size), ranks)
    dealt = [r.prompt.index for batches in plans for batch in batches for r in batch]
    assert sorted(dealt) == list(range(len(sizes)))
    assert all(len(batch) <= size for batches in plans for batch in batches)
    assert len({len(batches) for batches in plans}) == 1


def test_a_row_is_filled_not_wasted() -> None:
    plans = deal([rollout(i, 10) for i in range(100)], TrainConfig(max_token_in_packing=100), 1)
    assert len(plans[0]) == 10


def test_a_plan_does_not_depend_on_the_order_of_arrival() -> None:
    rollouts = [rollout(i, 1 + i % 7) for i in range(40)]
    train = TrainConfig(max_token_in_packing=30)
    assert deal(rollouts, train, 2) == deal(rollouts[::-1], train, 2)
