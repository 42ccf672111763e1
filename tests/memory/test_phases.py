import pytest
from made import fsdp, megatron, model
from msgspec.structs import replace

from rldoctor.memory import disk, host, overheads, phases, sync
from rldoctor.memory.interval import FIXED_GIB, around
from rldoctor.memory.layout import GIB, Batch, Head, Offload, Others, Rollout

VLLM = Rollout("vllm", tp=2, fraction=0.5, colocated=True, sleeps=True, drops_weights=True)


def colocated(**other: object) -> object:
    return replace(fsdp("Qwen3-8B"), rollout=VLLM, gpu_gib=79.1, logprob_tokens=16384, **other)


def rows(setup: object) -> dict[str, phases.Phase]:
    return {f"{row.role}.{row.name}": row for row in phases.phases(setup, 0)}  # type: ignore[arg-type]


def test_phases_follow_one_another_on_a_shared_gpu() -> None:
    found = rows(colocated())
    assert list(found) == ["policy.train", "policy.train.logprob", "policy.rollout", "policy.sync"]
    sampling = found["policy.rollout"]
    assert {"KV cache", "engine weights"} <= {term.name for term in sampling.beside}
    assert "KV cache" not in {term.name for term in found["policy.train"].beside}
    assert sampling.device > 0.5 * 79.1 * GIB


def test_what_is_offloaded_makes_room_for_the_engine() -> None:
    kept = rows(colocated())["policy.rollout"]
    away = rows(colocated(offload=Offload(params=True, grads=True, optimizer=True)))["policy.rollout"]
    assert kept.device - away.device == pytest.approx(12 * 8_190_735_360 / 8)
    assert kept.terms[0].name == "parameters"


def test_a_reference_stays_unless_it_is_offloaded() -> None:
    alone = rows(colocated())["policy.train"]
    beside = rows(colocated(others=Others(ref=True, ref_bytes=2.0)))["policy.train"]
    away = rows(colocated(others=Others(ref=True, ref_bytes=2.0, ref_offload=True)))
    assert beside.allocated - alone.allocated == pytest.approx(2 * 8_190_735_360 / 8)
    assert away["policy.train"].allocated == alone.allocated
    assert "reference" in {term.name for term in away["policy.train.logprob"].terms}


def test_a_critic_trains_beside_the_policys_states() -> None:
    critic = replace(fsdp("Qwen3-0.6B"), head=Head("value"))
    found = rows(colocated(others=Others(critic=critic)))
    row = found["critic.train"]
    assert row.role == "critic"
    assert "policy's parameters" in {term.name for term in row.terms}
    assert "critic's parameters" in {term.name for term in found["policy.train"].terms}


def test_an_engine_of_the_trainers_own_process_is_counted_by_its_allocator() -> None:
    own = Rollout("megatron", tp=4, kv_gib=20.0, colocated=True, eager=True)
    alone = megatron(model("Qwen3-8B"), world=8, tp=4)
    setup = replace(alone, rollout=own)
    peak = phases.train(setup, 0)
    assert peak.allocated - phases.train(alone, 0).allocated == pytest.approx(20 * GIB)
    assert all(term.name != "KV cache" for term in peak.beside)
    other = replace(setup, rollout=replace(own, tp=2))
    assert phases.train(other, 0).allocated > peak.allocated + 2 * 8_190_735_360 / 2 * 0.99


def test_the_stage_that_holds_most_is_found() -> None:
    setup = megatron(model("Qwen3-8B"), world=4, pp=4)
    assert phases.fullest(setup) in (0, 3)
    assert phases.fullest(replace(setup, stage=2)) == 2


def test_reserved_lies_above_allocated_and_ends_at_the_gpu() -> None:
    setup = fsdp("Qwen3-8B")
    free = phases.train(setup, 0)
    moving = free.allocated - free.resident
    assert free.reserved == pytest.approx(free.allocated + 0.24 * moving, rel=0.1)
    segments = phases.train(replace(setup, expandable=True), 0)
    assert free.allocated < segments.reserved < free.reserved
    tight = phases.train(replace(setup, gpu_gib=free.allocated / GIB + 1), 0)
    assert tight.reserved == pytest.approx(1.01 * tight.allocated)


def test_on_cpu_there_is_no_cuda() -> None:
    setup = replace(fsdp("Qwen3-0.6B", 1, 512), on_cpu=True)
    row = phases.train(setup, 0)
    assert row.device == row.reserved == row.allocated
    assert overheads.context(setup).bytes == 0


def test_intervals_hold_the_middle_and_are_no_wider_than_fifteen_percent() -> None:
    for setup in (fsdp("Qwen3-8B"), fsdp("Qwen3-235B-A22B", 64, 65536), megatron(world=2)):
        row = phases.train(setup, 0)
        for target in ("allocated", "reserved", "device"):
            found = around(setup, row, target)  # type: ignore[arg-type]
            assert found.low < row.of(target) < found.high  # type: ignore[arg-type]
            assert found.half <= max(0.15, FIXED_GIB[target] * GIB / found.middle) + 1e-9


def test_the_largest_tensor_and_both_buckets_are_there_while_weights_go_over() -> None:
    setup = replace(fsdp("Qwen3-8B"), rollout=VLLM, sync_bucket=2**31)
    terms = {term.name: term.bytes for term in sync.terms(setup, 0)}
    assert terms["largest gathered tensor"] == 2 * 151936 * 4096
    assert terms["sync buckets"] == 2 * 2**31
    experts = megatron(model("Qwen3-30B-A3B"), world=8, ep=8)
    assert sync.largest(experts) == max(151936 * 2048, 128 / 8 * 3 * 2048 * 768)


def test_every_process_of_a_node_may_load_the_whole_model() -> None:
    setup = fsdp("Qwen3-30B-A3B")
    size = 30_532_122_624 * 2
    eight, one = (next(iter(host.loading(setup, host.Node(8, copies=copies)))).bytes for copies in (8.0, 1.0))
    assert (eight, one) == (pytest.approx(8 * size), pytest.approx(size))


def test_what_leaves_the_gpu_is_on_the_host() -> None:
    setup = replace(fsdp("Qwen3-8B"), offload=Offload(params=True, grads=True, optimizer=True))
    moved = sum(t.bytes for t in host.running(setup, host.Node(8)) if t.name.startswith("offloaded"))
    assert moved == pytest.approx(16 * 8_190_735_360)


@pytest.mark.parametrize(("form", "each"), [("hf", 2), ("fsdp", 12), (None, 12)])
def test_a_checkpoint_of_fsdp(form: str | None, each: int) -> None:
    setup = fsdp("Qwen3-8B")
    one = disk.checkpoint(setup, form)
    assert one.bytes == each * 8_190_735_360
    assert disk.kept(one, 3).bytes == 4 * one.bytes


def test_a_megatron_checkpoint_has_weights_master_and_moments() -> None:
    setup = megatron(model("Qwen3-8B"), world=8, tp=4)
    assert disk.checkpoint(setup, "torch_dist").bytes == pytest.approx(14 * 8_190_735_360)
    assert disk.checkpoint(setup, "torch_dist", optimizer=False).bytes == pytest.approx(2 * 8_190_735_360)


def test_longer_micro_batches_never_need_less() -> None:
    sizes = [
        phases.train(replace(fsdp(), batch=Batch(tokens, 8192)), 0).device
        for tokens in (8192, 16384, 32768, 65536)
    ]
    assert sizes == sorted(sizes)


def test_an_engine_on_gpus_of_its_own_holds_nothing_of_the_trainer() -> None:
    apart = fsdp(rollout=Rollout("sglang", tp=2, fraction=0.8), gpu_gib=80.0)
    train, rollout, sync = phases.phases(apart, 0)
    assert (train.name, rollout.name, sync.name) == ("train", "rollout", "sync")
    assert (rollout.allocated, rollout.reserved) == (0.0, 0.0)
    weights = next(term for term in rollout.beside if term.name == "engine weights")
    cache = next(term for term in rollout.beside if term.name == "KV cache")
    assert weights.bytes + cache.bytes == pytest.approx(0.8 * 80 * GIB)
    assert all("engine" not in term.name for term in (*train.beside, *sync.beside))
