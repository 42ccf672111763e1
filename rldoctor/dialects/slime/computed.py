"""What slime works out from its arguments. Places are in slime/ at 624b824a8."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

from rldoctor.dialects.formulas import FactTable, derived, product, quotient
from rldoctor.dialects.megatron import computed as megatron
from rldoctor.types import UNKNOWN, Fact, Role

SIZES: Final = ("nodes", "gpus_per_node", "gpus", "world_size", "tp", "pp", "vpp", "cp", "ep", "etp", "dp")


def compute(facts: FactTable) -> Iterable[Fact]:
    """Yield GPUs, batch arithmetic, forced values and Megatron's own consequences."""
    world = product(facts.get("train.nodes"), facts.get("train.gpus_per_node"))
    yield derived("train.gpus", world, ("train.nodes", "train.gpus_per_node"))
    policy = list(megatron.sizes(facts, world))
    yield from policy
    yield from _roles(facts, [derived("train.gpus", world), *policy])
    yield from _placement(facts, world)
    yield from _engines(facts, world)
    yield from _batches(facts, world)
    yield from _lengths(facts)
    yield from _forced(facts)
    yield from _served(facts)
    yield from megatron.shape(facts)
    yield from megatron.checkpoints(facts)


def _roles(facts: FactTable, policy: list[Fact]) -> Iterator[Fact]:
    """Reference and critic run on the actor's GPUs, with its sizes (ray/placement_group.py)."""
    values: dict[str, Any] = {fact.concept: fact.value for fact in policy}
    roles: tuple[Role, ...] = ("ref", "critic")
    for role in roles:
        if not _in_play(facts, role):
            continue
        for name in SIZES:
            concept = f"train.{name}"
            value = values.get(concept, facts.get(concept))
            if facts.written(concept, role) is None:
                yield derived(concept, value, (("policy", concept),), role)


def _in_play(facts: FactTable, role: Role) -> bool:
    if role == "critic":
        return bool(facts.get("algo.estimator") == "gae")
    return facts.get("algo.use_kl_loss") is True or facts.get("algo.kl_reward_coef") not in (None, 0, 0.0)


def _placement(facts: FactTable, world: Any) -> Iterator[Fact]:
    """ray/placement_group.py:_get_placement_group_layout, utils/arguments.py:slime_validate_args."""
    colocate, rollout = facts.get("cluster.colocate"), facts.get("rollout.gpus")
    if rollout is None and colocate is True:
        rollout = world
        yield derived("rollout.gpus", world, ("cluster.colocate", "train.gpus"))
    if (
        facts.raw("--debug-train-only") is not None
        or facts.raw("--rollout-external-engine-addrs") is not None
    ):
        asked = world
    elif facts.raw("--debug-rollout-only") is not None:
        asked = rollout
    else:
        asked = _together(colocate, world, rollout)
    yield derived("cluster.asked_gpus", asked, ("cluster.colocate", "train.gpus", "rollout.gpus"))
    if colocate is True:
        yield from _swapped_out(facts)
        # backends/megatron_utils/actor.py: colocated engines get CUDA IPC handles
        yield derived("sync.mode", "ipc", ("cluster.colocate",))


def _together(colocate: Any, train: Any, rollout: Any) -> Any:
    if UNKNOWN in (colocate, train, rollout):
        return UNKNOWN
    if train is None or rollout is None:
        return None
    return max(train, rollout) if colocate else train + rollout


def _swapped_out(facts: FactTable) -> Iterator[Fact]:
    """utils/arguments.py: --colocate turns both offloads on unless they are refused."""
    if facts.raw("--no-offload-train") is None:
        yield derived("mem.offload_param", facts.raw("--release-train") is None, ("cluster.colocate",))
    if facts.raw("--no-offload-rollout") is None:
        yield derived("mem.offload_rollout", True, ("cluster.colocate",))


def _engines(facts: FactTable, world: Any) -> Iterator[Fact]:
    """backends/sglang_utils/arguments.py:validate_args, ray/rollout.py."""
    each, pp = facts.get("rollout.gpus_per_engine"), facts.get("rollout.pp")
    gpus = facts.get("rollout.gpus")
    if gpus is None and facts.get("cluster.colocate") is True:
        gpus = world
    yield derived("rollout.tp", quotient(each, pp), ("rollout.gpus_per_engine", "rollout.pp"))
    node = facts.get("rollout.gpus_per_node")
    if all(isinstance(number, int) and number > 0 for number in (node, each, gpus)):
        a_node = max(1, min(node, gpus) // each)
        yield derived(
            "rollout.engines_per_node", a_node, ("rollout.gpus_per_node", "rollout.gpus_per_engine")
        )
    yield derived("rollout.engine", "sglang", text="slime samples with SGLang servers")
    yield derived("rollout.mode", "async", text="slime samples with SGLang servers")
    ahead = 1 if facts.command.program.endswith("train_async.py") else 0
    yield derived("async.staleness", ahead, text=facts.command.program)


def _batches(facts: FactTable, world: Any) -> Iterator[Fact]:
    """utils/arguments.py:slime_validate_args, utils/dp_schedule.py:build_dp_schedule."""
    samples = product(facts.get("batch.prompts_per_step"), facts.get("batch.n_samples"))
    steps, batch = facts.get("batch.steps_per_rollout"), facts.get("batch.global")
    yield derived("batch.samples_per_rollout", samples, ("batch.prompts_per_step", "batch.n_samples"))
    if batch is None and steps is not None:
        batch = _floor(samples, steps)
        yield derived("batch.global", batch, ("batch.samples_per_rollout", "batch.steps_per_rollout"))
    dp = quotient(world, facts.get("train.tp"), facts.get("train.pp"), facts.get("train.cp"))
    if batch is None:
        # Megatron's validate_args: micro_batch_size * data_parallel_size
        batch = product(facts.get("batch.micro"), dp)
        yield derived("batch.global", batch, ("batch.micro", "train.dp"))
    if facts.get("batch.dynamic") is False:
        # utils/dp_schedule.py: "static path: num_mbs is not a multiple of dp_size * mb_group"
        yield derived(
            "batch.global_divisor", product(facts.get("batch.micro"), dp), ("batch.micro", "train.dp")
        )
    if steps is None:
        # rollouts beyond a whole step are dropped
        yield derived(
            "batch.steps_per_rollout", _floor(samples, batch), ("batch.samples_per_rollout", "batch.global")
        )
    if facts.get("batch.max_tokens_logprob") is None and facts.get("batch.dynamic") is True:
        budget = facts.get("batch.max_tokens_per_gpu")
        yield derived("batch.max_tokens_logprob", budget, ("batch.max_tokens_per_gpu",))
    yield derived("batch.logprob_dynamic", facts.get("batch.dynamic"), ("batch.dynamic",))
    yield derived("batch.long_sample", "alone", text="a sample above the budget is a micro-batch of its own")
    # backends/megatron_utils/loss.py divides by the samples (or tokens) of the whole step
    yield derived("batch.loss_global_norm", True, text="the loss is normalised over the step")


def _lengths(facts: FactTable) -> Iterator[Fact]:
    whole, answer = facts.get("batch.max_context_len"), facts.get("batch.max_response_len")
    prompt = facts.get("batch.max_prompt_len")
    if prompt is None and isinstance(whole, int):
        # "Use args.rollout_max_context_len - 1": at least one token is generated
        prompt = whole - 1
        yield derived("batch.max_prompt_len", prompt, ("batch.max_context_len",))
    longest = whole if whole is not None else _sum(prompt, answer)
    if longest is None:
        longest = UNKNOWN if answer is not None else None
    yield derived(
        "batch.longest_sample",
        longest,
        ("batch.max_context_len", "batch.max_prompt_len", "batch.max_response_len"),
    )
    # docs/en/get_started/qa.md: start with rollout_max_response_len / cp_size
    least = _share(longest if isinstance(longest, int) else answer, facts.get("train.cp"))
    yield derived("batch.min_tokens_per_gpu", least, ("batch.max_response_len", "train.cp"))
    start = _share(answer, facts.get("train.cp"))
    yield derived("batch.start_tokens_per_gpu", start, ("batch.max_response_len", "train.cp"))


def _forced(facts: FactTable) -> Iterator[Fact]:
    """backends/megatron_utils/arguments.py:_set_default_megatron_args and validate_args."""
    table = {fact.concept: fact for fact in megatron.forced(facts)}
    if facts.get("train.backend") == "fsdp":
        table.pop("train.backend", None)
    yield from table.values()
    yield derived("train.distributed_optimizer", True, text="slime always shards the optimizer")
    if table.get("train.sharding") is not None:
        yield derived("train.sharding", "optim", ("train.distributed_optimizer",))
    yield derived("batch.remove_padding", True, text="slime always packs")
    if facts.get("train.moe_dispatcher") == "allgather":
        yield derived("train.moe_dispatcher", "alltoall", ("batch.remove_padding",))
    half = facts.get("model.param_dtype") == "fp16"
    yield derived("model.param_dtype", "fp16" if half else "bf16", text="bf16 unless --fp16")
    if facts.get("algo.clip_high") is None:
        yield derived("algo.clip_high", facts.get("algo.clip_low"), ("algo.clip_low",))
    if facts.get("batch.n_samples") == 1:
        yield derived("algo.adv_norm", False, ("batch.n_samples",))
    weight = facts.get("algo.kl_reward_coef")
    yield derived(
        "algo.use_kl_reward", UNKNOWN if weight is UNKNOWN else bool(weight), ("algo.kl_reward_coef",)
    )
    if facts.get("ckpt.load_dir") is None and facts.get("ckpt.ref_load_dir") is not None:
        # utils/arguments.py: without a checkpoint in --load, --ref-load is loaded
        yield derived("ckpt.load_dir", facts.get("ckpt.ref_load_dir"), ("ckpt.ref_load_dir",))
    if facts.get("algo.estimator") == "gae":
        yield derived("mem.offload_param", True, ("algo.estimator",))
    per_token = facts.get("train.per_token_loss")
    kind = UNKNOWN if per_token is UNKNOWN else "token_mean" if per_token else "sample_mean"
    yield derived("algo.loss_agg", kind, ("train.per_token_loss",))
    if facts.raw("--use-tis") is None:
        yield derived("algo.is_correction", None, text="--use-tis is off")


def _served(facts: FactTable) -> Iterator[Fact]:
    """backends/sglang_utils/arguments.py; utils/tracking_utils.py."""
    chunk = facts.raw("--sglang-chunked-prefill-size")
    chunked = UNKNOWN if chunk is UNKNOWN else str(chunk) != "-1"
    yield derived("rollout.chunked_prefill", chunked, text="--sglang-chunked-prefill-size")
    used = facts.raw("--use-rollout-logprobs") is not None or facts.raw("--use-tis") is not None
    yield derived("rollout.calculate_logprobs", used, text="--use-rollout-logprobs, --use-tis")
    named = (("wandb", "--use-wandb"), ("tensorboard", "--use-tensorboard"))
    trackers = ["console", *(name for name, flag in named if facts.raw(flag) is not None)]
    yield derived("log.backends", trackers, text="--use-wandb, --use-tensorboard")


def _floor(whole: Any, part: Any) -> Any:
    if UNKNOWN in (whole, part):
        return UNKNOWN
    return None if whole is None or not part else whole // part


def _sum(first: Any, second: Any) -> Any:
    if UNKNOWN in (first, second):
        return UNKNOWN
    return None if first is None or second is None else first + second


def _share(tokens: Any, ranks: Any) -> Any:
    if UNKNOWN in (tokens, ranks):
        return UNKNOWN
    return None if tokens is None or not ranks else math.ceil(tokens / ranks)
