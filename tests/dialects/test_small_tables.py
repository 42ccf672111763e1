# ruff: noqa: E501  lines of logs are long
"""The small tables of trainers whose users only diagnose: their words for settings, and their step lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor import dialects, logs
from rldoctor.check import check
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.sources import read_text

SMALL = ("trl", "swift", "openrlhf", "prime_rl", "nemo_rl", "easyr1")
LAUNCH = {
    "trl": "trl grpo --model_name_or_path Qwen/Qwen3-4B --num_generations 16 --per_device_train_batch_size 4 "
    "--use_vllm True --vllm_mode colocate --vllm_gpu_memory_utilization 0.4 --max_completion_length 2048",
    "swift": "swift rlhf --rlhf_type grpo --model Qwen/Qwen3-4B --num_generations 16 --per_device_train_batch_size 4 "
    "--use_vllm true --vllm_mode colocate --vllm_gpu_memory_utilization 0.4 --max_completion_length 2048 --sleep_level 1",
    "openrlhf": "python3 -m openrlhf.cli.train_ppo_ray --actor.model_name_or_path Qwen/Qwen3-4B --train.colocate_all "
    "--rollout.n_samples_per_prompt 16 --train.micro_batch_size 4 --vllm.gpu_memory_utilization 0.4 --rollout.max_new_tokens 2048",
    "prime_rl": "uv run rl @ rl.toml --model.name Qwen/Qwen3-4B --orchestrator.group-size 16 "
    "--inference.vllm.gpu-memory-utilization 0.4 --orchestrator.train.sampling.max-completion-tokens 2048",
    "easyr1": "python3 -m verl.trainer.main worker.actor.model.model_path=Qwen/Qwen3-4B worker.rollout.n=16 "
    "worker.rollout.gpu_memory_utilization=0.4 data.max_response_length=2048 algorithm.adv_estimator=grpo",
    "nemo_rl": "uv run examples/run_grpo.py policy.model_name=Qwen/Qwen3-4B grpo.num_generations_per_prompt=16 "
    "policy.train_micro_batch_size=4 policy.generation.vllm_cfg.gpu_memory_utilization=0.4 policy.generation.max_new_tokens=2048",
}
STEP = {
    "trl": "{'loss': '0.01', 'grad_norm': '0.25', 'completions/mean_length': '300.0', 'completions/clipped_ratio': '0.5', 'reward': '0.75', 'reward_std': '0.4', 'frac_reward_zero_std': '1'}",
    "swift": "{'loss': 0.01, 'grad_norm': 0.25, 'memory(GiB)': 61.2, 'completions/mean_length': 300.0, 'reward': 0.75, 'frac_reward_zero_std': 1.0, 'global_step/max_steps': '1/100', 'percentage': '1.00%'}",
    "openrlhf": "INFO 08-12 10:00:01 ppo_trainer.py:547] ✨ Global step 1: {'policy_loss': 0.01, 'actor_grad_norm': 0.25, 'reward': 0.75, 'rollout/truncated_rate': 0.5}",
    "prime_rl": "12:00:01 SUCCESS Step 1 |  12.31s | Reward 0.7500 | Trainable 100/128 (78.1%) | Turns 1.0 | Truncation 50.0%",
    "easyr1": "(Runner pid=7) Step 1\n(Runner pid=7) actor:\n(Runner pid=7)   grad_norm: 0.25\n(Runner pid=7)   pg_loss: .nan\n(Runner pid=7) reward:\n(Runner pid=7)   overall: 0.75",
    "nemo_rl": "========================= Step 1/100 =========================\n  • Loss: 0.0100\n  • Avg Reward: 0.7500",
}


def facts_of(text: str) -> Facts:
    return walk(read_text(text, "run.sh", "shell"), ToldFacts())[0]


@pytest.mark.parametrize("system", SMALL)
def test_a_table_stays_small(system: str) -> None:
    assert len(dialects.load(system).rows) <= 25


@pytest.mark.parametrize("system", SMALL)
def test_a_launch_command_is_told_apart_and_read(system: str) -> None:
    facts = facts_of(LAUNCH[system])
    assert facts.system == system
    assert facts.value("model.path") == "Qwen/Qwen3-4B"
    assert facts.value("batch.n_samples") == 16
    assert facts.value("rollout.mem_fraction") == 0.4
    assert facts.value("batch.max_response_len") == 2048


def test_the_spellings_before_the_flags_were_dotted_are_still_read() -> None:
    facts = facts_of(
        "python3 -m openrlhf.cli.train_ppo_ray --micro_train_batch_size 2 --n_samples_per_prompt 8"
    )
    assert (facts.system, facts.value("batch.micro"), facts.value("batch.n_samples")) == ("openrlhf", 2, 8)


def test_swift_and_trl_flags_are_not_taken_for_each_other() -> None:
    assert (
        facts_of(
            "accelerate launch train_grpo.py --num_generations 8 --vllm_gpu_memory_utilization 0.3"
        ).system
        == "trl"
    )


@pytest.mark.parametrize("system", SMALL)
def test_step_lines_are_read(system: str, tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text(STEP[system] + "\n")
    reading = logs.read([str(log)], [])
    assert reading.systems == (system,)
    assert {sample.step for sample in reading.steps} == {1}
    assert ("reward_mean", 0.75) in {(sample.metric, sample.value) for sample in reading.samples}


def test_numbers_below_a_step_heading_belong_to_that_step(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text(STEP["nemo_rl"] + "\n" + STEP["nemo_rl"].replace("Step 1/", "Step 2/") + "\n")
    losses = [sample.step for sample in logs.read([str(log)], []).samples if sample.metric == "loss"]
    assert losses == [1, 2]


def test_a_counter_amid_other_numbers_is_one_series(tmp_path: Path) -> None:
    lines = [STEP["swift"].replace("0.01", f"0.0{n}").replace("'1/100'", f"'{n}/100'") for n in range(1, 4)]
    log = tmp_path / "train.log"
    log.write_text("\n".join(lines) + "\n")
    reading = logs.read([str(log)], [])
    assert reading.went_on(next(sample.line for sample in reading.steps))


def test_a_fork_with_keys_of_its_own_is_not_its_ancestor(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    (tmp_path / "config.yaml").write_text("worker: {actor: {micro_batch_size_per_device_for_update: 2}}\n")
    script.write_text("python3 -m verl.trainer.main config=config.yaml trainer.nnodes=2 worker.rollout.n=8\n")
    found = check([str(script)], ToldFacts())
    facts = {(fact.role, fact.concept): fact.value for fact in found.report.facts}
    assert (facts["policy", "batch.micro"], facts["policy", "train.nodes"]) == (2, 2)
    assert not [each for each in found.report.findings if each.rule.startswith("no-micro-batch")]
