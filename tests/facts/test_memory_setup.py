"""From a launch script to the setup that the memory model reads, for each system."""

import pytest

from rldoctor.facts import ToldFacts, walk
from rldoctor.facts.memory_setup import Sized, sized
from rldoctor.memory.layout import Setup
from rldoctor.sources import read_text

VERL = (
    "python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo trainer.n_gpus_per_node=8 "
    "actor_rollout_ref.model.path=Qwen/Qwen3-8B actor_rollout_ref.rollout.name=vllm "
)
LENGTHS = "data.max_prompt_length=1024 data.max_response_length=7168 "
ACTOR = "actor_rollout_ref.actor."
DYNAMIC = f"{ACTOR}use_dynamic_bsz=True {ACTOR}ppo_max_token_len_per_gpu=24576 "
SLIME = (
    "python3 train.py --hf-checkpoint /models/Qwen3-30B-A3B --actor-num-nodes 1 --actor-num-gpus-per-node 8 "
    "--rollout-batch-size 32 --n-samples-per-prompt 8 --global-batch-size 256 "
    "--rollout-max-response-len 8192 --rollout-max-context-len 9216 --use-dynamic-batch-size "
    "--max-tokens-per-gpu 9216 --colocate "
)


def all_of(words: str, **told: str) -> Sized:
    (facts, *_) = walk(read_text(words + "\n", "run.sh", "shell"), ToldFacts(set=told))
    return sized(facts)


def setup(words: str, **told: str) -> Setup:
    found = all_of(words, **told)
    assert found.setup is not None, found
    return found.setup


def test_verl_on_fsdp() -> None:
    found = setup(VERL + LENGTHS + DYNAMIC)
    assert (found.shape.num_layers, found.parallel.world, found.parallel.dp) == (36, 8, 8)
    assert found.batch is not None
    assert (found.batch.tokens, found.batch.seq_len) == (24576, 8192)
    assert (found.states.scheme, found.states.master, found.states.gathered) == ("fsdp", 4.0, 2.0)
    assert found.recompute.kind == "full"
    assert found.head.per_entry == 4.0
    assert found.rollout is not None
    assert (found.rollout.colocated, found.rollout.sleeps) == (True, True)


def test_an_entropy_term_makes_verls_head_dearer() -> None:
    found = setup(VERL + LENGTHS + DYNAMIC + f"{ACTOR}entropy_coeff=0.001")
    assert found.head.per_entry == 14.0
    chunks = setup(VERL + LENGTHS + DYNAMIC + f"{ACTOR}entropy_from_logits_with_chunking=True")
    assert (chunks.head.reading or 0) < (found.head.reading or 0)
    fused = setup(VERL + LENGTHS + DYNAMIC + "actor_rollout_ref.model.use_fused_kernels=True")
    assert fused.head.kind == "fused"


def test_a_budget_holds_the_longest_sample_and_no_more_than_there_is() -> None:
    small = setup(VERL + LENGTHS + f"{ACTOR}use_dynamic_bsz=True {ACTOR}ppo_max_token_len_per_gpu=4096")
    assert small.batch is not None
    assert small.batch.tokens == 8192
    few = setup(
        VERL + LENGTHS + DYNAMIC + f"{ACTOR}ppo_mini_batch_size=8 actor_rollout_ref.rollout.n=2 "
        "data.train_batch_size=8"
    )
    assert few.batch is not None
    assert (few.batch.tokens, few.batch.micro_batches) == (2 * 8192, 1)


def test_a_budget_counts_for_each_rank_that_shares_a_sequence() -> None:
    found = setup(VERL + LENGTHS + DYNAMIC + f"{ACTOR}ulysses_sequence_parallel_size=2")
    assert found.batch is not None
    assert found.batch.tokens == 2 * 24576


def test_padded_micro_batches_are_samples_of_full_length() -> None:
    found = setup(VERL + LENGTHS + f"{ACTOR}ppo_micro_batch_size_per_gpu=4")
    assert found.batch is not None
    assert found.batch.tokens == 4 * 8192


def test_slime_speaks_megatron() -> None:
    found = setup(
        SLIME + "--tensor-model-parallel-size 4 --sequence-parallel --expert-model-parallel-size 8 "
        "--expert-tensor-parallel-size 1 --use-distributed-optimizer --recompute-granularity full"
    )
    split = found.parallel
    assert (split.tp, split.ep, split.etp, split.sequence_parallel, split.edp) == (4, 8, 1, True, 1)
    assert (found.states.weight, found.states.grad_buffer, found.kernels.stack) == (2.0, True, "te")
    assert found.shape.vocab_size % (128 * 4) == 0
    assert found.head.per_entry == 10.0


def test_a_megatron_model_may_be_told_by_its_sizes_alone() -> None:
    words = SLIME.replace("/models/Qwen3-30B-A3B", "/models/unknown") + (
        "--num-layers 36 --hidden-size 2560 --ffn-hidden-size 9728 --num-attention-heads 32 "
        "--group-query-attention --num-query-groups 8 --kv-channels 128 --vocab-size 151936 --swiglu"
    )
    shape = setup(words).shape
    assert (shape.num_layers, shape.num_kv_heads, shape.head_dim) == (36, 8, 128)


def test_trainer_core_computes_in_fp32_and_has_a_limit_for_a_gpu() -> None:
    text = "train: {max_token_in_packing: 512}\ncluster: {worker_memory_limit_gib: 0.5}\nrun: {steps: 3}\n"
    text += "rollout: {max_new_tokens: 8}\n"
    (facts, *_) = walk(read_text(text, "config.yaml", "yaml"), ToldFacts(system="trainer_core"))
    found = sized(facts).setup
    assert found is not None
    assert (found.on_cpu, found.gpu_gib, found.kernels.width, found.states.gathered) == (True, 0.5, 4.0, 4.0)
    assert found.head.kind == "chunked_tokens"
    assert found.shape.exact


def test_what_is_missing_is_named() -> None:
    assert "model.path" in all_of(VERL.replace("Qwen/Qwen3-8B", "$MODEL") + LENGTHS + DYNAMIC).lacks
    assert "batch.micro" in all_of(VERL + LENGTHS).lacks


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"cluster.gpu_memory_gib": "-80"}, "cluster.gpu_memory_gib is -80"),
        ({"train.ulysses_sp": "5"}, "32 attention heads do not divide by Ulysses 5"),
        ({"batch.max_tokens_per_gpu": "0"}, "batch.max_tokens_per_gpu is 0"),
        ({"model.num_layers": "0"}, "model.num_layers is 0"),
        ({"model.num_kv_heads": "3"}, "do not divide by 3 KV heads"),
        ({"rollout.mem_fraction": "1.4"}, "rollout.mem_fraction is 1.4"),
        ({"train.ulysses_sp": "16"}, "8 ranks are no multiple"),
    ],
)
def test_what_no_run_can_be_gives_no_number(told: dict[str, str], says: str) -> None:
    found = all_of(VERL + LENGTHS + DYNAMIC, **told)
    assert found.setup is None
    assert any(says in text for text in found.wrong)


def test_experts_must_divide() -> None:
    found = all_of(SLIME + "--expert-model-parallel-size 7")
    assert any("128 experts do not divide by ep 7" in text for text in found.wrong)


def test_areal_keeps_half_precision_logits_and_whole_gradients_of_them() -> None:
    text = (
        "experiment_name: a\ntrial_name: b\nallocation_mode: sglang:d4+d4\n"
        "cluster: {n_nodes: 1, n_gpus_per_node: 8}\n"
        "gconfig: {n_samples: 4, max_new_tokens: 1024}\n"
        "actor: {path: Qwen/Qwen3-8B, gradient_checkpointing: true, mb_spec: {max_tokens_per_mb: 10240}}\n"
        "train_dataset: {path: openai/gsm8k, batch_size: 32}\n"
    )
    (facts, *_) = walk(read_text(text, "run.yaml", "yaml"), ToldFacts(system="areal"))
    found = sized(facts).setup
    assert found is not None, sized(facts)
    assert (found.head.per_entry, found.head.reading) == (6.0, 2.0)


def test_one_flat_parameter_holds_embedding_and_head_under_the_first_fsdp() -> None:
    first = setup(VERL + LENGTHS + DYNAMIC + f"{ACTOR}strategy=fsdp")
    second = setup(VERL + LENGTHS + DYNAMIC + f"{ACTOR}strategy=fsdp2")
    assert (first.states.root_ends, second.states.root_ends) == (True, False)


def test_chatlearn_keeps_its_logits_beside_their_log_probabilities() -> None:
    words = (
        "python3 chatlearn/entrypoint.py grpo --config-file template/grpo_fsdp.yaml "
        "runtime_args.train_backend=fsdp models.policy.load=Qwen/Qwen3-8B models.policy_trainer.num_gpu=8 "
        "models.policy_trainer.packing=True models.policy_trainer.max_token_in_packing=32768 "
    )
    plain = setup(words)
    assert (plain.head.per_entry, plain.head.reading) == (8.0, 4.0)
    assert setup(words + "models.policy_trainer.entropy_coef=0.001").head.per_entry == 14.0


def test_with_adapters_the_reference_is_the_actor_itself() -> None:
    words = VERL + LENGTHS + DYNAMIC + f"{ACTOR}use_kl_loss=True "
    assert setup(words).others.ref
    assert not setup(words + "actor_rollout_ref.model.lora_rank=64").others.ref


def test_megatrons_own_engine_has_a_cache_of_a_given_size_and_its_graphs() -> None:
    words = (
        "torchrun --nproc-per-node=8 train_rl.py --perform-rl-step --tensor-model-parallel-size 4 --bf16 "
        "--num-layers 36 --hidden-size 4096 --ffn-hidden-size 12288 --num-attention-heads 32 --swiglu "
        "--kv-channels 128 --group-query-attention --num-query-groups 8 --vocab-size 151936 "
        "--seq-length 1024 --micro-batch-size 1 --global-batch-size 4 --grpo-group-size 2 "
        "--grpo-prompts-per-step 2 --cuda-graph-impl local "
    )
    found = setup(words).rollout
    assert found is not None
    assert (found.engine, found.kv_gib, found.eager, found.graphs) == ("megatron", 40.0, False, 16)
    told = setup(words + "--inference-dynamic-batching-buffer-size-gb 20").rollout
    assert told is not None
    assert told.kv_gib == 20.0
