"""What ChatLearn works out from its configuration. Places are in chatlearn/ at b7af31a9."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec.structs import replace

from rldoctor.dialects.formulas import FactTable, derived, product, quotient
from rldoctor.types import UNKNOWN, Fact, Role

TORCH_TIMEOUT: Final = 600  # seconds: models/fsdp_module.py calls init_process_group without one


def compute(facts: FactTable) -> Iterable[Fact]:
    """Yield replicas, data parallel sizes, batch arithmetic and what the code sets by itself."""
    yield from _backend_of_template(facts)
    backend = facts.get("train.backend")
    gpus = _gpus(facts)
    if facts.get("train.gpus") is None:
        yield derived("train.gpus", gpus, text="models.policy_trainer.num_gpu is not told")
    yield from (
        _fsdp(facts, gpus) if backend == "fsdp" else _megatron(facts, gpus) if backend == "megatron" else ()
    )
    yield from _placement(facts)
    yield from _rollout(facts)
    yield from _batches(facts)
    coefficient = facts.get("algo.kl_loss_coef")
    used = UNKNOWN if coefficient is UNKNOWN else bool(coefficient)
    # algorithm/grpo_utils: answer tokens of the whole step divide the loss
    yield derived("algo.loss_agg", "token_mean", text="loss over the answer tokens of the step")
    yield derived("log.backends", _trackers(facts), text="runtime_args.log_args_dict")
    yield derived("algo.use_kl_loss", used, ("algo.kl_loss_coef",))


def _trackers(facts: FactTable) -> list[str]:
    on = [facts.raw(f"runtime_args.log_args_dict.enable_{name}") for name in ("wandb", "tensorboard")]
    named = zip(("wandb", "tensorboard"), on, strict=True)
    return ["console", *(name for name, value in named if str(value).lower() == "true")]


def _backend_of_template(facts: FactTable) -> Iterator[Fact]:
    """Take the backend from the name of a template that is not at hand (template/grpo_fsdp.yaml)."""
    template = str(facts.raw("--config-file") or "")
    named = [backend for backend in ("fsdp", "megatron") if backend in template.rpartition("/")[2]]
    if facts.get("train.backend") is None and len(named) == 1:
        fact = derived("train.backend", named[0], text=f"--config-file {template}")
        yield replace(fact, state="assumed", assumes=(f"{template} sets train_backend to {named[0]}",))


def _gpus(facts: FactTable, concept: str = "train.gpus", role: Role = "policy") -> Any:
    """Return a model's GPUs; where only a template tells, they are the trainer's (template/*.yaml)."""
    told = facts.get(concept, role)
    if told is not None:
        return told
    trainer = facts.get("train.gpus")
    return UNKNOWN if trainer is None else trainer


def _fsdp(facts: FactTable, gpus: Any) -> Iterator[Fact]:
    """configs/fsdp_config.py:_post_init_impl, models/fsdp_module.py:model_setup."""
    yield derived("train.fsdp_size", gpus, ("train.gpus",), text="overwritten with num_gpu")
    yield derived(
        "train.dp", quotient(gpus, facts.get("train.ulysses_sp")), ("train.gpus", "train.ulysses_sp")
    )
    reference = _gpus(facts, role="ref")
    sp = facts.get("train.ulysses_sp", "ref")
    yield derived("train.dp", quotient(reference, sp), ("train.gpus", "train.ulysses_sp"), "ref")
    yield derived("train.fsdp_version", 2, text="fully_shard")
    yield derived("train.fsdp_reshard", True, text="reshard_after_forward=True")
    yield derived("model.param_dtype", "fp32", text="the model is cast to float32")
    yield derived("mem.grad_reduce_dtype", "fp32", text="reduce_dtype=torch.float32")
    # gradient_checkpointing is configured and never read
    yield derived("mem.recompute", "full", text="gradient_checkpointing_enable")
    yield derived("dist.timeout", TORCH_TIMEOUT, text="init_process_group without a timeout")
    yield derived("ckpt.format", "fsdp", text="one file a rank by torch.save")
    yield derived("ckpt.dist_checkpointing", False, ("ckpt.format",))


def _megatron(facts: FactTable, gpus: Any) -> Iterator[Fact]:
    """configs/megatron_config.py:MegatronConfig._post_init_impl; the rest is Megatron's validate_args."""
    tp, pp, cp = (facts.get(f"train.{size}") for size in ("tp", "pp", "cp"))
    etp = tp if facts.get("train.etp") is None else facts.get("train.etp")
    yield derived("train.etp", etp, ("train.tp",))
    dp = quotient(gpus, tp, pp, cp)
    yield derived("train.dp", dp, ("train.gpus", "train.tp", "train.pp", "train.cp"))
    edp = quotient(gpus, etp, facts.get("train.ep"), pp)
    yield derived("train.edp", edp, ("train.gpus", "train.etp", "train.ep", "train.pp"))
    yield derived("train.dp", _reference_dp(facts), ("train.gpus", "train.tp", "train.cp"), "ref")
    if tp == 1 and facts.get("train.sequence_parallel") is True:
        yield derived("train.sequence_parallel", False, ("train.tp",))
    yield derived("ckpt.format", "torch_dist", text="Megatron's default")
    yield derived("ckpt.dist_checkpointing", True, ("ckpt.format",))


def _reference_dp(facts: FactTable) -> Any:
    """Return how many ways the reference's data is split: its replicas times their data parallel size."""
    gpus = _gpus(facts, role="ref")
    tp, pp, cp, ep = (facts.get(f"train.{size}", "ref") for size in ("tp", "pp", "cp", "ep"))
    etp = 1 if facts.get("train.etp", "ref") is None else facts.get("train.etp", "ref")
    if UNKNOWN in (gpus, tp, pp, cp, ep, etp):
        return UNKNOWN
    if None in (gpus, tp, pp, cp, ep, etp) or 0 in (tp, pp, cp, ep, etp):
        return None
    replicas = gpus // (math.lcm(tp * cp, etp * ep) * pp)
    return (
        replicas * quotient(gpus, replicas, tp, cp, pp)
        if replicas and gpus % (replicas * tp * cp * pp) == 0
        else None
    )


def _placement(facts: FactTable) -> Iterator[Fact]:
    """schedule/model_manager.py: models of one colocation group share their GPUs."""
    told = facts.raw("runtime_args.colocation")
    untold = told is UNKNOWN or (told is None and facts.raw("--config-file") is not None)
    groups = None if untold else _groups(told)
    if groups is None:
        yield derived("cluster.colocate", UNKNOWN, text="runtime_args.colocation")
        return
    together = any({"policy", "policy_trainer"} <= set(group) for group in groups)
    yield derived("cluster.colocate", together, text="runtime_args.colocation")
    asked = {
        "policy": _gpus(facts, "rollout.gpus"),
        "policy_trainer": _gpus(facts),
        "ref_policy": _gpus(facts, role="ref"),
    }
    inputs = ("train.gpus", "rollout.gpus", "cluster.colocate")
    yield derived("cluster.asked_gpus", _asked(asked, groups), inputs)


def _asked(asked: dict[str, Any], groups: Sequence[Sequence[str]]) -> Any:
    if UNKNOWN in asked.values():
        return UNKNOWN
    shared = {name for group in groups for name in group}
    alone = sum(count or 0 for name, count in asked.items() if name not in shared)
    return alone + sum(max((asked.get(name) or 0 for name in group), default=0) for group in groups)


def _groups(told: Any) -> list[list[str]] | None:
    """Return the colocation groups: one list of names stands for one group (configs/runtime_config.py)."""
    if told is None:
        return []
    innermost = re.findall(r"\[([^\[\]]*)\]", str(told))
    return [re.findall(r"\w+", names) for names in innermost] if innermost else None


def _rollout(facts: FactTable) -> Iterator[Fact]:
    """configs/policy_config.py:PolicyConfig._post_init_impl, models/vllm_module.py:setup_engine."""
    sizes = [facts.get(f"rollout.{size}") for size in ("tp", "ep", "pp")]
    each = product(*sizes)
    gpus = _gpus(facts, "rollout.gpus")
    if facts.get("rollout.gpus") is None:
        yield derived("rollout.gpus", gpus, ("train.gpus",))
    yield derived("rollout.gpus_per_engine", each, ("rollout.tp", "rollout.ep", "rollout.pp"))
    engine = facts.get("rollout.engine")
    if engine == "vllm":
        # distributed_executor_backend="ray"; the hooks of vLLM 0.8.5 always take the compiled graph with V1
        yield derived("rollout.executor", "ray", ("rollout.engine",))


def _batches(facts: FactTable) -> Iterator[Fact]:
    """algorithm/grpo.py:GrpoConfig._validate_impl, configs/runtime_config.py."""
    samples, answers = facts.get("batch.samples_per_episode"), facts.get("batch.n_samples")
    batch = facts.get("batch.global")
    yield derived("batch.samples_per_rollout", samples, ("batch.samples_per_episode",))
    yield derived(
        "batch.prompts_per_step", quotient(samples, answers), ("batch.samples_per_episode", "batch.n_samples")
    )
    yield derived(
        "batch.steps_per_rollout", quotient(samples, batch), ("batch.samples_per_episode", "batch.global")
    )
    yield from _divisors(facts, batch)
    yield derived("batch.logprob_dynamic", facts.get("batch.dynamic"), ("batch.dynamic",))
    yield derived("batch.long_sample", "alone", text="a sample above the budget is told and packed alone")
    yield derived("batch.remove_padding", facts.get("batch.dynamic"), ("batch.dynamic",))
    prompt, answer = facts.get("batch.max_prompt_len"), facts.get("batch.max_response_len")
    longest = (
        UNKNOWN if UNKNOWN in (prompt, answer) else None if None in (prompt, answer) else prompt + answer
    )
    lengths = ("batch.max_prompt_len", "batch.max_response_len")
    for concept in ("batch.max_context_len", "batch.longest_sample"):
        yield derived(concept, longest, lengths)
    # algorithm/grpo_utils/packing_utils.py: the budget counts whole rows, before Ulysses splits them
    yield derived("batch.min_tokens_per_gpu", longest, lengths)
    # algorithm/grpo_utils/policy_trainer.py divides by the answer tokens of the whole step
    yield derived("batch.loss_global_norm", True, text="the loss is normalised over the step")


def _divisors(facts: FactTable, batch: Any) -> Iterator[Fact]:
    """algorithm/grpo.py:GrpoConfig._validate_impl, configs/runtime_config.py:_validate_impl."""
    ranks = facts.get("train.dp")
    parts = [facts.get("batch.n_samples"), ranks, facts.get("train.dp", "ref"), batch]
    known = [part for part in parts if isinstance(part, int) and part > 0]
    inputs = ("batch.n_samples", "train.dp", "batch.global")
    yield derived("batch.sample_divisor", math.lcm(*known) if known else UNKNOWN, inputs)
    yield derived("batch.global_divisor", ranks, ("train.dp",))
