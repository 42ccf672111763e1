"""verl's table, on command lines as its users write them."""

import pytest

from rldoctor import dialects
from rldoctor.facts import ToldFacts, walk
from rldoctor.sources import read_text
from rldoctor.types import UNKNOWN

MEGATRON = "actor_rollout_ref.actor.strategy=megatron actor_rollout_ref.rollout.name=vllm "
ACTOR = "actor_rollout_ref.actor."


def facts(words, told=None, program="verl.trainer.main_ppo"):
    text = f"python3 -m {program} {words}\n"
    return walk(read_text(text, "run.sh", "shell"), told or ToldFacts())[0]


@pytest.mark.parametrize(
    ("words", "backend"),
    [
        ("data.train_batch_size=8", "fsdp"),
        (f"{ACTOR}strategy=fsdp2", "fsdp"),
        (f"{ACTOR}strategy=megatron", "megatron"),
        ("model_engine=megatron", "megatron"),
        ("model_engine=veomni", "veomni"),
        (
            "--config-path=config --config-name='ppo_megatron_trainer.yaml' data.train_batch_size=8",
            "megatron",
        ),
        ("--config-name=ppo_megatron_trainer data.train_batch_size=8", "megatron"),
        (f"{ACTOR}strategy=my_own", UNKNOWN),
    ],
)
def test_the_training_engine_follows_strategy_engine_and_config(words, backend):
    assert facts(words).value("train.backend") is backend or facts(words).value("train.backend") == backend


def test_parallel_sizes_exist_for_their_back_end_only():
    fsdp = facts(f"{ACTOR}megatron.tensor_model_parallel_size=4")
    assert fsdp.value("train.tp") is None and fsdp.value("train.ulysses_sp") == 1
    megatron = facts(MEGATRON + f"{ACTOR}megatron.tensor_model_parallel_size=4")
    assert megatron.value("train.tp") == 4 and megatron.value("train.ulysses_sp") is None


def test_roles_keep_their_own_sizes_and_the_reference_follows_the_actor():
    run = facts(
        MEGATRON
        + f"{ACTOR}megatron.expert_model_parallel_size=2 {ACTOR}megatron.tensor_model_parallel_size=4 "
        f"{ACTOR}use_kl_loss=True actor_rollout_ref.ref.megatron.expert_model_parallel_size=4"
    )
    assert (run.value("train.ep"), run.value("ref.train.ep")) == (2, 4)
    assert run.value("ref.train.tp") == 4
    assert run.fact("train.tp", "ref").origin.kind == "default"


def test_before_0_7_the_reference_had_sizes_of_its_own():
    words = MEGATRON + f"{ACTOR}use_kl_loss=True {ACTOR}megatron.tensor_model_parallel_size=4"
    old = facts(words, ToldFacts(versions={"verl": "0.6.1"}))
    assert old.value("ref.train.tp") == 1


def test_a_critic_exists_with_gae_only():
    words = "critic.ppo_micro_batch_size_per_gpu=4 algorithm.adv_estimator="
    assert facts(words + "gae").value("critic.batch.micro") == 4
    assert facts(words + "grpo").value("critic.batch.micro") is None


def test_mini_batches_count_prompts_and_steps_count_samples():
    run = facts(
        f"data.train_batch_size=64 {ACTOR}ppo_mini_batch_size=16 actor_rollout_ref.rollout.n=8 "
        "trainer.nnodes=2 trainer.n_gpus_per_node=8"
    )
    assert run.value("batch.mini_prompts") == 16
    assert run.value("batch.global") == 128
    assert run.value("batch.samples_per_rollout") == 512
    assert run.value("batch.steps_per_rollout") == 4
    assert run.value("batch.samples_per_rank") == 8
    assert run.fact("batch.global").origin.inputs == (
        ("policy", "batch.mini_prompts"),
        ("policy", "batch.n_samples"),
    )


def test_lengths_give_the_least_token_budget():
    run = facts(
        f"data.max_prompt_length=1024 data.max_response_length=7168 {ACTOR}ulysses_sequence_parallel_size=4"
    )
    assert run.value("batch.longest_sample") == 8192
    assert run.value("batch.min_tokens_per_gpu") == 2048
    assert run.value("batch.max_tokens_logprob") == run.value("batch.max_tokens_per_gpu") == 16384


def test_units_are_bytes_and_seconds():
    key = "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes"
    assert facts(f"{key}=512").value("sync.bucket") == 512 * 2**20


def test_v1_nccl_timeout_counts_until_0_8_and_the_key_tells_no_release():
    words = "actor_rollout_ref.nccl_timeout=3600"
    assert facts(words).value("version.verl") == "0.9"
    assert facts(words).value("dist.timeout") == 600
    assert facts(words).row("dist.timeout") is None
    old = facts(words, ToldFacts(versions={"verl": "0.7.1"}))
    assert (
        old.value("dist.timeout") == 3600 and old.row("dist.timeout").key == "actor_rollout_ref.nccl_timeout"
    )


def test_an_old_key_tells_an_old_release():
    run = facts(f"'{ACTOR}checkpoint.contents=[model,optimizer]'")
    assert run.value("version.verl") == "0.3"
    assert run.value("ckpt.save_contents") == ["model", "optimizer"]
    assert run.fact("batch.ppo_epochs").assumes == ("verl 0.3 (newest that the keys seen allow)",)


@pytest.mark.parametrize(
    ("version", "eager", "executor", "max_seqs"),
    [("0.5", True, "external", 1024), ("0.7", False, "mp", 1024), ("0.9", False, "mp", 256)],
)
def test_c4_defaults_follow_the_release(version, eager, executor, max_seqs):
    run = facts("actor_rollout_ref.rollout.name=vllm", ToldFacts(versions={"verl": version}))
    assert run.value("rollout.eager") is eager
    assert run.value("rollout.executor") == executor
    assert run.value("rollout.max_seqs") == max_seqs


def test_c4_an_executor_in_the_engine_arguments_counts():
    key = "+actor_rollout_ref.rollout.engine_kwargs.vllm.distributed_executor_backend"
    assert facts(f"actor_rollout_ref.rollout.name=vllm {key}=ray").value("rollout.executor") == "ray"


def test_v4_the_optimizer_goes_through_dist_checkpointing_whatever_the_model_does():
    assert facts(MEGATRON).value("ckpt.format") == "torch_dist"
    model = f"'{ACTOR}checkpoint.save_contents=[model]' "
    assert facts(MEGATRON + model).value("ckpt.format") == "hf"
    assert facts(MEGATRON + model).value("ckpt.no_save_optim") is True
    through = facts(MEGATRON + model + f"{ACTOR}megatron.use_dist_checkpointing=True")
    assert through.value("ckpt.format") == "torch_dist" and through.value("ckpt.fully_parallel") is True
    assert facts("data.train_batch_size=8").value("ckpt.format") == "fsdp"


def test_sequence_parallelism_needs_more_than_one_tensor_rank():
    assert facts(MEGATRON).value("train.sequence_parallel") is False
    assert facts(MEGATRON).fact("train.sequence_parallel").origin.inputs == (("policy", "train.tp"),)
    two = facts(MEGATRON + f"{ACTOR}megatron.tensor_model_parallel_size=2")
    assert two.value("train.sequence_parallel") is True


def test_separate_rollout_asks_for_gpus_of_its_own():
    run = facts(
        "actor_rollout_ref.hybrid_engine=False trainer.nnodes=1 trainer.n_gpus_per_node=4 "
        "rollout.nnodes=1 rollout.n_gpus_per_node=4",
        program="verl.experimental.fully_async_policy.fully_async_main",
    )
    assert run.value("cluster.colocate") is False
    assert run.value("rollout.gpus") == 4 and run.value("cluster.asked_gpus") == 8
    assert run.value("async.staleness") == 0.1


def test_hydra_forms():
    deleted = facts(f"'~{ACTOR}ppo_epochs' +data.train_batch_size=8")
    assert deleted.value("batch.prompts_per_step") == 8
    twice = facts("data.train_batch_size=8 data.train_batch_size=16")
    assert twice.value("batch.prompts_per_step") == 16


def test_an_interpolation_follows_its_key():
    run = facts(
        "data.max_response_length=2048 'actor_rollout_ref.rollout.max_model_len=${data.max_response_length}'"
    )
    assert run.value("rollout.max_model_len") == 2048
    lost = facts("'actor_rollout_ref.rollout.max_model_len=${oc.env:LEN}'")
    assert lost.value("rollout.max_model_len") is UNKNOWN


def test_s9_step_lines_are_read():
    shape = dialects.log_shape("verl")
    known = {row["metric"] for row in shape["metrics"]}
    assert {"grad_norm", "response_clip_ratio", "reward_mean", "save_time", "memory_allocated"} <= known
    assert {row["format"] for row in shape["configs"]} == {"hydra_overrides", "pprint"}
