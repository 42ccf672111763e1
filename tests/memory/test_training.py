import pytest
from made import fsdp, gpt3, megatron, model
from msgspec.structs import replace

from rldoctor.memory import activations, logits, training
from rldoctor.memory import fsdp as gathering
from rldoctor.memory.layout import GIB, Batch, Head, Kernels, Lora, Parallel, Recompute, Setup, States


def named(setup: object, moment: str, stage: int = 0) -> training.Moment:
    return next(m for m in training.moments(setup, stage) if m.name == moment)  # type: ignore[arg-type]


def term(moment: training.Moment, name: str) -> float:
    return next((term.bytes for term in moment.terms if term.name == name), 0.0)


def test_the_tied_root_stays_gathered_and_keeps_its_gradient() -> None:
    setup = fsdp("Qwen3-0.6B", 1)
    matrix = 151936 * 1024
    last = named(setup, "backward, last layer")
    assert term(last, "gathered head") == 2 * matrix
    assert term(last, "gradient of the head") == 2 * matrix
    untied = named(fsdp("Qwen3-8B", 1), "backward, last layer")
    assert term(untied, "gradient of the head") == 0


def test_two_layers_are_gathered_and_one_gradient_is_on_its_way() -> None:
    setup = fsdp("Qwen3-8B")
    layer = (8_190_735_360 - 2 * 151936 * 4096 - 4096) / 36
    terms = {t.name: t.bytes for t in gathering.layer_terms(setup, 0)}
    assert terms["gathered layers"] == pytest.approx(2 * 2 * layer)
    assert terms["gradients on the way"] == pytest.approx((2 + 4) * layer)


def test_a_pipeline_under_fsdp_keeps_its_stage_gathered_and_its_gradients_whole() -> None:
    setup = replace(fsdp("Llama-3.1-8B", 16), parallel=Parallel(world=16, pp=2), states=States(reshard=False))
    terms = {t.name: t.bytes for t in gathering.layer_terms(setup, 0)}
    whole = (8_030_261_248 - 4096) / 2
    assert terms["gathered stage"] == pytest.approx(2 * whole, rel=1e-3)
    assert terms["gradients not yet reduced"] == pytest.approx(4 * whole, rel=1e-3)


def test_megatron_gathers_nothing() -> None:
    assert not list(gathering.layer_terms(megatron(), 0))


def test_without_accumulation_gradients_grow_while_activations_shrink() -> None:
    # one GPU, bf16 states, one micro-batch: the peak is at the end, when all gradients are there
    states = States("ddp", master=2.0, grad=2.0, moments=4.0)
    setup = replace(
        fsdp("Llama-3.2-3B", 1), states=states, batch=Batch(8192, 4096, 1), kernels=Kernels("compiled")
    )
    chunked = replace(setup, head=Head("chunked_tokens", chunk=1024))
    widest = max(training.moments(chunked, 0), key=lambda moment: moment.bytes)
    assert widest.name == "backward, first layer"
    assert named(chunked, "head and loss").bytes < widest.bytes
    assert named(chunked, "head and loss").bytes / GIB == pytest.approx(22.9, abs=0.5)


def test_an_optimizer_in_the_backward_pass_holds_one_gradient() -> None:
    states = States("ddp", master=2.0, grad=2.0, moments=2.0, quantized=True, grad_in_backward=True)
    setup = replace(fsdp("Llama-3.2-3B", 1), states=states, batch=Batch(8192, 4096, 1))
    step = named(setup, "optimizer step")
    matrix = 128256 * 3072
    assert term(step, "gradients") == 0
    assert term(step, "largest gradient") == 2 * matrix
    assert term(step, "optimizer step") == 12 * matrix


def test_full_logits_take_what_torch_makes_of_them() -> None:
    setup = fsdp("Qwen3-0.6B", 1, 8192)
    cells = 8192 * 151936
    assert logits.term(setup).bytes == 12 * cells
    assert logits.term(replace(setup, head=Head(kept=True))).bytes == 16 * cells
    assert logits.term(replace(setup, head=Head(per_entry=4.0))).bytes == 4 * cells
    assert logits.term(replace(setup, head=Head("fused"))).bytes == 2 * 8192 * 1024
    assert logits.term(replace(setup, head=Head("value"))).bytes == 4 * 8192


@pytest.mark.parametrize(("head", "each"), [(Head(), 6), (Head(fused_loss=True), 10)])
def test_megatrons_losses_are_split_over_the_vocabulary(head: Head, each: int) -> None:
    setup = replace(megatron(world=2, tp=2), head=head)
    assert logits.term(setup).bytes == each * 8192 * 51200 / 2


def test_chunks_bound_the_logits() -> None:
    by_tokens = replace(fsdp("Qwen3-0.6B"), head=Head("chunked_tokens", chunk=512))
    assert logits.term(by_tokens).bytes == 16 * 512 * 151936
    longer = replace(by_tokens, batch=Batch(65536, 65536))
    assert logits.term(longer).bytes == logits.term(by_tokens).bytes
    by_entries = replace(by_tokens, head=Head("chunked_vocab", chunk=2048))
    assert logits.term(by_entries).bytes == 22 * 16384 * 2048 + 3 * 2 * 16384 * 1024


def test_reading_needs_less_than_training() -> None:
    for head in (Head(), Head("chunked_tokens", chunk=512), Head("fused")):
        setup = replace(fsdp("Qwen3-0.6B"), head=head)
        assert logits.reading(setup, 16384).bytes <= logits.term(setup).bytes


def test_frozen_weights_need_no_gradients_on_the_way() -> None:
    setup = replace(fsdp("Qwen3-8B"), lora=Lora(16))
    terms = {t.name: t.bytes for t in gathering.layer_terms(setup, 0)}
    full = {t.name: t.bytes for t in gathering.layer_terms(fsdp("Qwen3-8B"), 0)}
    assert terms["gradients on the way"] < full["gradients on the way"] / 20


def test_block_recomputation_reaches_the_first_layers_of_a_stage() -> None:
    plain, full, block = (
        replace(megatron(gpt3(layers=8)), recompute=recompute)
        for recompute in (Recompute(), Recompute("full"), Recompute("full", layers=2))
    )
    kept = [
        term(named(setup, "head and loss"), name)
        for setup, name in ((plain, "activations"), (full, "layer inputs"), (block, "layer inputs"))
    ]
    assert kept[1] < kept[2] < kept[0]
    assert kept[2] == pytest.approx(kept[0] * 6 / 8 + kept[1] * 2 / 8)


def test_a_7b_pipeline_with_eight_virtual_stages_holds_29_layers_and_the_loss() -> None:
    shape = replace(
        gpt3(layers=32, hidden=4096, heads=32, vocab=131200), num_kv_heads=8, tie_embeddings=False
    )
    setup = megatron(shape, 8192, 8192, world=8, pp=4, vpp=8)
    setup = replace(setup, batch=Batch(8192, 8192, 4), kernels=Kernels("te", dropout=True), stage=3)
    head = named(setup, "head and loss", 3)
    layer = 31 * 4096 + 4 * 32
    assert term(head, "activations") == pytest.approx(29 * 8192 * layer)
    assert head.bytes / GIB == pytest.approx(56.1, abs=0.3)


def test_a_mixture_without_expert_parallelism_gathers_all_experts_of_a_layer() -> None:
    setup = fsdp("Qwen3-30B-A3B")
    terms = {t.name: t.bytes for t in gathering.layer_terms(setup, 0)}
    assert terms["gathered layers"] / GIB == pytest.approx(2.32, abs=0.05)
    assert model("Qwen3-30B-A3B").moe_layers == 48


def test_double_buffers_hold_two_layers_and_their_gradients() -> None:
    setup = replace(
        megatron(model("Qwen3-8B"), world=8),
        states=States("megatron_fsdp", weight=2.0, double_buffer=True),
    )
    terms = {t.name: t.bytes for t in gathering.layer_terms(setup, 0)}
    layer = (8_190_735_360 - 2 * 151936 * 4096 - 4096) / 36
    assert terms == {"double buffers": pytest.approx(2 * layer * (2 + 4))}


def holes(setup: Setup, name: str = "head and loss") -> float:
    return next(each.holes for each in training.moments(setup, 0) if each.name == name)


def test_gradients_that_come_and_go_stay_cached_beside_the_peak() -> None:
    setup = fsdp("Llama-3.1-8B", 8)
    once = replace(setup, batch=Batch(16384, 8192, 1))
    gradients = 4 * 8_030_261_248 / 8
    assert holes(once) - holes(setup) == pytest.approx(gradients)
    assert holes(setup, "optimizer step") == 0


def test_the_block_of_the_half_precision_logits_fits_nothing_later() -> None:
    setup = fsdp("Llama-3.1-8B", 8)
    chunked = replace(setup, head=Head("chunked_tokens", chunk=1024))
    assert holes(setup) - holes(chunked) == 2 * 16384 * 128256
    alone = replace(setup, parallel=replace(setup.parallel, world=1))
    gathered = 2 * (128256 * 4096 - 218_112_000)  # the head, larger than the layer gathered ahead
    assert holes(setup) - holes(alone) == pytest.approx(gathered, rel=0.001)


def test_ends_in_one_root_unit_stay_gathered_together() -> None:
    setup = fsdp("Llama-3.1-8B", 8)
    both = replace(setup, states=replace(setup.states, root_ends=True))
    assert term(named(both, "head and loss"), "gathered embedding") == 2 * 128256 * 4096
    assert not any(each.name == "gathered embedding" for each in named(setup, "head and loss").terms)


def test_a_torch_pipeline_holds_what_it_sends_and_receives() -> None:
    setup = fsdp("Llama-3.1-8B", 8)
    setup = replace(setup, parallel=replace(setup.parallel, pp=2), batch=Batch(8192, 8192, 4))
    size = 2 * 4096 * 8192
    ends = [
        sum(each.bytes for each in training.kept(setup, stage) if each.name == "pipeline buffers")
        for stage in (0, 1)
    ]
    assert ends == [6 * size, 4 * size]  # four gradients and two outputs; four inputs


def test_a_head_whose_weight_gradient_waits_keeps_its_inputs_and_gradients() -> None:
    setup = megatron(tp=2)
    late = replace(setup, head=Head(deferred=2))
    more = named(late, "head and loss").bytes - named(setup, "head and loss").bytes
    assert more == pytest.approx(2 * 2 * 8192 * (51200 / 2 + 1024))


def test_memory_of_graphs_is_allocated_while_they_are_captured_and_reserved_for_good() -> None:
    plain = replace(megatron(), kernels=Kernels("te", flash=False))
    graphed = replace(plain, kernels=Kernels("te", flash=False, graphed=frozenset({"attn"})))
    capture = named(graphed, "capture of graphs")
    inside = term(capture, "activations in graphs")
    assert inside == pytest.approx(4 * 8192 * activations.captured(graphed, 0))
    assert term(capture, "optimizer state") == 0
    heads = [named(setup, "head and loss") for setup in (plain, graphed)]
    assert heads[0].bytes - heads[1].bytes == pytest.approx(inside)
    assert heads[1].holes > inside
    assert not any(each.name == "capture of graphs" for each in training.moments(plain, 0))
