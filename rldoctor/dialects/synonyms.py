"""What a system calls a setting that people name as other systems do, by what both names stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Final

from rldoctor import dialects
from rldoctor.dialects import suggest
from rldoctor.dialects.suggest import Suggestion
from rldoctor.types import Role

_ROLES: Final[dict[str, Role]] = {
    "ref": "ref",
    "ref_policy": "ref",
    "critic": "critic",
    "reward": "rm",
    "reward_model": "rm",
    "rm": "rm",
    "val_kwargs": "eval",
    "eval": "eval",
    "eval_gconfig": "eval",
}
_SAMPLING: Final = frozenset({"rollout", "generation", "sampling", "gconfig", "vllm", "sglang", "engine"})
_PREFIX: Final = re.compile(r"(?:rollout|actor|policy|sglang|vllm|train|training|rl|grpo|ppo|per_device)_")
_UNIT: Final = re.compile(r"_(?:per_gpu|per_device|per_prompt|per_rank|size|num)$")
_OTHERS: Final = """
algo.entropy_coef: entropy_coef entropy_coeff entropy_weight entropy_loss_coef
algo.estimator: estimator advantage_estimator adv_type algorithm advantage
algo.kl_loss_coef: kl_beta beta kl_coef kl_weight init_kl_coef
algo.clip_low: clip_eps epsilon cliprange clip_range eps
algo.clip_high: epsilon_high clip_eps_high cliprange_high clip_higher
algo.loss: loss_mode policy_loss_type
algo.gamma: discount gae_gamma
algo.lam: gae_lambda lambda lambd
batch.max_prompt_len: max_prompt_len max_input_length prompt_max_len max_prompt_tokens
batch.max_response_len: max_response_len max_completion_length generate_max_len max_new_tokens max_gen_len
batch.logprob_micro: micro_batch_size micro_batch_size_per_gpu micro_batch_size_per_device
batch.micro: micro_batch micro_train_batch_size micro_batch_size
batch.micro: micro_batch_size_per_gpu micro_batch_size_per_device
batch.ppo_epochs: num_epochs epochs num_ppo_epochs update_epochs
batch.dynamic: use_dynamic_batch_size dynamic_batch_size use_dynamic_batch dynamic_batching
batch.n_samples: num_samples n_samples group_size num_return_sequences rollout_n samples_per_prompt
batch.prompts_per_step: rollout_batch_size prompts_per_rollout num_prompts_per_step
batch.remove_padding: packing use_packing padding_free sequence_packing
ckpt.keep: max_ckpt_to_keep max_to_keep max_checkpoints keep_last_n save_total_limit
ckpt.load_dir: load_path load_dir load_checkpoint_path resume_from_checkpoint
ckpt.save_dir: checkpoint_dir ckpt_dir ckpt_path save_folder checkpoint_path output_dir
ckpt.save_interval: save_every save_interval_steps save_steps checkpoint_interval checkpoint_freq
cluster.num_cpus: ray_num_cpus
data.filter_overlong: filter_long_prompts filter_too_long
data.prompt_key: prompt_field input_key question_key
data.train: train_path train_dataset prompt_data
data.val: eval_path eval_files eval_data val_data test_file
data.workers: num_workers loader_workers
log.backends: report_to loggers logging
mem.offload_optimizer: offload_optimizer optim_offload optimizer_cpu_offload
mem.offload_param: offload offload_params params_offload param_cpu_offload
mem.recompute: activation_checkpointing enable_activation_checkpointing gradient_checkpointing
model.lora_rank: lora_r lora_dim
model.path: model_path name_or_path model_name_or_path pretrained pretrained_model hf_model_path
optim.clip_grad: max_grad_norm grad_norm_clip max_norm gradient_clipping clip_norm
optim.lr: learning_rate init_lr
optim.warmup: warmup_steps num_warmup_steps lr_warmup_iters
reward.source: reward_fn_path reward_function_path reward_fn reward_function custom_reward_fn reward_func
rollout.engine: engine backend inference_engine rollout_backend
rollout.max_batched_tokens: max_batched_tokens max_tokens_per_batch max_num_tokens
rollout.max_model_len: context_length max_context_len
rollout.max_seqs: max_running_requests max_num_sequences max_concurrent_requests
rollout.mem_fraction: gpu_mem_util gpu_memory mem_fraction memory_fraction gpu_memory_fraction
rollout.temperature: temp
run.epochs: num_epochs total_epoch epochs max_epochs
run.eval_interval: eval_every eval_freq eval_interval_steps validation_freq evaluation_steps
run.name: name exp_name run_name wandb_name
run.project: project wandb_project project_id
run.seed: seed random_seed
run.steps: max_steps num_steps train_steps training_steps
train.cp: cp cp_size context_parallel
train.ep: ep ep_size expert_parallel expert_parallel_size
train.gpus_per_node: world_size num_gpus n_gpus num_gpus_per_node
train.nodes: num_nodes n_nodes node_num
train.pp: pp pp_size pipeline_parallel pipeline_parallel_size
rollout.tp: tp tp_size tensor_parallel tensor_parallel_size
train.tp: tp tp_size tensor_parallel tensor_parallel_size
train.ulysses_sp: sp sp_size ulysses_sp ulysses_size sequence_parallel_size
"""


def nearest(system: str, key: str, known: Sequence[str], taken: Collection[str]) -> Suggestion | None:
    """Return the known key that is most like a key, or that means what other systems call so."""
    sections = {name.rpartition(".")[0] for name in known}
    near = suggest.nearest(key, [name for name in known if name not in sections], taken)
    meant = of(system, key, frozenset(known).__contains__)
    if near is None or meant is None:
        return near or (Suggestion(meant) if meant is not None else None)
    same = near.typo or near.key.rpartition(".")[2] == key.rpartition(".")[2]
    told = _spelled(key, _told()) and _alike(key, meant) >= _alike(key, near.key)
    return Suggestion(meant) if meant != near.key and (told or not same) else near


def of(system: str, key: str, has: Callable[[str], bool]) -> str | None:
    """Return the key of a system for what another's name of a setting means, of those that it ``has``."""
    path = _path(key)
    roles = (_ROLES[part] for part in reversed(path[:-1]) if part in _ROLES)
    role: Role = next(roles, "policy")
    concepts = _spelled(key, _told()) or _spelled(key, _agreed())
    ranked = sorted(concepts, key=lambda concept: -_fits(concept, path))
    keys = [
        name for concept in ranked[:1] for name in _keys(system, concept, role) if name != key and has(name)
    ]
    return max(keys, key=lambda name: _alike(key, name), default=None)


def _path(key: str) -> list[str]:
    path = key.lstrip("-+").lower().replace("-", "_").split(".")
    return path[:-1] if path[-1] == "path" and len(path) > 1 else path


def _fits(concept: str, path: Sequence[str]) -> int:
    """Return how well a concept fits the section that a name stands in."""
    sampling = not _SAMPLING.isdisjoint(path[:-1])
    if concept.startswith("rollout."):
        return 2 if sampling else 0
    if concept.startswith("batch.logprob"):
        return 2 if sampling or "ref" in path else 0
    if concept == "batch.ppo_epochs":
        return 2 if {"actor", "critic"} & set(path) else 0
    return 1


def _spelled(key: str, names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return next((names[name] for name in _spellings(_path(key)[-1]) if name in names), ())


def _spellings(word: str) -> Iterator[str]:
    """Yield a name, and without what says whose it is or of how many it is."""
    yield word
    yield _PREFIX.sub("", word)
    yield _UNIT.sub("", word)


@cache
def _told() -> dict[str, tuple[str, ...]]:
    """Return the concepts that a name written down here stands for."""
    pairs = [line.partition(": ")[::2] for line in _OTHERS.strip().splitlines()]
    names = {name for _, text in pairs for name in text.split()}
    return {name: tuple(concept for concept, text in pairs if name in text.split()) for name in names}


@cache
def _agreed() -> dict[str, tuple[str, ...]]:
    """Return the concept that the tables of all systems agree on for the last word of a key."""
    found: dict[str, set[str]] = {}
    rows = (row for system in dialects.NAMES for row in dialects.load(system).rows)
    for row in (row for row in rows if not row.env and row.part is None):
        for key in row.keys:
            found.setdefault(key.lstrip("-").replace("-", "_").rpartition(".")[2].lower(), set()).add(
                row.concept
            )
    return {name: tuple(concepts) for name, concepts in found.items() if len(concepts) == 1}


def _keys(system: str, concept: str, role: Role) -> list[str]:
    rows = [row for row in dialects.load(system).rows if row.concept == concept and row.part is None]
    return [row.key for row in rows if row.role == role] or [row.key for row in rows if row.role == "policy"]


def _alike(one: str, other: str) -> int:
    """Return how many sections two keys have in common."""
    return len(set(one.split(".")[:-1]) & set(other.split(".")[:-1]))
