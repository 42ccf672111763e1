"""slime's table on a launch script as its users write them, and what slime and Megatron make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor import dialects
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.logs import read
from rldoctor.logs.failures import Frame
from rldoctor.logs.phases import of_frames
from rldoctor.logs.shapes import load
from rldoctor.sources import read_text
from rldoctor.types import RLDoctorError

COLOCATED = """\
#!/bin/bash
set -ex
export PYTHONUNBUFFERED=1

MODEL_ARGS=(
   --num-layers 48
   --hidden-size 2048
   --ffn-hidden-size 6144
   --num-attention-heads 32
   --group-query-attention
   --num-query-groups 4
   --kv-channels 128
   --vocab-size 151936
   --untie-embeddings-and-output-weights
   --num-experts 128
   --moe-ffn-hidden-size 768
   --moe-router-topk 8
   --moe-token-dispatcher-type allgather
   --moe-grouped-gemm
)

CKPT_ARGS=(
   --hf-checkpoint /models/moe-30b
   --ref-load /models/moe-30b_torch_dist
   --save /runs/moe-30b/ckpt
   --save-interval 20
)

ROLLOUT_ARGS=(
   --prompt-data /data/math.jsonl
   --input-key prompt
   --apply-chat-template
   --rollout-shuffle
   --rm-type deepscaler
   --num-rollout 300
   --rollout-batch-size 64
   --n-samples-per-prompt 8
   --rollout-max-prompt-len 1024
   --rollout-max-response-len 8192
   --rollout-temperature 0.8
   --rollout-stop-token-ids 151645 151643
   --num-steps-per-rollout 4
)

PERF_ARGS=(
   --tensor-model-parallel-size 4
   --sequence-parallel
   --pipeline-model-parallel-size 1
   --context-parallel-size 2
   --expert-model-parallel-size 8
   --expert-tensor-parallel-size 1
   --recompute-granularity full
   --recompute-method uniform
   --recompute-num-layers 1
   --use-dynamic-batch-size
   --max-tokens-per-gpu 9216
)

GRPO_ARGS=(
   --advantage-estimator gspo
   --use-kl-loss
   --kl-loss-coef 0.001
   --kl-loss-type low_var_kl
   --eps-clip 4e-4
)

ray start --head --num-gpus 8 --disable-usage-stats

ray job submit --address="http://127.0.0.1:8265" \\
   --runtime-env-json='{"env_vars": {"CUDA_DEVICE_MAX_CONNECTIONS": "1", "NCCL_NVLS_ENABLE": "0"}}' \\
   -- python3 train.py \\
   --actor-num-nodes 2 \\
   --actor-num-gpus-per-node 8 \\
   --colocate \\
   ${MODEL_ARGS[@]} \\
   ${CKPT_ARGS[@]} \\
   ${ROLLOUT_ARGS[@]} \\
   ${PERF_ARGS[@]} \\
   ${GRPO_ARGS[@]} \\
   --rollout-num-gpus-per-engine 8 \\
   --sglang-mem-fraction-static 0.7 \\
   --sglang-disable-cuda-graph \\
   --sglang-server-concurrency 256
"""

GOLDEN = {
    "system": "slime",
    "train.nodes": 2,
    "train.gpus_per_node": 8,
    "train.gpus": 16,
    "train.world_size": 16,
    "train.backend": "megatron",
    "train.tp": 4,
    "train.pp": 1,
    "train.cp": 2,
    "train.ep": 8,
    "train.etp": 1,
    "train.dp": 2,
    "train.edp": 2,
    "train.sequence_parallel": True,
    "train.distributed_optimizer": True,
    "train.moe_dispatcher": "alltoall",
    "cluster.colocate": True,
    "cluster.asked_gpus": 16,
    "rollout.gpus": 16,
    "rollout.gpus_per_engine": 8,
    "rollout.tp": 8,
    "rollout.engines": 2,
    "rollout.engines_per_node": 1,
    "rollout.engine": "sglang",
    "rollout.executor": None,
    "rollout.mem_fraction": 0.7,
    "rollout.eager": True,
    "rollout.concurrency": 256,
    "rollout.temperature": 0.8,
    "rollout.stop_token_ids": [151645, 151643],
    "sync.mode": "ipc",
    "sync.bucket": 512 * 2**20,
    "async.staleness": 0,
    "batch.prompts_per_step": 64,
    "batch.n_samples": 8,
    "batch.samples_per_rollout": 512,
    "batch.steps_per_rollout": 4,
    "batch.global": 128,
    "batch.samples_per_rank": 64,
    "batch.dynamic": True,
    "batch.max_tokens_per_gpu": 9216,
    "batch.max_tokens_logprob": 9216,
    "batch.remove_padding": True,
    "batch.longest_sample": 9216,
    "batch.min_tokens_per_gpu": 4608,
    "batch.loss_global_norm": True,
    "model.path": "/models/moe-30b",
    "model.num_experts": 128,
    "model.moe_topk": 8,
    "model.num_kv_heads": 4,
    "model.tie_embeddings": False,
    "model.param_dtype": "bf16",
    "mem.recompute": "full",
    "mem.recompute_layers": 1,
    "mem.offload_param": True,
    "mem.offload_rollout": True,
    "mem.groupgemm": True,
    "optim.lr": 1e-6,
    "optim.nan_check": True,
    "algo.estimator": "gspo",
    "algo.use_kl_loss": True,
    "algo.kl_loss_coef": 0.001,
    "algo.clip_low": 4e-4,
    "algo.clip_high": 4e-4,
    "ckpt.format": "torch_dist",
    "ckpt.dist_checkpointing": True,
    "ckpt.save_dir": "/runs/moe-30b/ckpt",
    "ckpt.load_dir": "/models/moe-30b_torch_dist",
    "ckpt.ref_load_dir": "/models/moe-30b_torch_dist",
    "ckpt.save_interval": 20,
    "dist.timeout": 600,
    "env.CUDA_DEVICE_MAX_CONNECTIONS": "1",
    "ref.train.tp": 4,
    "ref.train.ep": 8,
    "critic.train.tp": None,
}


def facts(script: str) -> Facts:
    return next(f for f in walk(read_text(script, "run.sh", "shell"), ToldFacts()) if f.system == "slime")


def test_golden_case_of_a_colocated_moe_run() -> None:
    found = facts(COLOCATED)
    assert {name: found.value(name) for name in GOLDEN} == GOLDEN


def test_s2_decoupled_gpus_add_up() -> None:
    script = COLOCATED.replace("   --colocate \\\n", "   --rollout-num-gpus 24 \\\n")
    found = facts(script)
    assert found.value("cluster.asked_gpus") == 16 + 24
    assert found.value("rollout.engines") == 3
    assert found.value("sync.mode") == "nccl"
    assert found.value("mem.offload_param") is False


def test_s2_colocated_takes_the_larger_of_both() -> None:
    script = COLOCATED.replace("--colocate", "--colocate --rollout-num-gpus 32")
    assert facts(script).value("cluster.asked_gpus") == 32


def test_offload_that_is_refused_stays_off() -> None:
    assert (
        facts(COLOCATED.replace("--colocate", "--colocate --no-offload-train")).value("mem.offload_param")
        is False
    )


def test_s6_global_batch_as_written_gives_the_steps() -> None:
    found = facts(COLOCATED.replace("--num-steps-per-rollout 4", "--global-batch-size 200"))
    assert (found.value("batch.global"), found.value("batch.steps_per_rollout")) == (200, 2)


def test_global_batch_of_a_script_without_either_is_megatrons() -> None:
    found = facts(COLOCATED.replace("   --num-steps-per-rollout 4\n", ""))
    assert found.value("batch.global") == 2  # micro-batch 1 on 2 data parallel ranks


def test_s3_budget_without_dynamic_batching_is_still_read() -> None:
    found = facts(COLOCATED.replace("   --use-dynamic-batch-size\n", ""))
    assert found.value("batch.dynamic") is False
    assert found.value("batch.max_tokens_per_gpu") == 9216
    assert found.value("batch.max_tokens_logprob") is None


def test_least_budget_without_a_prompt_limit_is_the_answer_over_cp() -> None:
    found = facts(COLOCATED.replace("   --rollout-max-prompt-len 1024\n", ""))
    assert found.fact("batch.longest_sample").state == "unknown"
    assert found.value("batch.min_tokens_per_gpu") == 8192 // 2


def test_ppo_has_a_critic_with_the_actors_sizes() -> None:
    found = facts(COLOCATED.replace("--advantage-estimator gspo", "--advantage-estimator ppo"))
    assert found.value("algo.estimator") == "gae"
    assert found.value("critic.train.tp") == 4
    assert found.value("critic.train.dp") == 2


def test_train_async_is_one_step_ahead() -> None:
    assert facts(COLOCATED.replace("train.py", "train_async.py")).value("async.staleness") == 1


def test_pipeline_stages_of_an_engine_divide_its_gpus() -> None:
    found = facts(COLOCATED.replace("--sglang-disable-cuda-graph", "--sglang-pp-size 2"))
    assert (found.value("rollout.pp"), found.value("rollout.tp")) == (2, 4)


@pytest.mark.parametrize(
    ("concept", "ours", "key", "theirs"),
    [
        ("dist.timeout", 5400, "--distributed-timeout-minutes", 90),
        ("dist.timeout", 5401, "--distributed-timeout-minutes", 91),
        ("optim.nan_check", False, "--no-check-for-nan-in-loss-and-grad", True),
        ("rollout.mem_fraction", 0.55, "--sglang-mem-fraction-static", 0.55),
        ("rollout.gpus_per_engine", 8, "--rollout-num-gpus-per-engine", 8),
        ("rollout.prefix_cache", False, "--sglang-disable-radix-cache", True),
        ("batch.dynamic", True, "--use-dynamic-batch-size", True),
        ("algo.estimator", "gae", "--advantage-estimator", "ppo"),
        ("algo.estimator", "grpo", "--advantage-estimator", "grpo"),
        ("ckpt.format", "fsdp_dtensor", "--ckpt-format", "fsdp_dtensor"),
        ("model.name", "qwen3", "--model-name", "qwen3"),
    ],
)
def test_values_are_said_in_slimes_own_words(concept: str, ours: object, key: str, theirs: object) -> None:
    row = facts(COLOCATED).row(concept)
    assert row is not None
    assert row.key == key
    assert dialects.encode(row, ours) == theirs
    if concept != "dist.timeout" or ours == 5400:
        assert dialects.decode(row, theirs) == ours


def test_a_value_that_slime_cannot_say_is_refused() -> None:
    row = facts(COLOCATED).row("algo.estimator")
    assert row is not None
    with pytest.raises(RLDoctorError, match="remax"):
        dialects.encode(row, "remax")


def test_rows_of_megatrons_own_rl_are_not_slimes() -> None:
    found = facts(COLOCATED.replace("--colocate", "--colocate --grpo-prompts-per-step 7 --seq-length 512"))
    assert found.value("batch.prompts_per_step") == 64
    assert found.value("batch.max_context_len") is None


LOG = """\
(RolloutManager pid=4242, ip=10.0.0.1) [2026-08-21 17:14:19] rollout_metrics.py:268 - perf 3: {'rollout/response_len/mean': 812.5, 'rollout/response_len/max': 8192, 'rollout/truncated_ratio': 0.25, 'perf/rollout_time': 61.2, 'perf/tokens_per_gpu_per_sec': np.float64(1830.5)}
(MegatronTrainRayActor pid=5151, ip=10.0.0.1) [2026-08-21 17:15:02] timer.py:24 - Timer log_probs start
(MegatronTrainRayActor pid=5151, ip=10.0.0.1) [2026-08-21 17:15:09] timer.py:24 - Timer actor_train start
(MegatronTrainRayActor pid=5151, ip=10.0.0.1) [2026-08-21 17:15:40] model.py:918 - step 12: {'train/loss': 0.0123, 'train/pg_loss': -0.0004, 'train/entropy_loss': 0.31, 'train/ppo_kl': 1.2e-05, 'train/train_rollout_logprob_abs_diff': 0.012, 'train/grad_norm': nan, 'train/lr-pg_0': 1e-06, 'train/step': 12}
"""  # noqa: E501


def test_step_lines_are_samples(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text(LOG)
    found = {(s.step, s.metric): s.value for s in read([str(path)], ()).samples}
    assert found[3, "response_length"] == 812.5
    assert found[3, "response_clip_ratio"] == 0.25
    assert found[3, "tokens_per_second"] == 1830.5
    assert found[12, "policy_loss"] == -0.0004
    assert found[12, "logprob_diff"] == 0.012
    assert found[12, "grad_norm"] != found[12, "grad_norm"]


def test_phase_of_a_line_and_of_a_frame() -> None:
    shape = next(shape for shape in load() if shape.system == "slime")
    assert shape.line_phases["Timer log_probs start"] == "train.logprob"
    frames = (
        Frame("/root/slime/slime/backends/megatron_utils/actor.py", 357, "compute_log_prob"),
        Frame("/root/Megatron-LM/megatron/core/pipeline_parallel/schedules.py", 410, "forward_step"),
    )
    assert of_frames(frames) == "train"
    assert of_frames(frames, shape.phases) == "train.logprob"


def test_changes_are_derived_again() -> None:
    found = facts(COLOCATED.replace("   --colocate \\\n", "   --rollout-num-gpus 16 \\\n"))
    assert found.value("cluster.asked_gpus") == 32
    assert found.changed({"cluster.colocate": True}).value("cluster.asked_gpus") == 16
    fewer = found.changed({"rollout.gpus_per_engine": 4})
    assert (fewer.value("rollout.tp"), fewer.value("rollout.engines")) == (4, 4)
    assert found.changed({"batch.steps_per_rollout": 8}).value("batch.global") == 64


def test_slime_computes_its_own_loss_so_megatrons_fused_one_is_no_fused_head() -> None:
    # THUDM/slime@624b824a8: --cross-entropy-loss-fusion is read nowhere below slime/
    words = "python3 train.py --hf-checkpoint /m --rollout-batch-size 8 --cross-entropy-loss-fusion"
    facts = walk(read_text(words, "x.sh", "command"), ToldFacts())[0]
    assert facts.value("mem.fused_kernels") is None
    assert facts.row("mem.fused_kernels") is None
