"""What a run's settings make of its memory setup: engines, pipeline stages, kernels, optimizer states."""

from pathlib import Path

import pytest

from rldoctor import facts, sources
from rldoctor.facts import Facts, ToldFacts
from rldoctor.facts.memory_setup import sized
from rldoctor.facts.memory_stages import of_layout
from rldoctor.memory import host, states
from rldoctor.memory.layout import Setup
from rldoctor.sources import Told

SLIME = """\
python3 train.py --actor-num-nodes 4 --actor-num-gpus-per-node 8 --colocate --hf-checkpoint {model} \\
    --tensor-model-parallel-size 2 --sequence-parallel --expert-model-parallel-size 4 \\
    --expert-tensor-parallel-size 1 --rollout-num-gpus-per-engine 8 \\
    --rollout-batch-size 32 --n-samples-per-prompt 8 --rollout-max-response-len 8192 \\
    --rollout-max-prompt-len 1024 --rollout-max-context-len 9216 --use-dynamic-batch-size \\
    --max-tokens-per-gpu 9216 --global-batch-size 256 --advantage-estimator grpo {more}
"""
VERL = """\
python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo data.train_batch_size=256 \\
    data.max_prompt_length=1024 data.max_response_length=3072 \\
    actor_rollout_ref.model.path=Qwen/Qwen3-8B actor_rollout_ref.actor.ppo_mini_batch_size=128 \\
    actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4 actor_rollout_ref.rollout.name=vllm \\
    actor_rollout_ref.rollout.n=8 trainer.n_gpus_per_node=8 trainer.nnodes=1 {more}
"""


def world(tmp_path: Path, text: str, **told: str) -> Facts:
    path = tmp_path / "run.sh"
    path.write_text(text)
    found = facts.walk_known(sources.read(str(path), Told({}, ())), ToldFacts(set=told))
    return found[0]


def setup(tmp_path: Path, text: str, **told: str) -> Setup:
    found = sized(world(tmp_path, text, **told))
    assert found.setup is not None, (found.lacks, found.wrong)
    return found.setup


def slime(tmp_path: Path, more: str = "", model: str = "/root/Qwen3-30B-A3B", **told: str) -> Setup:
    return setup(tmp_path, SLIME.format(model=model, more=more), **told)


@pytest.mark.parametrize(
    ("more", "model", "size"),
    [
        ("", "/root/Qwen3-30B-A3B", 2.0),
        ("--sglang-quantization fp8", "/root/Qwen3-30B-A3B", 1.0),
        ("", "/root/Qwen3-30B-A3B-FP8", 1.0),
        ("--sglang-quantization awq", "/root/Qwen3-30B-A3B", 0.5 + 2.5 / 128),
    ],
)
def test_an_engines_weights_are_as_asked_or_as_its_checkpoint_is(
    tmp_path: Path, more: str, model: str, size: float
) -> None:
    engine = slime(tmp_path, more, model).rollout
    assert engine is not None
    assert engine.weight_bytes == pytest.approx(size)


def test_experts_alone_in_four_bits_leave_attention_as_it_is(tmp_path: Path) -> None:
    engine = slime(tmp_path, "--sglang-quantization mxfp4").rollout
    assert engine is not None
    layers, experts = 30_532_122_624 - 2 * 151_936 * 2048 - 2048, 48 * 128 * 3 * 2048 * 768
    whole = 2 * (layers - experts) + 0.53125 * experts
    assert engine.weight_bytes * layers == pytest.approx(whole, rel=1e-6)


def test_a_quantization_that_nobody_knows_is_named(tmp_path: Path) -> None:
    text = VERL.format(more="actor_rollout_ref.rollout.quantization=our_own")
    found = sized(world(tmp_path, text))
    assert "rollout.quantization" in found.unknown


@pytest.mark.parametrize(
    ("more", "size"),
    [("", 2.0), ("+actor_rollout_ref.rollout.engine_kwargs.vllm.kv_cache_dtype=fp8_e4m3", 1.0)],
)
def test_the_kv_caches_dtype_is_read(tmp_path: Path, more: str, size: float) -> None:
    engine = setup(tmp_path, VERL.format(more=more)).rollout
    assert engine is not None
    assert engine.kv_bytes == size


def test_dp_attention_and_captured_sizes_are_read(tmp_path: Path) -> None:
    more = "--sglang-enable-dp-attention --sglang-dp-size 4 --sglang-cuda-graph-bs 1 2 4 8 16"
    engine = slime(tmp_path, more).rollout
    assert engine is not None
    assert (engine.dp_attention, engine.dp, engine.tp, engine.graphs) == (True, 4, 8, 5)


@pytest.mark.parametrize(
    ("more", "pieces", "vpp"),
    [
        ("--pipeline-model-parallel-size 4", (), 1),
        ("--pipeline-model-parallel-size 4 --decoder-last-pipeline-num-layers 9", (13, 13, 13, 9), 1),
        ("--pipeline-model-parallel-size 4 --decoder-first-pipeline-num-layers 6", (6, 14, 14, 14), 1),
        ("--pipeline-model-parallel-size 4 --num-layers-per-virtual-pipeline-stage 3", (), 4),
        ("--pipeline-model-parallel-size 2 --pipeline-model-parallel-layout 'Et*23|t*25L'", (23, 25), 1),
        (
            "--pipeline-model-parallel-size 2 --account-for-embedding-in-pipeline-split"
            " --account-for-loss-in-pipeline-split",
            (24, 24),
            1,
        ),
    ],
)
def test_stages_of_their_own_size_are_read(
    tmp_path: Path, more: str, pieces: tuple[int, ...], vpp: int
) -> None:
    split = slime(tmp_path, more).parallel
    assert (split.pieces, split.vpp) == (pieces, vpp)


def test_a_layout_is_written_out() -> None:
    assert of_layout("Et*3|(tt|)*3t|mL") == (3, 2, 2, 2, 1, 0)
    assert of_layout("t*9999|" * 2000) == ()


@pytest.mark.parametrize(
    ("more", "flash"),
    [("--attention-backend flash", True), ("--attention-backend unfused", False), ("", True)],
)
def test_unfused_attention_keeps_all_scores(tmp_path: Path, more: str, flash: bool) -> None:
    assert slime(tmp_path, more).kernels.flash is flash


def test_eager_attention_of_transformers_is_unfused(tmp_path: Path) -> None:
    eager = "+actor_rollout_ref.model.override_config.attn_implementation=eager"
    assert setup(tmp_path, VERL.format(more=eager)).kernels.flash is False
    assert setup(tmp_path, VERL.format(more="")).kernels.flash is True


def test_capacity_and_dispatcher_are_read(tmp_path: Path) -> None:
    more = "--moe-expert-capacity-factor 1.25 --moe-pad-expert-input-to-capacity"
    kernels = slime(tmp_path, f"{more} --moe-token-dispatcher-type alltoall").kernels
    assert (kernels.capacity, kernels.padded, kernels.gathers_tokens) == (1.25, True, False)
    told = {"train.moe_dispatcher": "allgather"}
    assert slime(tmp_path, **told).kernels.gathers_tokens is True


def test_moments_of_a_precision_aware_optimizer_have_dtypes_of_their_own(tmp_path: Path) -> None:
    aware = "--use-distributed-optimizer --use-precision-aware-optimizer"
    assert slime(tmp_path, aware).states.moments == 8.0
    assert slime(tmp_path, f"{aware} --exp-avg-dtype bf16 --exp-avg-sq-dtype fp8").states.moments == 3.0


def test_products_in_fp8_keep_the_stream_in_half_precision(tmp_path: Path) -> None:
    kernels = slime(tmp_path, **{"train.compute_dtype": "fp8"}).kernels
    assert (kernels.fp8, kernels.width) == (True, 2.0)


def test_slimes_memory_saver_pauses_all_of_the_trainer(tmp_path: Path) -> None:
    away = slime(tmp_path).offload
    assert (away.params, away.grads, away.optimizer) == (True, True, True)
    assert slime(tmp_path, "--no-offload-train").offload.optimizer is False


def test_latent_attention_is_read_from_arguments(tmp_path: Path) -> None:
    more = (
        "--num-layers 4 --hidden-size 512 --num-attention-heads 8 --vocab-size 1024 --ffn-hidden-size 1024 "
        "--multi-latent-attention --q-lora-rank 96 --kv-lora-rank 64 --qk-head-dim 32 --v-head-dim 32"
    )
    found = slime(tmp_path, more, "/root/ours").shape
    assert found.mla is not None
    assert (found.mla.q_lora_rank, found.mla.kv_lora_rank, found.source) == (96, 64, "its arguments")


def test_training_without_rollout_has_no_engine(tmp_path: Path) -> None:
    assert slime(tmp_path, "--debug-train-only").rollout is None


def test_a_checkpoint_that_is_int4_by_birth_is_sampled_from_so(tmp_path: Path) -> None:
    engine = slime(tmp_path, model="/root/Kimi-K2-Thinking").rollout
    assert engine is not None
    assert 0.5 < engine.weight_bytes < 0.6


def test_told_gpus_all_train_where_nobody_says_how_many_and_it_is_named(tmp_path: Path) -> None:
    text = "trl grpo --model_name_or_path Qwen/Qwen3-8B --max_completion_length 1024 --beta 0.0\n"
    bare, told = sized(world(tmp_path, text)), sized(world(tmp_path, text, **{"cluster.gpus": "8"}))
    assert "train.world_size" in bare.lacks
    assert told.setup is not None
    assert told.setup.parallel.world == 8
    assert "train.world_size" in told.unknown


def test_fsdps_cpu_offload_leaves_no_shard_on_the_gpu(tmp_path: Path) -> None:
    policy = "actor_rollout_ref.actor.strategy=fsdp2 actor_rollout_ref.actor.fsdp_config.offload_policy=True"
    found = setup(tmp_path, VERL.format(more=policy))
    assert found.states.away is True
    assert list(states.terms(found, 0)) == []
    moved = {term.name: term.bytes for term in host.running(found, host.Node(ranks=8))}
    assert moved["offloaded parameters"] == pytest.approx(4 * 8_190_735_360, rel=0.001)
    assert moved["offloaded optimizer state"] == pytest.approx(8 * 8_190_735_360, rel=0.001)


def test_verls_reference_stays_on_the_host_while_the_actor_trains(tmp_path: Path) -> None:
    found = setup(tmp_path, VERL.format(more="actor_rollout_ref.actor.use_kl_loss=True"))
    assert (found.others.ref, found.others.ref_offload) == (True, True)


def test_modules_in_cuda_graphs_are_read(tmp_path: Path) -> None:
    more = "--cuda-graph-impl transformer_engine --cuda-graph-scope attn moe_router"
    assert slime(tmp_path, more).kernels.graphed == {"attn", "moe_router"}
    assert slime(tmp_path, "--cuda-graph-impl local --cuda-graph-scope attn").kernels.graphed == frozenset()
