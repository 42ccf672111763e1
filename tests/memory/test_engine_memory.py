import pytest
from made import fsdp, model
from msgspec.structs import replace

from rldoctor.memory import engine, overheads
from rldoctor.memory.layout import GIB, Rollout


@pytest.mark.parametrize(
    ("name", "tp", "count"),
    [("Qwen3-8B", 1, 8_190_735_360), ("Llama-3.1-8B", 1, 8_030_261_248), ("Qwen2.5-0.5B", 1, 494_032_768)],
)
def test_weights_are_two_bytes_a_parameter(name: str, tp: int, count: int) -> None:
    assert engine.weights(model(name), Rollout("vllm", tp=tp)).bytes == pytest.approx(2 * count)


def test_norms_and_what_has_fewer_heads_than_ranks_are_not_split() -> None:
    shape = model("Qwen3-235B-A22B")
    one, eight = (engine.weights(shape, Rollout("vllm", tp=tp)).bytes for tp in (1, 8))
    keys = 2 * 94 * 2 * 4096 * 4 * 128
    whole = 2 * (94 * 2 * 4096 + 4096 + 94 * 4096 * 128)  # norms and routers
    assert eight == pytest.approx((one - whole) / 8 + whole + keys / 8, rel=1e-3)


def test_experts_go_over_expert_parallel_ranks_and_attention_stays_with_dp_attention() -> None:
    shape = model("Qwen3-30B-A3B")
    split = engine.weights(shape, Rollout("sglang", tp=4, ep=4, dp_attention=True)).bytes
    experts = 28_991_029_248
    assert split == pytest.approx(2 * (30_532_122_624 - experts + experts / 4), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "tp", "each"),
    [
        ("Qwen3-30B-A3B", 1, 2 * 48 * 4 * 128 * 2),
        ("Qwen3-30B-A3B", 8, 2 * 48 * 1 * 128 * 2),
        ("Llama-3.1-8B", 4, 2 * 32 * 2 * 128 * 2),
        ("DeepSeek-V3", 8, 61 * (512 + 64) * 2),
        ("Qwen3-Next-80B-A3B", 1, 2 * 12 * 2 * 256 * 2),
    ],
)
def test_kv_bytes_a_token_by_attention(name: str, tp: int, each: int) -> None:
    assert engine.kv_bytes_per_token(model(name), Rollout("sglang", tp=tp)) == each


def test_an_fp8_cache_halves_and_dp_attention_does_not_split() -> None:
    shape = model("Qwen3-30B-A3B")
    plain = engine.kv_bytes_per_token(shape, Rollout("sglang", tp=4))
    assert engine.kv_bytes_per_token(shape, Rollout("sglang", tp=4, kv_bytes=1.0)) == plain / 2
    assert engine.kv_bytes_per_token(shape, Rollout("sglang", tp=4, dp_attention=True)) == 4 * plain


def test_the_share_of_an_engine_is_filled_with_keys_and_values() -> None:
    setup = replace(fsdp("Qwen3-8B"), gpu_gib=79.1)
    vllm = Rollout("vllm", tp=2, fraction=0.6, colocated=True)
    awake = sum(term.bytes for term in engine.terms(setup, vllm) if term.name != "CUDA graphs")
    assert awake + overheads.CONTEXT_GIB * GIB == pytest.approx(0.6 * 79.1 * GIB)
    assert engine.pool(replace(setup, gpu_gib=None), vllm) is None
    assert (engine.pool(setup, replace(vllm, fraction=0.1)) or 0) < 0


def test_a_sleeping_engine_keeps_little_and_one_that_cannot_sleep_everything() -> None:
    setup = replace(fsdp("Qwen3-8B"), gpu_gib=79.1)
    sleeping, awake = (
        sum(term.bytes for term in engine.asleep(setup, Rollout("vllm", fraction=0.5, sleeps=sleeps)))
        for sleeps in (True, False)
    )
    assert sleeping < 2 * GIB < 30 * GIB < awake


def test_graphs_take_nothing_where_they_are_off() -> None:
    shape = model("Qwen3-8B")
    assert engine.graphs(shape, Rollout("vllm", eager=True)).bytes == 0
    assert 0.1 * GIB < engine.graphs(shape, Rollout("vllm")).bytes < 1.5 * GIB


def test_segments_are_what_the_driver_sees() -> None:
    mib = 2**20
    assert overheads.segments([mib // 2] * 4) == 2 * mib
    assert overheads.segments([3 * mib] * 6) == 20 * mib
    assert overheads.segments([11 * mib]) == 12 * mib
    # a small tensor goes where room is left
    assert overheads.segments([9 * mib, 9 * mib, 2 * mib - 1]) == 20 * mib


def test_megatrons_graphs_keep_what_goes_into_and_out_of_each_layer() -> None:
    shape = model("Qwen3-8B")
    own = Rollout("megatron", tp=4, graphs=1)
    cache = 20 * GIB
    requests = cache / (256 * engine.kv_bytes_per_token(shape, own))
    one = engine.layer_graphs(shape, own, cache)
    assert one.bytes == pytest.approx(2 * requests * 2 * 2 * 4096 * 36)
    assert engine.layer_graphs(shape, replace(own, graphs=3), cache).bytes == pytest.approx(2 * one.bytes)
    assert engine.layer_graphs(shape, replace(own, eager=True), cache).bytes == 0


def test_quantized_weights_keep_their_ends_in_half_precision() -> None:
    shape = model("Qwen3-8B")
    half, eight = (engine.weights(shape, Rollout("vllm", weight_bytes=size)).bytes for size in (2.0, 1.0))
    ends = 2 * 151936 * 4096 + 4096
    assert half - eight == pytest.approx(8_190_735_360 - ends)
