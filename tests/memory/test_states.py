import pytest
from made import MEGATRON, fsdp, gpt3, megatron, model
from msgspec.structs import replace

from rldoctor.memory import states
from rldoctor.memory.layout import Lora, Parallel, States


def whole(setup: object, stage: int = 0, **how: bool) -> float:
    return sum(term.bytes for term in states.terms(setup, stage, **how))  # type: ignore[arg-type]


@pytest.mark.parametrize("world", [1, 8, 64])
def test_fsdp_with_an_fp32_master_spreads_16_bytes_a_parameter(world: int) -> None:
    setup = fsdp("Qwen3-8B", world)
    assert whole(setup) == pytest.approx(16 * 8_190_735_360 / world)


@pytest.mark.parametrize(
    ("scheme", "each"),
    [("ddp", 16), ("zero1", 8 + 8 / 8), ("zero2", 4 + 12 / 8), ("zero3", 16 / 8)],
)
def test_zero_stages_shard_optimizer_then_gradients_then_parameters(scheme: str, each: float) -> None:
    setup = replace(fsdp("Qwen3-0.6B"), states=States(scheme))  # type: ignore[arg-type]
    assert whole(setup) == pytest.approx(each * 596_049_920)


def test_gradients_are_not_there_before_the_first_backward_pass() -> None:
    setup = fsdp("Qwen3-0.6B", 1)
    assert whole(setup) - whole(setup, grads=False) == pytest.approx(4 * 596_049_920)


def test_megatron_keeps_6_bytes_and_shares_12() -> None:
    setup = megatron(model("Qwen3-8B"), world=32, tp=4)
    held = states.held(setup, 0).all
    assert whole(setup) == pytest.approx(held * (6 + 12 / 8))
    without = replace(setup, states=replace(MEGATRON, shard_optimizer=False))
    assert whole(without) == pytest.approx(held * 18)


def test_experts_are_shared_among_fewer_ranks_than_the_rest() -> None:
    setup = megatron(model("Qwen3-30B-A3B"), world=16, tp=2, ep=8)
    held = states.held(setup, 0)
    assert held.expert == pytest.approx(28_991_029_248 / 8)
    assert setup.parallel.dp == 8
    assert setup.parallel.edp == 2
    assert whole(setup) == pytest.approx(held.dense * (6 + 12 / 8) + held.expert * (6 + 12 / 2))


def test_optimizer_instances_share_less() -> None:
    one = megatron(world=8, tp=2)
    two = replace(one, parallel=replace(one.parallel, instances=2))
    assert whole(two) - whole(one) == pytest.approx(states.held(one, 0).all * (12 / 2 - 12 / 4))


def test_a_precision_aware_optimizer_halves_master_and_moments() -> None:
    setup = megatron(world=1)
    small = replace(setup, states=replace(MEGATRON, master=2.0, grad=2.0, moments=4.0))
    assert whole(small) / whole(setup) == pytest.approx(10 / 18)


def test_a_tied_head_on_another_stage_is_a_copy() -> None:
    own = gpt3(layers=4)
    setup = megatron(own, world=2, pp=2)
    first, last = (states.held(setup, stage).dense for stage in (0, 1))
    matrix, norm = own.vocab_size * own.hidden_size, 2 * own.hidden_size
    assert first - own.positions * own.hidden_size == pytest.approx(last - norm)
    alone = states.held(megatron(own, world=1), 0).dense
    assert first + last == pytest.approx(alone + matrix)


def test_down_projections_of_latent_attention_stay_whole_under_tensor_parallelism() -> None:
    one, eight = (megatron(model("DeepSeek-V3"), world=8, tp=tp, ep=1, etp=1) for tp in (1, 8))
    down = 7168 * (1536 + 512 + 64)
    small = states.layer(eight, 0).dense
    assert small > states.layer(one, 0).dense / 8
    assert small == pytest.approx((states.layer(one, 0).dense - down - 2 * 7168) / 8 + down + 2 * 7168)


def test_multi_token_prediction_is_on_the_last_stage() -> None:
    own = replace(model("DeepSeek-V3"), mtp_layers=1)
    setup = megatron(own, world=61, pp=61)
    assert states.held(setup, 60).all > 1.9 * states.held(setup, 59).all


def test_lora_trains_adapters_and_keeps_the_base_in_its_dtype() -> None:
    setup = replace(fsdp("Qwen3-4B", 8), lora=Lora(rank=16, slots=4))
    terms = {term.name: term for term in states.terms(setup, 0)}
    assert terms["frozen parameters"].bytes == pytest.approx(4 * 4_022_468_096 / 8)
    each = 16 * 4 * 36 * ((2560 + 4096) * 2 + (2560 + 1024) * 2 + 3 * (2560 + 9728))
    assert terms["parameters"].bytes == pytest.approx(4 * each / 8)
    # one adapter of the four has optimizer state
    assert terms["optimizer state"].bytes == pytest.approx(8 * each / 4 / 8)


def test_adapters_on_attention_alone_are_smaller() -> None:
    setup = replace(fsdp("Qwen3-4B"), lora=Lora(rank=16))
    small = replace(setup, lora=Lora(rank=16, attention_only=True))
    assert 0 < states.adapters(small, 0).all < states.adapters(setup, 0).all / 2


def test_the_step_of_a_foreach_optimizer_copies_a_state_and_a_fused_one_nothing() -> None:
    setup = fsdp("Qwen3-0.6B", 2)
    assert states.step_temporaries(setup, 0).bytes == 0
    foreach = replace(setup, states=States(foreach=True))
    assert states.step_temporaries(foreach, 0).bytes == pytest.approx(4 * 596_049_920 / 2)
    eight = replace(setup, states=States(quantized=True, moments=2.0), parallel=Parallel())
    assert states.step_temporaries(eight, 0).bytes == pytest.approx(12 * 151936 * 1024)


def test_every_term_says_its_arithmetic_and_source() -> None:
    for setup in (fsdp(), megatron(world=2)):
        for term in states.terms(setup, 0):
            assert "× " in term.formula
            assert term.source
