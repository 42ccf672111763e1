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


@pytest.mark.parametrize(
    ("file", "trainer"),
    [
        ("/app/ROLL/roll/pipeline/rlvr/rlvr_config.py", "roll"),
        ("/app/SkyRL/skyrl/train/config/config.py", "skyrl"),
        ("/app/skyrl-train/skyrl_train/utils/utils.py", "skyrl"),
        ("/app/src/axolotl/utils/schemas/validation.py", "axolotl"),
        ("/app/roll/dice.py", None),
        ("/opt/verl/verl/trainer/main_ppo.py", None),
    ],
)
def test_trainer_told_by_its_code(file: str, trainer: str | None) -> None:
    assert named.trainer_of(["/usr/lib/python3.11/runpy.py", file]) == trainer


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("roll", "rollout_batch_size"),
        ("skyrl", "policy_mini_batch_size"),
        ("axolotl", "sample_packing"),
        ("axolotl", "per_device_eval_batch_size"),
    ],
)
def test_keys_of_a_trainer_without_a_dialect(system: str, name: str) -> None:
    assert named.keys_of(system, (name,)) == (name,)


def test_key_of_the_table_before_the_listed_name() -> None:
    assert named.keys_of("nemo_rl", ("train_global_batch_size",)) == ("policy.train_global_batch_size",)
