import pytest
from made import gpt3, megatron
from msgspec.structs import replace

from rldoctor.memory import stages


def test_layers_that_do_not_divide_count_embedding_and_head_as_layers() -> None:
    setup = megatron(gpt3(layers=126), world=8, pp=8)
    assert stages.sizes(setup) == (15, 16, 16, 16, 16, 16, 16, 15)


def test_pieces_that_are_told_count() -> None:
    setup = megatron(gpt3(layers=12), world=4, pp=4, pieces=(2, 4, 4, 2))
    assert [len(stages.of_stage(setup, stage)[0].layers) for stage in range(4)] == [2, 4, 4, 2]
    first, last = stages.of_stage(setup, 0)[0], stages.of_stage(setup, 3)[0]
    assert (first.embeds, first.heads, last.embeds, last.heads) == (True, False, False, True)


@pytest.mark.parametrize(("stage", "flight"), [(0, 4), (1, 3), (3, 1)])
def test_one_forward_one_backward_keeps_as_many_as_stages_follow(stage: int, flight: int) -> None:
    setup = megatron(gpt3(layers=8), world=4, pp=4)
    assert stages.in_flight(setup, stage, [1.0]) == [flight]


def test_no_more_than_there_are_are_in_flight() -> None:
    setup = megatron(gpt3(layers=8), world=4, pp=4)
    batch = setup.batch
    assert batch is not None
    few = replace(setup, batch=replace(batch, micro_batches=2))
    assert stages.in_flight(few, 0, [1.0]) == [2]


def test_the_last_rank_of_an_interleaved_schedule_warms_up_all_chunks_but_one() -> None:
    setup = megatron(gpt3(layers=32), world=4, pp=4, vpp=8)
    batch = setup.batch
    assert batch is not None
    four = replace(setup, batch=replace(batch, micro_batches=4))
    # (vpp - 1) × pp warm-up passes, and the one whose loss is then computed
    assert sum(stages.in_flight(four, 3, [1.0] * 8)) == 29
    assert sum(stages.in_flight(four, 0, [1.0] * 8)) == 32
    many = replace(setup, batch=replace(batch, micro_batches=64))
    assert sum(stages.in_flight(many, 0, [1.0] * 8)) == 28 + 6 + 1


def test_the_heaviest_moment_counts_where_chunks_are_unlike() -> None:
    setup = megatron(gpt3(layers=8), world=2, pp=2, vpp=2)
    flight = stages.in_flight(setup, 1, [1.0, 10.0])
    assert flight[1] >= 1


def test_stages_alike_are_looked_at_once() -> None:
    setup = megatron(gpt3(layers=32), world=16, pp=16)
    assert stages.distinct(setup) == [0, 1, 15]
