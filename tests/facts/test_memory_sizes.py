"""Sizes of remedies where the GPU is known: what the memory model says fits."""

from typing import Any

import pytest

from rldoctor import expr
from rldoctor.facts import ToldFacts, sizing, walk
from rldoctor.facts.memory_fit import acting, largest_that_fits, room_of, with_value
from rldoctor.facts.memory_setup import sized
from rldoctor.facts.walk import Facts
from rldoctor.sources import read_text
from rldoctor.types import UNKNOWN

ACTOR = "actor_rollout_ref.actor."
VERL = (
    "python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo trainer.n_gpus_per_node=8 "
    "actor_rollout_ref.model.path=Qwen/Qwen3-8B "
    "data.max_prompt_length=1024 data.max_response_length=7168 data.train_batch_size=512 "
    f"actor_rollout_ref.rollout.n=8 actor_rollout_ref.rollout.name=vllm {ACTOR}ppo_mini_batch_size=256 "
)
DYNAMIC = f"{ACTOR}use_dynamic_bsz=True {ACTOR}ppo_max_token_len_per_gpu=98304 "
LOGPROB = "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=16384 "
GPU = {"cluster.gpu_memory_gib": "79.1"}


def facts(words: str, **told: str) -> Facts:
    (found, *_) = walk(read_text(words + "\n", "run.sh", "shell"), ToldFacts(set=told))
    return found


def size(words: str, call: str, **told: str) -> Any:
    _, name, args, keywords = expr.compile(call)
    return sizing.call(name, facts(words, **told), args, keywords)


def test_a_token_budget_is_the_largest_that_fits() -> None:
    found = size(VERL + DYNAMIC + LOGPROB, "lower_tokens(batch.max_tokens_per_gpu)", **GPU)
    assert 8192 < found < 98304
    assert found % 1024 == 0
    setup = sized(facts(VERL + DYNAMIC + LOGPROB, **GPU)).setup
    assert setup is not None
    assert room_of(with_value(setup, "batch.max_tokens_per_gpu", found), ("train",)) >= 0
    assert room_of(with_value(setup, "batch.max_tokens_per_gpu", found + 1024), ("train",)) < 0


def test_without_a_gpus_size_a_budget_is_what_it_was() -> None:
    words = VERL + DYNAMIC + LOGPROB
    assert size(words, "lower_tokens(batch.max_tokens_per_gpu)") == 98304 // 2


def test_a_budget_that_the_model_holds_for_good_is_halved_all_the_same() -> None:
    words = VERL + DYNAMIC.replace("98304", "16384") + LOGPROB
    assert size(words, "lower_tokens(batch.max_tokens_per_gpu)", **GPU) == 8192


def test_a_budget_never_falls_below_the_longest_sample() -> None:
    words = VERL + DYNAMIC + LOGPROB
    assert size(words, "lower_tokens(batch.max_tokens_per_gpu)", **{"cluster.gpu_memory_gib": "24"}) == 8192


def test_log_probabilities_that_follow_the_budget_count() -> None:
    alone, following = (facts(VERL + DYNAMIC + extra, **GPU) for extra in (LOGPROB, ""))
    found = []
    for each in (alone, following):
        setup = sized(each).setup
        assert setup is not None
        found.append(largest_that_fits(setup, acting(each, "batch.max_tokens_per_gpu", setup)))
    assert found[1] < found[0]


def test_a_micro_batch_fits_and_divides_the_samples_of_a_rank() -> None:
    words = VERL + f"{ACTOR}ppo_micro_batch_size_per_gpu=32 "
    found = size(words, "lower_micro()", **GPU)
    assert 256 * 8 // 8 % found == 0
    assert 1 < found < 16
    assert size(words, "lower_micro()") == 16
    assert size(VERL + f"{ACTOR}ppo_micro_batch_size_per_gpu=1 ", "lower_micro()", **GPU) is None


def test_a_share_of_memory_is_what_the_trainers_states_leave() -> None:
    words = VERL.replace("Qwen3-8B", "Qwen3-32B") + DYNAMIC
    words += "actor_rollout_ref.rollout.gpu_memory_utilization=0.9 "
    call = "lower_fraction(rollout.mem_fraction, step=0.1, floor=0.1)"
    assert size(words, call) == 0.8
    assert size(words, call, **GPU) < 0.6


def test_a_phase_that_does_not_fit_is_told_with_its_arithmetic() -> None:
    words = VERL + DYNAMIC + LOGPROB
    over = size(words, "over_gib('train')", **GPU)
    assert over > 1
    line = size(words, "memory_line('train')", **GPU)
    assert "logits" in line
    assert line.endswith("of 79.1 GiB")
    terms = [float(part.split()[-2]) for part in line.split(" = ")[0].split(" + ")]
    assert sum(terms) == pytest.approx(float(line.split(" = ")[1].split()[0]), abs=0.4)


@pytest.mark.parametrize("call", ["over_gib('train')", "memory_line('train')", "over_gib('rollout')"])
def test_nothing_is_said_where_the_gpu_is_not_known(call: str) -> None:
    assert size(VERL + DYNAMIC, call) is UNKNOWN


def test_a_phase_that_fits_is_not_over() -> None:
    words = VERL + DYNAMIC.replace("98304", "16384") + LOGPROB
    assert size(words, "over_gib('train')", **GPU) == 0
    assert size(words, "over_gib('no such phase')", **GPU) is UNKNOWN


def test_an_impossible_layout_is_not_judged() -> None:
    assert size(VERL + DYNAMIC, "over_gib('train')", **GPU, **{"train.ulysses_sp": "5"}) is UNKNOWN


LONG = VERL.replace("max_response_length=7168", "max_response_length=130048") + (
    f"{ACTOR}ppo_micro_batch_size_per_gpu=1 {ACTOR}ulysses_sequence_parallel_size=1 "
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=1 "
)
MOE = (
    "python3 train.py --hf-checkpoint /models/Qwen3-30B-A3B --actor-num-nodes 2 --actor-num-gpus-per-node 8 "
    "--num-layers 48 --hidden-size 2048 --ffn-hidden-size 6144 --num-attention-heads 32 "
    "--group-query-attention --num-query-groups 4 --kv-channels 128 --vocab-size 151936 --swiglu "
    "--num-experts 128 --moe-ffn-hidden-size 768 --moe-router-topk 8 --untie-embeddings-and-output-weights "
    "--tensor-model-parallel-size 4 --sequence-parallel --use-distributed-optimizer "
    "--expert-model-parallel-size 1 --expert-tensor-parallel-size 1 --recompute-granularity full "
    "--recompute-method uniform --recompute-num-layers 1 --rollout-batch-size 32 --n-samples-per-prompt 8 "
    "--global-batch-size 256 --rollout-max-response-len 8192 --rollout-max-context-len 9216 "
    "--use-dynamic-batch-size --max-tokens-per-gpu 9216 "
)


TIGHT = VERL.replace("Qwen3-8B", "Qwen3-32B") + DYNAMIC + f"{ACTOR}fsdp_config.optimizer_offload=True "
BUCKET = "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=16384 "
LONGER = MOE.replace("response-len 8192", "response-len 260000").replace(
    "context-len 9216", "context-len 262144"
)
LONGER = LONGER.replace("max-tokens-per-gpu 9216", "max-tokens-per-gpu 262144").replace("nodes 2", "nodes 8")
LONGER = LONGER.replace("expert-model-parallel-size 1", "expert-model-parallel-size 8")


def room(words: str, phase: str, changes: dict[str, Any]) -> float:
    setup = sized(facts(words, **GPU).changed(changes)).setup
    assert setup is not None
    return room_of(setup, (phase,))


@pytest.mark.parametrize(
    ("words", "call", "concept", "phase", "whole"),
    [
        (
            VERL + DYNAMIC + LOGPROB,
            "lower_tokens(batch.max_tokens_per_gpu)",
            "batch.max_tokens_per_gpu",
            "train",
            0,
        ),
        (VERL + f"{ACTOR}ppo_micro_batch_size_per_gpu=32 ", "lower_micro()", "batch.micro", "train", 256),
        (
            VERL + DYNAMIC + "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=24 "
            "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=False ",
            "halve(batch.logprob_micro)",
            "batch.logprob_micro",
            "train.logprob",
            512,
        ),
        (
            VERL + f"{ACTOR}ppo_micro_batch_size_per_gpu=32 ",
            "halve(batch.micro)",
            "batch.micro",
            "train",
            256,
        ),
        (TIGHT + BUCKET, "halve(sync.bucket, floor=67108864)", "sync.bucket", "sync", 0),
        (
            TIGHT + "actor_rollout_ref.rollout.gpu_memory_utilization=0.9 ",
            "lower_fraction(rollout.mem_fraction, step=0.1, floor=0.1)",
            "rollout.mem_fraction",
            "rollout",
            0,
        ),
        (LONG, "raise_ulysses()", "train.ulysses_sp", "train", 32),
        (MOE, "raise_ep()", "train.ep", "train", 128),
    ],
)
def test_a_remedys_number_fits_and_divides(
    words: str, call: str, concept: str, phase: str, whole: int
) -> None:
    now = facts(words, **GPU).value(concept)
    assert room(words, phase, {}) < 0
    found = size(words, call, **GPU)
    assert found != now
    assert whole % found == 0
    assert room(words, phase, {concept: found}) >= 0


def test_more_context_ranks_and_the_budget_that_goes_with_them_fit() -> None:
    assert room(LONGER, "train", {}) < 0
    found = size(LONGER, "raise_cp()", **GPU)
    assert 64 // (4 * found) * 4 * found == 64
    changes = {"train.cp": found, "batch.max_tokens_per_gpu": -(-262144 // found)}
    assert room(LONGER, "train", changes) >= 0


def test_a_sequence_is_split_no_further_than_it_must_be() -> None:
    found = size(LONG, "raise_ulysses()", **GPU)
    assert found > 2
    assert room(LONG, "train", {"train.ulysses_sp": found // 2}) < 0
    assert size(LONG, "raise_ulysses()") == 2


def test_experts_are_spread_no_further_than_they_must_be() -> None:
    found = size(MOE, "raise_ep()", **GPU)
    assert room(MOE, "train", {"train.ep": found // 2}) < 0
    assert size(MOE, "raise_ep()") == 2
    assert (
        size(MOE.replace("expert-model-parallel-size 1", "expert-model-parallel-size 16"), "raise_ep()")
        is None
    )


def test_what_no_phase_grows_with_is_halved_and_not_called_too_much() -> None:
    text = (
        "experiment_name: a\ntrial_name: b\nallocation_mode: sglang:d4+d4\n"
        "cluster: {n_nodes: 1, n_gpus_per_node: 8}\nrollout: {max_concurrent_rollouts: 256}\n"
        "actor: {path: Qwen/Qwen3-8B, gradient_checkpointing: true, mb_spec: {max_tokens_per_mb: 10240}}\n"
        "gconfig: {n_samples: 4, max_new_tokens: 1024}\ntrain_dataset: {path: a, batch_size: 32}\n"
    )
    (apart, *_) = walk(read_text(text, "run.yaml", "yaml"), ToldFacts(system="areal", set=GPU))
    _, name, args, keywords = expr.compile("halve(rollout.concurrency)")
    assert sizing.call(name, apart, args, keywords) == 128
