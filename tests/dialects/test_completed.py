"""Concepts that verl, slime, ChatLearn and Megatron's own RL say in words of their own."""

from __future__ import annotations

from typing import Any

import pytest

from rldoctor import dialects
from rldoctor.dialects.verl import parts
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.sources import read_text
from rldoctor.types import UNKNOWN, RLDoctorError

RL = (
    "torchrun --nproc_per_node 8 train_rl.py --perform-rl-step --tensor-model-parallel-size 4 "
    "--num-layers 32 --hidden-size 4096 --num-attention-heads 32 --micro-batch-size 1 --seq-length 8192 "
    "--grpo-prompts-per-step 64 --grpo-group-size 16 --bf16"
)


def walked(command: str, system: str) -> Facts:
    found = [
        each
        for each in walk(read_text(command + "\n", "run.sh", "shell"), ToldFacts())
        if each.system == system
    ]
    (one,) = found
    return one


def test_megatrons_own_rl_samples_on_the_trainers_gpus() -> None:
    found = walked(f"{RL} --rl-inference-tensor-model-parallel-size 2 --rl-use-sequence-packing", "megatron")
    told: dict[str, Any] = {
        "rollout.engine": "builtin",
        "rollout.mode": "sync",
        "cluster.colocate": True,
        "rollout.gpus": 8,
        "rollout.tp": 2,
        "rollout.pp": 1,
        "rollout.eager": True,
        "cluster.asked_gpus": 8,
        "batch.samples_per_rollout": 1024,
        "rollout.concurrency": 1024,
        "batch.max_tokens_per_gpu": 8192,
        "sync.mode": "gloo",
        "algo.use_kl_loss": True,
        "mem.offload_rollout": False,
    }
    assert {name: found.value(name) for name in told} == told


def test_megatrons_rl_flags_say_more() -> None:
    found = walked(
        f"{RL} --cuda-graph-impl local --refit-method nccl --rl-kv-cache-management-mode offload "
        "--rl-partial-rollouts --rl-max-inflight-requests 4096 --inference-dynamic-batching-prefix-caching "
        "--rl-inference-logprobs-is-correction --rl-importance-sampling-truncation-coef 2.0",
        "megatron",
    )
    told = {
        "rollout.eager": False,
        "sync.mode": "nccl",
        "mem.offload_rollout": True,
        "rollout.concurrency": 4096,
        "rollout.prefix_cache": True,
        "rollout.calculate_logprobs": True,
        "algo.is_correction": 2.0,
        "rollout.tp": 4,
    }
    assert {name: found.value(name) for name in told} == told


def test_pretraining_has_no_rollout() -> None:
    found = walked(RL.replace("train_rl.py --perform-rl-step", "pretrain_gpt.py"), "megatron")
    for name in ("rollout.tp", "rollout.engine", "sync.mode", "rollout.max_model_len", "cluster.colocate"):
        assert found.value(name) is None


def test_adams_betas_stand_in_one_list() -> None:
    command = "python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo"
    plain = walked(command, "verl")
    assert (plain.value("optim.beta1"), plain.value("optim.beta2")) == (0.9, 0.999)
    told = walked(f"{command} 'actor_rollout_ref.actor.optim.betas=[0.9,0.95]'", "verl")
    assert told.value("optim.beta2") == 0.95
    row = next(row for row in dialects.load("verl").rows if row.concept == "optim.beta2")
    assert dialects.encode(row, 0.98, None, "[0.9,0.95]") == "[0.9,0.98]"


@pytest.mark.parametrize("text", ["", "0.9", "[0.9]", "[0.9, x]"])
def test_what_is_no_list_of_two_is_unknown(text: str) -> None:
    assert parts.read("first", text) is UNKNOWN
    with pytest.raises(RLDoctorError):
        parts.write("first", text, 0.8)


def test_verl_says_what_megatron_does_in_overrides() -> None:
    found = walked(
        "python3 -m verl.trainer.main_ppo --config-name=ppo_megatron_trainer "
        "+actor_rollout_ref.actor.megatron.override_transformer_config.gradient_accumulation_fusion=True "
        "+actor_rollout_ref.actor.megatron.override_ddp_config.overlap_grad_reduce=True "
        "global_profiler.tool=torch_memory reward.num_workers=16",
        "verl",
    )
    told = {
        "train.grad_accum_fusion": True,
        "train.overlap_grad_reduce": True,
        "log.memory": True,
        "reward.workers": 16,
        "data.chat_template": True,
    }
    assert {name: found.value(name) for name in told} == told


def test_slimes_correction_counts_only_when_it_is_on() -> None:
    command = "python3 train.py --hf-checkpoint x --rollout-batch-size 8 --tis-clip 3.0 --use-wandb"
    off, on = walked(command, "slime"), walked(f"{command} --use-tis --calculate-per-token-loss", "slime")
    assert (off.value("algo.is_correction"), on.value("algo.is_correction")) == (None, 3.0)
    assert (off.value("algo.loss_agg"), on.value("algo.loss_agg")) == ("sample_mean", "token_mean")
    assert (off.value("rollout.calculate_logprobs"), on.value("rollout.calculate_logprobs")) == (False, True)
    assert on.value("log.backends") == ["console", "wandb"]


def test_chatlearn_may_give_the_shape_by_itself() -> None:
    shape = "models.policy_trainer.megatron_model_cfg"
    found = walked(
        "python chatlearn/entrypoint.py grpo runtime_args.train_backend=megatron "
        f"{shape}.num_layers=32 {shape}.hidden_size=4096 {shape}.num_query_groups=8 "
        f"{shape}.vocab_size=151936 {shape}.untie_embeddings_and_output_weights=True "
        "runtime_args.log_args_dict.enable_wandb=True",
        "chatlearn",
    )
    told = {
        "model.num_kv_heads": 8,
        "model.vocab_size": 151936,
        "model.tie_embeddings": False,
        "algo.loss": "ppo",
        "algo.loss_agg": "token_mean",
        "log.backends": ["console", "wandb"],
    }
    assert {name: found.value(name) for name in told} == told
