"""Sizes for remedies: a value, None when spent, unknown when something is missing."""

import pytest

from rldoctor import expr, vocabulary
from rldoctor.facts import ToldFacts, sizing, walk
from rldoctor.sources import read_text
from rldoctor.types import UNKNOWN

MAIN = "python3 -m verl.trainer.main_ppo "
ACTOR = "actor_rollout_ref.actor."
MOE = (
    f"{ACTOR}strategy=megatron {ACTOR}megatron.tensor_model_parallel_size=4 "
    "trainer.nnodes=4 trainer.n_gpus_per_node=8 actor_rollout_ref.model.path=Qwen/Qwen3-235B-A22B "
)
FSDP = "actor_rollout_ref.model.path=Qwen/Qwen2.5-7B trainer.n_gpus_per_node=8 "


def size(words, call, **told):
    (facts,) = walk(read_text(MAIN + words + "\n", "run.sh", "shell"), ToldFacts(**told))
    _, name, args, keywords = expr.compile(call)
    return sizing.call(name, facts, args, keywords)


def test_every_function_of_the_vocabulary_that_sizes_is_there():
    named = {name for name, function in vocabulary.load().functions.items() if function.kind == "sizing"}
    assert named == set(sizing.FUNCTIONS)


@pytest.mark.parametrize(
    ("words", "call", "answer"),
    [
        (f"{ACTOR}ppo_micro_batch_size_per_gpu=8", "halve(batch.micro)", 4),
        (f"{ACTOR}ppo_micro_batch_size_per_gpu=1", "halve(batch.micro)", None),
        (f"{ACTOR}ppo_micro_batch_size_per_gpu=8", "halve(batch.micro, floor=5)", None),
        ("trainer.nnodes=1", "halve(batch.micro)", None),
        (f"{ACTOR}ppo_micro_batch_size_per_gpu=$X", "halve(batch.micro)", UNKNOWN),
        ("trainer.nnodes=2", "double(train.nodes)", 4),
        ("trainer.nnodes=2", "double(train.nodes, ceiling=3)", None),
        ("actor_rollout_ref.rollout.gpu_memory_utilization=0.8", "lower_fraction(rollout.mem_fraction)", 0.7),
        (
            "actor_rollout_ref.rollout.gpu_memory_utilization=0.25",
            "lower_fraction(rollout.mem_fraction, step=0.05, floor=0.2)",
            0.2,
        ),
        (
            "actor_rollout_ref.rollout.gpu_memory_utilization=0.2",
            "lower_fraction(rollout.mem_fraction)",
            None,
        ),
        ("trainer.nnodes=5", "power_of_two(train.nodes)", 4),
        ("trainer.nnodes=5", "power_of_two(train.nodes, up=True)", 8),
        ("trainer.nnodes=4", "power_of_two(train.nodes, up=True)", 4),
        ("trainer.nnodes=5", "nonsense(train.nodes)", UNKNOWN),
    ],
)
def test_small_sizes(words, call, answer):
    found = size(words, call)
    assert found is answer if answer is UNKNOWN or answer is None else found == pytest.approx(answer)


LENGTHS = "data.max_prompt_length=1024 data.max_response_length=7168 "


@pytest.mark.parametrize(
    ("budget", "sp", "answer"),
    [(65536, 1, 32768), (9000, 1, 8192), (8192, 1, None), (4096, 1, None), (4096, 4, 2048), (2048, 4, None)],
)
def test_c6_a_token_budget_is_halved_down_to_what_the_longest_sample_needs(budget, sp, answer):
    words = f"{LENGTHS}{ACTOR}ppo_max_token_len_per_gpu={budget} {ACTOR}ulysses_sequence_parallel_size={sp}"
    assert size(words, "lower_tokens(batch.max_tokens_per_gpu)") == answer


@pytest.mark.parametrize(
    ("budget", "answer"), [("20480 --rollout-max-response-len 8192", 8192), ("8192", 4096), ("20480", 10240)]
)
def test_s3_slimes_guide_starts_from_the_longest_answer(budget, answer):
    text = f"python3 train.py --rollout-batch-size 8 --max-tokens-per-gpu {budget}\n"
    (facts,) = walk(read_text(text, "run.sh", "shell"), ToldFacts())
    node = expr.compile("lower_tokens(batch.max_tokens_per_gpu)")
    assert sizing.call(node[1], facts, node[2], node[3]) == answer


def test_c2_a_token_budget_that_is_too_small_is_raised():
    words = f"{LENGTHS}{ACTOR}ppo_max_token_len_per_gpu=4096"
    assert size(words, "raise_tokens(batch.max_tokens_per_gpu)") == 8192
    assert size(LENGTHS, "raise_tokens(batch.max_tokens_per_gpu)") is None


@pytest.mark.parametrize(
    ("ep", "nodes", "call", "answer"),
    [
        (1, 4, "ep_for(experts_per_rank=32)", 4),
        (1, 4, "ep_for(experts_per_rank=16)", 8),
        (2, 4, "ep_for(experts_per_rank=32)", 4),
        (4, 4, "ep_for(experts_per_rank=32)", None),
        (1, 1, "ep_for(experts_per_rank=32)", None),
        (1, 1, "ep_for(experts_per_rank=32, etp=1)", 4),
        (1, 3, "ep_for(experts_per_rank=32, etp=1)", 4),
    ],
)
def test_v1_v9_expert_parallelism_divides_experts_and_world(ep, nodes, call, answer):
    words = MOE + f"{ACTOR}megatron.expert_model_parallel_size={ep} trainer.nnodes={nodes}"
    assert size(words, call) == answer


def test_v8_a_dense_model_needs_no_expert_parallelism():
    assert size(MOE + "actor_rollout_ref.model.path=Qwen/Qwen2.5-32B", "ep_for(experts_per_rank=32)") is None


def test_v1_without_a_world_the_size_is_unknown():
    assert size(MOE + "trainer.nnodes=$N", "ep_for(experts_per_rank=32)") is UNKNOWN


@pytest.mark.parametrize(("now", "answer"), [(1, 2), (2, 4), (4, None)])
def test_c6_ulysses_divides_the_heads_and_stays_on_a_node(now, answer):
    # 28 heads: 8 does not divide them
    assert size(FSDP + f"{ACTOR}ulysses_sequence_parallel_size={now}", "raise_ulysses()") == answer


def test_c6_ulysses_needs_gpus():
    assert (
        size("actor_rollout_ref.model.path=Qwen/Qwen3-8B trainer.n_gpus_per_node=1", "raise_ulysses()")
        is None
    )
    words = "actor_rollout_ref.model.path=/data/x trainer.n_gpus_per_node=8"
    assert size(words, "raise_ulysses()") is UNKNOWN


def test_s3_context_parallelism_fits_the_world():
    assert size(MOE, "raise_cp()") == 2
    assert size(MOE + f"{ACTOR}megatron.context_parallel_size=8", "raise_cp()") is None
    assert size(FSDP, "raise_cp()") is None


def test_s8_an_engine_fills_a_node():
    assert size(FSDP + "actor_rollout_ref.rollout.tensor_model_parallel_size=2", "raise_rollout_tp()") == 4
    assert size(FSDP, "whole_node_engine()") == 8
    assert (
        size(FSDP + "actor_rollout_ref.rollout.tensor_model_parallel_size=8", "whole_node_engine()") is None
    )


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("longer_timeout()", 1260),
        ("longer_timeout(measured=1320)", 2700),
        ("longer_timeout(measured=30)", 1260),
    ],
)
def test_k1_a_timeout_is_longer_than_twice_the_measured_duration(call, answer):
    assert size("actor_rollout_ref.nccl_timeout=600", call, versions={"verl": "0.7"}) == answer


def test_s2_gpus_fit_what_exists():
    words = "trainer.nnodes=1 trainer.n_gpus_per_node=8"
    assert size(words, "gpus_for()", set={"cluster.gpus": "4"}) == 4
    assert size(words, "gpus_for()", set={"cluster.gpus": "8"}) is None


def test_s6_a_micro_batch_divides_the_samples_of_a_rank():
    words = (
        f"{ACTOR}ppo_mini_batch_size=12 actor_rollout_ref.rollout.n=1 trainer.n_gpus_per_node=1 "
        f"{ACTOR}ppo_micro_batch_size_per_gpu="
    )
    assert size(words + "5", "micro_for()") == 4
    assert size(words + "4", "micro_for()") is None


def test_s6_a_global_batch_follows_from_rollout_and_steps():
    text = (
        "python3 train.py --rollout-batch-size 32 --n-samples-per-prompt 8 "
        "--num-steps-per-rollout 2 --global-batch-size 100 --num-rollout 3\n"
    )
    (facts,) = walk(read_text(text, "run.sh", "shell"), ToldFacts())
    node = expr.compile("global_batch_for()")
    assert sizing.call(node[1], facts, node[2], node[3]) == 128


def test_a_role_sizes_its_own_concepts():
    words = f"algorithm.adv_estimator=gae {ACTOR}ppo_micro_batch_size_per_gpu=8 "
    words += "critic.ppo_micro_batch_size_per_gpu=4"
    (facts,) = walk(read_text(MAIN + words + "\n", "run.sh", "shell"), ToldFacts())
    node = expr.compile("halve(batch.micro)")
    assert sizing.call(node[1], facts, node[2], node[3], "critic") == 2
    assert sizing.call(node[1], facts, node[2], node[3], "policy") == 4


def test_s10_what_one_list_has_and_another_lacks():
    words = f"'{ACTOR}checkpoint.save_contents=[model,optimizer]' '{ACTOR}checkpoint.load_contents=[model]'"
    assert size(words, "missing(ckpt.save_contents, ckpt.load_contents)") == ["optimizer"]
    assert size(words, "missing(ckpt.load_contents, ckpt.save_contents)") == []
    assert size(words, "missing(ckpt.save_contents, model.stop_token_ids)") is UNKNOWN
    assert size(words, "missing(ckpt.save_contents, rollout.cuda_graph_bs)") is None


def test_c6_a_system_that_names_no_node_gets_sizes_of_a_usual_one():
    text = (
        "python chatlearn/entrypoint.py grpo runtime_args.train_backend=fsdp "
        "models.policy_trainer.num_gpu=16 models.policy_trainer.load=Qwen/Qwen3-8B "
        "models.policy_trainer.ulysses_sequence_parallel_size={now}\n"
    )
    node = expr.compile("raise_ulysses()")
    for now, answer in ((1, 2), (8, None)):
        (facts,) = walk(read_text(text.format(now=now), "run.sh", "shell"), ToldFacts())
        assert sizing.call(node[1], facts, node[2], node[3]) == answer
