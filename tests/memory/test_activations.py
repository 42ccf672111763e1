import pytest
from made import fsdp, gpt3, megatron, model
from msgspec.structs import replace

from rldoctor.memory import activations
from rldoctor.memory.layout import Batch, Free, Kernels, Lora, Recompute, Setup


def every(setup: Setup, index: int = 0) -> float:
    return activations.total(activations.parts(setup, index))


def test_gpt3_keeps_34_times_the_width_as_the_paper_says() -> None:
    setup = replace(megatron(), kernels=Kernels("te", dropout=True))
    lse = 4 * 16
    # the paper counts the mask of both dropouts and of the softmax; flash attention has none of its own
    assert every(setup) == pytest.approx(34 * 1024 + lse)


def test_unfused_attention_keeps_five_bytes_a_score() -> None:
    flash = replace(megatron(), kernels=Kernels("te", dropout=True))
    unfused = replace(flash, kernels=Kernels("te", dropout=True, flash=False))
    assert every(unfused) - every(flash) == pytest.approx(5 * 16 * 2048 - 4 * 16)
    again = replace(unfused, recompute=Recompute("selective", frozenset({"core_attn"})))
    assert activations.kept(again, 0) == pytest.approx(34 * 1024)


def test_sequence_parallelism_splits_what_tensor_parallelism_leaves_whole() -> None:
    split = megatron(world=8, tp=8)
    whole = replace(split, parallel=replace(split.parallel, sequence_parallel=True))
    stream = 2 * 1024
    assert every(split) - every(whole) == pytest.approx(4 * stream * (1 - 1 / 8))


def test_grouped_queries_and_gated_mlps_are_counted_as_they_are() -> None:
    setup = replace(fsdp("Llama-3.1-8B"), kernels=Kernels("te"))
    queries, keys, ffn, h = 4096, 1024, 14336, 4096
    expected = 2 * (4 * h + queries + 2 * keys + queries + 3 * ffn) + 4 * 32
    assert every(setup) == pytest.approx(expected)


def test_full_recomputation_keeps_a_layers_input_alone() -> None:
    setup = fsdp("Qwen3-0.6B")
    assert activations.kept(setup, 0) == 2 * 1024
    assert activations.working(setup, 0) > every(setup) - 2 * 1024
    away = replace(setup, recompute=Recompute("full", offload=True))
    assert activations.kept(away, 0) == 0


def test_context_and_ulysses_ranks_share_the_tokens() -> None:
    setup = fsdp(world=8)
    assert activations.tokens(setup) == 16384
    shared = replace(setup, parallel=replace(setup.parallel, cp=2, ulysses=2))
    assert activations.tokens(shared) == 4096


def test_every_second_product_is_saved_by_torchtitan() -> None:
    setup = replace(fsdp("Llama-3.1-8B"), recompute=Recompute("selective", alternate_matmuls=True))
    # input, attention output, and the products of q, v, gate and down
    assert activations.kept(setup, 0) == pytest.approx(2 * (4096 + 4096 + 4096 + 1024 + 14336 + 4096) + 128)
    # a compiled graph does not keep what is only added: the last product
    compiled = replace(setup, kernels=Kernels("compiled"))
    assert activations.kept(setup, 0) - activations.kept(compiled, 0) == 2 * 4096


def test_a_rank_with_all_experts_sees_its_own_rows_exactly() -> None:
    setup = fsdp("Qwen3-30B-A3B")
    assert activations.rows(setup) == 8
    spread = megatron(model("Qwen3-30B-A3B"), world=8, ep=8)
    assert activations.rows(spread) == pytest.approx(8 * spread.free.imbalance)
    both = megatron(model("Qwen3-30B-A3B"), world=8, tp=2, ep=4, etp=1)
    assert activations.rows(both) == pytest.approx(4 * both.free.imbalance)


@pytest.mark.parametrize(
    ("module", "group"), [("layernorm", "norm"), ("moe_act", "expert_act"), ("shared_experts", "shared")]
)
def test_a_recomputed_module_is_dropped(module: str, group: str) -> None:
    setup = megatron(model("DeepSeek-V3"), world=8, ep=8)
    gone = [part.bytes for part in activations.parts(setup, 10) if part.group == group]
    again = replace(setup, recompute=Recompute("selective", frozenset({module})))
    assert activations.kept(again, 10) == pytest.approx(every(setup, 10) - sum(gone))


def test_latent_attention_keeps_the_compressed_and_what_goes_up() -> None:
    setup = megatron(model("DeepSeek-V3"), world=8, tp=8)
    groups = {part.group: part.bytes for part in activations.parts(setup, 0)}
    width = 128 * (128 + 64)
    assert groups["mla_up"] == pytest.approx(2 * (2 * width + 128 * 128) / 8)


def test_fp32_takes_twice_as_much() -> None:
    half = fsdp("Qwen3-0.6B")
    full = replace(half, kernels=Kernels("eager", width=4.0))
    lse = 4 * 16
    assert activations.stream(full) == 2 * activations.stream(half)
    norms = sum(p.bytes for p in activations.parts(full, 0) if p.group == "norm")
    assert norms == 6 * activations.stream(full)  # input, normalised input and output of both
    assert every(full) < 2 * every(half) + lse


def test_a_hybrid_layer_is_linear_attention() -> None:
    setup = fsdp("Qwen3-Next-80B-A3B")
    assert every(setup, 0) != every(setup, 3)


def test_plain_and_gated_mlps_differ_by_a_half() -> None:
    plain = megatron(gpt3())
    gated = replace(plain, shape=replace(plain.shape, gated_mlp=True))
    assert every(gated) - every(plain) == pytest.approx(2 * 4096)


def test_ulysses_holds_queries_keys_values_and_outputs_twice() -> None:
    setup = fsdp("Llama-3.1-8B", 8)
    shared = replace(setup, parallel=replace(setup.parallel, ulysses=2))
    assert activations.working(shared, 0) >= activations.working(setup, 0)
    attention = 2 * 2 * (2 * 4096 + 2 * 1024) + 4 * 4096
    assert activations.attention_gradients(shared) == attention


def test_frozen_norms_keep_one_tensor_less() -> None:
    full = fsdp("Qwen3-4B")
    adapted = replace(full, lora=Lora(rank=16))
    norms = [
        sum(part.bytes for part in activations.parts(setup, 0) if part.group == "norm")
        for setup in (full, adapted)
    ]
    assert norms[0] - norms[1] == 2 * activations.stream(full)


def test_weighting_experts_in_fp32_is_the_widest_moment_of_their_backward_pass() -> None:
    plain = fsdp("Qwen3-30B-A3B")
    wide = replace(plain, kernels=Kernels(fp32_combine=True))
    rows = 8 * 2048
    assert every(wide) - every(plain) == 2 * rows
    assert activations.feed_forward_gradients(wide, 0) == pytest.approx((2 + 3 * 4) * rows)


def test_experts_that_are_not_gated_keep_their_activation_twice() -> None:
    setup = megatron(replace(gpt3(), num_experts=8, moe_ffn=2048, moe_topk=2))
    act = [part.bytes for part in activations.parts(setup, 0) if part.group == "expert_act"]
    assert sum(act) == 2 * 2 * 2048 * 2


def test_gathered_inputs_are_kept_by_dtensor_and_gathered_again_by_megatron() -> None:
    split = {"tp": 4, "sequence_parallel": True}
    torch = fsdp("Llama-3.1-8B", 8)
    torch = replace(torch, parallel=replace(torch.parallel, **split))
    inside = replace(torch, kernels=Kernels("te"))
    norms = [
        sum(part.bytes for part in activations.parts(setup, 0) if part.group == "norm")
        for setup in (torch, inside)
    ]
    assert norms[0] > norms[1] + 2 * 2 * 4096 - 1


def test_what_inductor_holds_over_the_count_is_one_factor_on_a_recomputed_layer() -> None:
    plain = replace(fsdp("Llama-3.1-8B", 8), kernels=Kernels("compiled"), recompute=Recompute())
    again = replace(plain, recompute=Recompute("full"))
    bare = replace(again, free=replace(again.free, compiled=1.0))
    assert activations.working(again, 0) == pytest.approx(again.free.compiled * activations.working(bare, 0))
    inside = activations.feed_forward_gradients(plain, 0) + 2 * activations.stream(plain)
    assert activations.working(plain, 0) == inside


def test_unfused_attention_has_a_gradient_for_every_score() -> None:
    flash = megatron()
    unfused = replace(flash, kernels=Kernels("te", flash=False))
    sums, scores = 4 * 1024, 2 * 16 * 2048
    more = activations.attention_gradients(unfused) - activations.attention_gradients(flash)
    assert more == pytest.approx(scores - sums)


def test_what_graphs_capture_is_what_attention_keeps() -> None:
    setup = replace(megatron(), kernels=Kernels("te", flash=False, graphed=frozenset({"attn"})))
    inside = {"qkv", "core", "scores"}
    own = sum(part.bytes for part in activations.parts(setup, 0) if part.group in inside)
    assert activations.captured(setup, 0) == pytest.approx(own)
    again = replace(setup, recompute=Recompute("selective", frozenset({"core_attn"})))
    assert activations.captured(setup, 0) - activations.captured(again, 0) == pytest.approx(2 * 16 * 2048)
    assert activations.captured(replace(setup, recompute=Recompute("full")), 0) == 0


def test_a_capacity_bounds_the_rows_of_the_fullest_rank_and_padding_fills_them() -> None:
    setup = replace(
        megatron(replace(gpt3(), num_experts=8, moe_ffn=2048, moe_topk=2), world=8, ep=4),
        free=Free(imbalance=1.3),
    )
    for capacity, padded, rows in (
        (None, False, 2.6),
        (1.1, False, 2.2),
        (2.0, False, 2.6),
        (2.0, True, 4.0),
    ):
        kernels = Kernels("te", capacity=capacity, padded=padded)
        assert activations.rows(replace(setup, kernels=kernels)) == pytest.approx(rows)


def test_an_allgather_dispatcher_collects_the_tokens_of_all_ranks_that_share_experts() -> None:
    shape = replace(gpt3(), num_experts=64, moe_ffn=128, moe_topk=1)
    setup = megatron(shape, world=16, ep=16, tp=2, sequence_parallel=True, etp=2)
    gathers = replace(setup, kernels=Kernels("te", gathers_tokens=True))
    assert activations.gathered(setup) == 0
    assert activations.gathered(gathers) == 2 * 1024 * 16  # each rank holds half of a sequence's tokens
    assert activations.working(gathers, 0) > activations.working(setup, 0)


def test_a_norm_that_stays_in_fp32_keeps_its_normalised_input_so() -> None:
    plain = fsdp("gemma-2-2b")
    wide = replace(plain, kernels=Kernels(fp32_norm=True))
    assert every(wide) - every(plain) == 4 * activations.stream(plain)  # four norms a layer


def test_a_backward_pass_in_attention_has_freed_the_second_half() -> None:
    setup = replace(fsdp("Llama-3.1-8B", 8), recompute=Recompute())
    parts = activations.parts(setup, 0)
    half = sum(p.bytes for p in parts if p.group == "norm") / 2 + 2 * 4 * 14336
    assert activations.freed(parts) == half
    long = replace(setup, kernels=Kernels(flash=False), batch=Batch(65536, 65536))
    scores = activations.attention_gradients(long) - half + 2 * activations.stream(long)
    assert activations.working(long, 0) == pytest.approx(scores)
