"""Names of the code and the keys that they stand for."""

from __future__ import annotations

import pytest

from rldoctor.dialects import named


@pytest.mark.parametrize(
    ("system", "path", "keys"),
    [
        ("verl", "config.actor.ppo_mini_batch_size", ["actor_rollout_ref.actor.ppo_mini_batch_size"]),
        ("verl", "critic.ppo_mini_batch_size", ["critic.ppo_mini_batch_size"]),
        ("verl", "ppo_mini_batch_size", ["actor_rollout_ref.actor.ppo_mini_batch_size"]),
        ("verl", "config.rollout.n", ["actor_rollout_ref.rollout.n"]),
        ("verl", "n_gpus_per_node", ["trainer.n_gpus_per_node"]),
        ("slime", "args.rollout_batch_size", ["--rollout-batch-size"]),
        ("slime", "num_layers", ["--num-layers"]),
        ("slime", "mem_fraction_static", ["--sglang-mem-fraction-static"]),
        ("areal", "mem_fraction_static", ["sglang.mem_fraction_static"]),
        ("megatron", "global_batch_size", ["--global-batch-size"]),
        ("trl", "steps_per_generation", ["steps_per_generation"]),
        ("openrlhf", "micro_train_batch_size", ["--micro_train_batch_size"]),
        ("verl", "no_such_name", []),
    ],
)
def test_keys_of(system: str, path: str, keys: list[str]) -> None:
    assert list(named.keys_of(system, path.split("."))) == keys


def test_an_engines_argument_is_handed_on_where_the_system_does_so() -> None:
    section = "actor_rollout_ref.rollout.engine_kwargs.vllm"
    assert named.handed_on("verl", "vllm", "kv_cache_dtype") == f"+{section}.kv_cache_dtype"
    assert named.handed_on("verl", "vllm", "no_such_argument") is None
    assert named.handed_on("areal", "vllm", "kv_cache_dtype") is None


def test_only_words_that_change_nothing_are_taken_off() -> None:
    assert named.shortened("verl", "real_train_batch_size") == "train_batch_size"
    assert named.shortened("vllm", "draft_tensor_parallel_size") == "draft_tensor_parallel_size"
