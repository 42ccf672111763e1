"""ChatLearn's table on a launch script and on a template, for both of its backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor import dialects
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.logs import read
from rldoctor.sources import read_text

FSDP = """\
#!/bin/bash
export RAY_DEDUP_LOGS=1
export exp_name=moe-grpo
python chatlearn/entrypoint.py grpo \\
        --config-file template/grpo_fsdp.yaml \\
        runtime_args.exp_name=${exp_name} \\
        runtime_args.train_backend=fsdp \\
        runtime_args.rollout_backend=vllm \\
        runtime_args.colocation=[policy,policy_trainer,ref_policy] \\
        runtime_args.output_dir=/runs/${exp_name} \\
        runtime_args.num_episode=200 \\
        runtime_args.sample_per_episode=512 \\
        runtime_args.train_global_batch_size=256 \\
        runtime_args.train_micro_batch_size=8 \\
        runtime_args.save_episode_interval=5 \\
        models.policy_trainer.num_gpu=16 \\
        models.policy_trainer.packing=True \\
        models.policy_trainer.max_token_in_packing=20000 \\
        models.policy_trainer.meta_init=False \\
        models.policy_trainer.groupgemm=False \\
        models.policy_trainer.ulysses_sequence_parallel_size=2 \\
        models.policy_trainer.gradient_checkpointing=False \\
        models.policy_trainer.load=/models/moe-30b \\
        models.ref_policy.num_gpu=16 \\
        models.ref_policy.ulysses_sequence_parallel_size=1 \\
        models.policy.num_gpu=16 \\
        models.policy.enforce_eager=False \\
        models.policy.tensor_model_parallel_size=2 \\
        models.policy.generation_batch_size=128 \\
        models.policy.max_prompt_tokens_length=1024 \\
        models.policy.max_response_tokens_length=7168 \\
        models.policy.num_inference_per_prompt=32 \\
        models.policy.gpu_memory_utilization=0.85
"""

GOLDEN = {
    "system": "chatlearn",
    "train.backend": "fsdp",
    "train.gpus": 16,
    "train.world_size": 16,
    "train.fsdp_size": 16,
    "train.fsdp_version": 2,
    "train.ulysses_sp": 2,
    "train.dp": 8,
    "ref.train.dp": 16,
    "train.tp": None,
    "cluster.colocate": True,
    "cluster.asked_gpus": 16,
    "batch.samples_per_episode": 512,
    "batch.samples_per_rollout": 512,
    "batch.n_samples": 32,
    "batch.prompts_per_step": 16,
    "batch.global": 256,
    "batch.steps_per_rollout": 2,
    "batch.samples_per_rank": 32,
    "batch.micro": 8,
    "batch.dynamic": True,
    "batch.max_tokens_per_gpu": 20000,
    "batch.longest_sample": 8192,
    "batch.min_tokens_per_gpu": 8192,
    "batch.loss_global_norm": True,
    "mem.meta_init": False,
    "mem.groupgemm": False,
    "mem.recompute": "full",
    "model.path": "/models/moe-30b",
    "model.param_dtype": "fp32",
    "rollout.engine": "vllm",
    "rollout.executor": "ray",
    "rollout.tp": 2,
    "rollout.engines": 8,
    "rollout.eager": False,
    "rollout.mem_fraction": 0.85,
    "rollout.max_seqs": 128,
    "optim.lr": 2e-6,
    "algo.estimator": "grpo",
    "algo.use_kl_loss": False,
    "sync.bucket": 1024 * 2**20,
    "ckpt.format": "fsdp",
    "ckpt.dist_checkpointing": False,
    "ckpt.save_dir": "/runs/moe-grpo",
    "ckpt.load_dir": "/models/moe-30b",
    "ckpt.save_interval": 5,
    "dist.timeout": 600,
    "run.steps": 200,
}

MEGATRON = """\
runtime_args:
  train_backend: megatron
  rollout_backend: sglang
  colocation: [policy, policy_trainer]
  output_dir: /runs/dense
  sample_per_episode: 2048
  train_global_batch_size: 1024
  train_micro_batch_size: 1
  num_inference_per_prompt: 16
models:
  policy_trainer:
    num_gpu: 32
    packing: True
    max_token_in_packing: 8192
    tensor_model_parallel_size: 4
    pipeline_model_parallel_size: 2
    context_parallel_size: 2
    expert_model_parallel_size: 4
    expert_tensor_parallel_size: 1
    sequence_parallel: True
    use_distributed_optimizer: True
    recompute_granularity: null
    distributed_timeout_minutes: 30
    load: /ckpt/dense-mcore
    optimizer: {lr: 1e-6}
  ref_policy:
    num_gpu: 32
    tensor_model_parallel_size: 4
    context_parallel_size: 1
    expert_model_parallel_size: 8
    expert_tensor_parallel_size: 1
    load: ${models.policy_trainer.load}
  policy:
    num_gpu: ${models.policy_trainer.num_gpu}
    tensor_model_parallel_size: 4
    num_inference_per_prompt: ${runtime_args.num_inference_per_prompt}
    load: /models/dense-hf
"""


def facts(script: str) -> Facts:
    return next(
        f for f in walk(read_text(script, "train.sh", "shell"), ToldFacts()) if f.system == "chatlearn"
    )


def template(text: str) -> Facts:
    return next(f for f in walk(read_text(text, "grpo.yaml", "yaml"), ToldFacts()) if f.system == "chatlearn")


def test_golden_case_of_an_fsdp_run() -> None:
    found = facts(FSDP.replace("        --config-file template/grpo_fsdp.yaml \\\n", ""))
    assert {name: found.value(name) for name in GOLDEN} == GOLDEN


def test_a_template_for_megatron() -> None:
    found = template(MEGATRON)
    wanted = {
        "train.backend": "megatron",
        "train.dp": 2,
        "train.edp": 4,
        "ref.train.dp": 8,
        "train.ulysses_sp": None,
        "train.sequence_parallel": True,
        "train.distributed_optimizer": True,
        "mem.recompute": "none",
        "mem.meta_init": None,
        "rollout.engine": "sglang",
        "rollout.executor": None,
        "rollout.gpus": 32,
        "rollout.engines": 8,
        "batch.n_samples": 16,
        "batch.samples_per_rank": 512,
        "ckpt.format": "torch_dist",
        "ckpt.ref_load_dir": "/ckpt/dense-mcore",
        "dist.timeout": 1800,
        "cluster.asked_gpus": 64,
        "model.path": "/models/dense-hf",
    }
    assert {name: found.value(name) for name in wanted} == wanted


def test_reference_replicas_follow_the_least_common_multiple() -> None:
    # 32 GPUs; lcm(4 * 1, 1 * 8) = 8: 4 replicas of 8 GPUs, each with data parallel size 2
    assert template(MEGATRON).value("ref.train.dp") == 4 * 2


def test_backend_is_told_by_a_key_that_only_one_backend_has() -> None:
    keys = "models.policy_trainer.meta_init=False models.policy_trainer.num_gpu=8"
    pasted = f"python chatlearn/entrypoint.py grpo {keys}\n"
    found = facts(pasted)
    assert found.value("train.backend") == "fsdp"
    assert found.value("train.dp") == 8


def test_colocation_of_other_models_is_none_of_ours() -> None:
    script = FSDP.replace("[policy,policy_trainer,ref_policy]", "[policy_trainer,ref_policy]")
    found = facts(script)
    assert found.value("cluster.colocate") is False
    assert found.value("cluster.asked_gpus") == 32


def test_gpus_that_nobody_told_stay_unknown() -> None:
    script = FSDP.replace("models.policy_trainer.num_gpu=16", "models.policy_trainer.num_gpu=${num_device}")
    assert facts(script).fact("train.dp").state == "unknown"
    assert facts(script).fact("batch.samples_per_rank").state == "unknown"


@pytest.mark.parametrize(
    ("concept", "ours", "key", "theirs"),
    [
        ("rollout.eager", True, "models.policy.enforce_eager", True),
        ("batch.max_tokens_per_gpu", 8192, "models.policy_trainer.max_token_in_packing", 8192),
        ("batch.dynamic", True, "models.policy_trainer.packing", True),
        ("batch.micro", 4, "runtime_args.train_micro_batch_size", 4),
        ("train.ulysses_sp", 4, "models.policy_trainer.ulysses_sequence_parallel_size", 4),
        ("mem.meta_init", True, "models.policy_trainer.meta_init", True),
        ("mem.groupgemm", True, "models.policy_trainer.groupgemm", True),
        ("sync.bucket", 512 * 2**20, "runtime_args.bucket_size_mb_in_memory_manager", 512),
        ("algo.estimator", "gspo", "models.policy_trainer.use_group_sequence_policy", True),
        ("train.backend", "megatron", "runtime_args.train_backend", "megatron"),
    ],
)
def test_values_are_said_in_chatlearns_own_words(
    concept: str, ours: object, key: str, theirs: object
) -> None:
    row = facts(FSDP).row(concept)
    assert row is not None
    assert row.key == key
    assert dialects.encode(row, ours) == theirs
    assert dialects.decode(row, theirs) == ours


def test_timeout_in_minutes_belongs_to_megatron() -> None:
    row = template(MEGATRON).row("dist.timeout")
    assert row is not None
    assert row.key == "models.policy_trainer.distributed_timeout_minutes"
    assert dialects.encode(row, 3600) == 60
    assert facts(FSDP).row("dist.timeout") is None


LOG = """\
[2026-03-02 10:00:00,123 ChatLearn] (engine.py 502): INFO chatlearn_log start to make experience: 4/200
[2026-03-02 10:05:00,123 ChatLearn] (metric_manager.py 90): INFO step 4 prefix rollout: logging metric {'response_token_length': 1500.25, 'prompt_token_length': 102.0, 'response_clip_ratio': 1.0, 'response_max': 2048}
[2026-03-02 10:05:00,124 ChatLearn] (metric_manager.py 90): INFO step 4 prefix policy_trainer: logging metric {'pg_loss': 0.0021, 'kl_loss': 0.0, 'entropy_loss': 0.4, 'grad_norm': 0.18}
[2026-03-02 10:05:00,125 ChatLearn] (metric_manager.py 90): INFO step 4 prefix rule_reward: logging metric {'train_reward_score': 0.5125}
[2026-03-02 10:05:00,126 ChatLearn] (metric_manager.py 90): INFO step 4 prefix engine/timer_summary: logging metric {'episode': 300.5, 'train': 120.25, 'environment': 170.0, 'sync_parameters': 8.0, 'tps_throughput': 5100.5}
"""  # noqa: E501


def test_metric_lines_are_samples(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text(LOG)
    found = {s.metric: s.value for s in read([str(path)], ()).samples if s.step == 4}
    assert found["response_length"] == 1500.25
    assert found["response_clip_ratio"] == 1.0
    assert found["policy_loss"] == 0.0021
    assert found["grad_norm"] == 0.18
    assert found["reward_mean"] == 0.5125
    assert found["train_time"] == 120.25
    assert found["sync_time"] == 8.0
