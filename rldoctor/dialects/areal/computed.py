"""What AReaL works out from its configuration. Places are in areal/ at 4aef98d."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rldoctor.dialects.areal.allocation import Component, are_together, gpus, parse
from rldoctor.dialects.areal.parts import part_of
from rldoctor.dialects.formulas import FactTable, derived, product, quotient
from rldoctor.expr import version_key
from rldoctor.types import UNKNOWN, Fact, Role

TIMEOUT: Final = 7200  # utils/constants.py:DIST_GROUP_DEFAULT_TIMEOUT, the same since v0.3.1
ENGINES: Final = ("actor", "rollout", "critic", "ref", "teacher")
CHECKED: Final = "0.4"  # before, a loader took the whole part of its share
TRACKERS: Final = ("wandb", "swanlab", "trackio")


def compute(facts: FactTable) -> Iterable[Fact]:
    """Yield GPUs of all engines, batch arithmetic, lengths and what the code sets by itself."""
    yield from _older(facts)
    yield from _roles(facts)
    yield from _placement(facts)
    yield from _engines(facts)
    yield from _batches(facts)
    yield from _lengths(facts)
    yield from _algorithm(facts)
    yield from _trainer(facts)
    yield from _rollout(facts)
    yield derived("log.backends", _trackers(facts), text="stats_logger")


def _roles(facts: FactTable) -> Iterator[Fact]:
    """Before 1.0.3 one string gave the sizes of all that trains; engines without one follow the actor."""
    roles: tuple[Role, ...] = ("ref", "critic")
    for role in roles:
        if (own := _named(facts, role)) is not None:
            yield from _sizes(own, "train", role)
        elif facts.get("train.backend", role) is None:
            for name in ("backend", "gpus", "tp", "pp", "cp", "ulysses_sp", "ep", "etp"):
                concept = f"train.{name}"
                yield derived(concept, facts.get(concept), (("policy", concept),), role)


def _older(facts: FactTable) -> Iterator[Fact]:
    """The one string of older releases, which newer launchers still read: infra/launcher/local.py:295."""
    text = facts.raw("allocation_mode")
    if (
        facts.get("train.gpus") is not None
        or facts.get("rollout.gpus") is not None
        or not isinstance(text, str)
    ):
        return
    for group in ("train", "rollout"):
        wanted = (each for each in parse(text) or () if (each.engine is None) is (group == "train"))
        part = next(wanted, None)
        if part is not None:
            yield from _sizes(part, group)


def _sizes(part: Component, group: str, role: Role = "policy") -> Iterator[Fact]:
    """Yield the sizes of a component as facts of what trains, or of what samples."""
    split = "cp" if part.trainer == "megatron" else "ulysses_sp"
    fields = {"gpus": "world", "tp": "tp", "pp": "pp"}
    fields |= {"backend": "backend", split: "cp", "ep": "ep"} if group == "train" else {"engine": "engine"}
    for name, field in fields.items():
        yield derived(f"{group}.{name}", part_of(part, field), text="allocation_mode", role=role)


def _named(facts: FactTable, name: str) -> Component | None:
    """Return the component that bears a role's name in the one string of older releases."""
    text = facts.raw("allocation_mode")
    components = parse(text) if isinstance(text, str) and facts.raw(f"{name}.backend") is None else None
    return next((part for part in components or () if part.name == name), None)


def _placement(facts: FactTable) -> Iterator[Fact]:
    """trainer/rl_trainer.py:_is_actor_rollout_colocated; api/alloc_mode.py:_AllocationMode.world_size."""
    text = facts.raw("allocation_mode")
    if facts.get("cluster.gpus_per_node") == 0:
        yield derived("cluster.asked_gpus", 0, ("cluster.gpus_per_node",), text="workers on CPUs")
        return
    if facts.raw("actor.backend") is None or (facts.raw("rollout.backend") is None and text):
        components = parse(text) if isinstance(text, str) else None
        if components is not None:
            yield derived("cluster.colocate", are_together(components), text="allocation_mode")
            yield derived("cluster.asked_gpus", gpus(components), text="allocation_mode")
            return
    strategy = tuple(facts.raw(f"actor.scheduling_strategy.{word}") for word in ("type", "target"))
    if strategy == ("colocation", "rollout"):
        yield derived("cluster.colocate", True, text="actor.scheduling_strategy")
    yield derived("cluster.asked_gpus", _together(facts), ("train.gpus", "rollout.gpus"))


def _together(facts: FactTable) -> Any:
    """Return the GPUs of every engine that has its own: one that is colocated has none."""
    total = 0
    for engine in ENGINES:
        text = facts.raw(f"{engine}.backend")
        shares = facts.raw(f"{engine}.scheduling_strategy.type") == "colocation"
        if text is None or shares or (engine == "ref" and facts.get("algo.kl_reward_coef") in (None, 0)):
            continue
        components = parse(text) if isinstance(text, str) else None
        if components is None:
            return UNKNOWN
        total += gpus(components)
    return total or facts.get("train.gpus")


def _engines(facts: FactTable) -> Iterator[Fact]:
    """infra/launcher: d servers of t × p GPUs each."""
    each = product(facts.get("rollout.tp"), facts.get("rollout.pp"))
    yield derived("rollout.gpus_per_engine", each, ("rollout.tp", "rollout.pp"))
    count = quotient(facts.get("rollout.gpus"), each)
    yield derived("rollout.engines", count, ("rollout.gpus", "rollout.gpus_per_engine"))


def _batches(facts: FactTable) -> Iterator[Fact]:
    """trainer/ppo/actor.py: the samples of a rollout in ppo_n_minibatches parts."""
    samples = product(facts.get("batch.prompts_per_step"), facts.get("batch.n_samples"))
    if facts.get("rollout.engine") is None:
        samples = facts.get("batch.prompts_per_step")
        yield derived("batch.global", samples, ("batch.prompts_per_step",))
    else:
        yield derived("batch.samples_per_rollout", samples, ("batch.prompts_per_step", "batch.n_samples"))
        steps = ("batch.samples_per_rollout", "batch.steps_per_rollout")
        yield derived("batch.global", quotient(samples, facts.get("batch.steps_per_rollout")), steps)
    roles: tuple[Role, ...] = ("policy", "critic")
    for role in roles:
        budget = facts.get("batch.max_tokens_per_gpu", role)
        packed = UNKNOWN if budget is UNKNOWN else budget is not None
        yield derived("batch.dynamic", packed, ("batch.max_tokens_per_gpu",), role)
    budget = facts.get("batch.max_tokens_per_gpu")
    yield derived("batch.logprob_dynamic", facts.get("batch.dynamic"), ("batch.max_tokens_per_gpu",))
    yield from _loader(facts)
    yield derived("batch.max_tokens_logprob", budget, ("batch.max_tokens_per_gpu",))
    yield derived("batch.remove_padding", True, text="AReaL always packs")
    # loss_weight_fn counts the answer tokens of the whole step
    yield derived("batch.loss_global_norm", True, text="the loss is normalised over the step")


def _loader(facts: FactTable) -> Iterator[Fact]:
    """utils/dataloader.py: "batch size must be divisible by world_size", that of the data parallel ranks.

    A scheduler makes one controller load all prompts; without one the launcher starts a loader a rank.
    """
    older = facts.version is not None and version_key(facts.version) < version_key(CHECKED)
    if older or facts.raw("scheduler.type") in ("local", "ray", "slurm"):
        return
    split = (facts.get(f"train.{size}") for size in ("tp", "pp", "cp", "ulysses_sp"))
    ranks = quotient(facts.get("train.gpus"), *(1 if size is None else size for size in split))
    yield derived("batch.prompt_divisor", ranks, ("train.gpus", "train.tp", "train.pp", "train.cp"))


def _lengths(facts: FactTable) -> Iterator[Fact]:
    """utils/seqpack.py:ffd_allocate refuses a sequence above the budget, whatever ranks it is split over."""
    prompt, answer = facts.get("batch.max_prompt_len"), facts.get("batch.max_response_len")
    whole, window = facts.get("batch.max_context_len"), facts.get("rollout.max_model_len")
    longest = _longest(prompt, answer, whole, window)
    lengths = ("batch.max_prompt_len", "batch.max_response_len", "batch.max_context_len")
    if facts.get("rollout.engine") is None:
        longest = UNKNOWN if prompt is None else prompt
    yield derived("batch.longest_sample", longest, lengths)
    yield derived("batch.min_tokens_per_gpu", longest, lengths)
    # docs/en/best_practices/handling_oom.md: set it to its minimum
    yield derived("batch.start_tokens_per_gpu", longest, lengths)
    yield derived("batch.long_sample", "refused", text="Values […] is larger than capacity")


def _longest(prompt: Any, answer: Any, *limits: Any) -> Any:
    """Return prompt and answer, at most what gconfig.max_tokens and the engine allow.

    Prompts without a limit are of unknown length.
    """
    if prompt is None or answer is None or UNKNOWN in (prompt, answer, *limits):
        return UNKNOWN
    return min([prompt + answer, *(limit for limit in limits if limit)])


def _algorithm(facts: FactTable) -> Iterator[Fact]:
    estimator = facts.get("algo.estimator")
    if estimator == "grpo" and facts.raw("actor.reward_norm.mean_leave1out") is True:
        yield derived("algo.estimator", "rloo", text="actor.reward_norm.mean_leave1out")
    elif estimator == "grpo" and facts.raw("actor.importance_sampling_level") == "sequence":
        yield derived("algo.estimator", "gspo", text="actor.importance_sampling_level")
    elif facts.get("rollout.engine") is None:
        yield derived("algo.estimator", "none", ("rollout.engine",))
    weight = facts.get("algo.kl_reward_coef")
    used = UNKNOWN if weight is UNKNOWN else bool(weight)
    yield derived("algo.use_kl_reward", used, ("algo.kl_reward_coef",))
    yield derived("algo.loss_agg", "token_mean", text="loss over the answer tokens of the step")
    if facts.raw("actor.use_sapo_loss") is True:
        yield derived("algo.loss", "sapo", text="actor.use_sapo_loss")


def _trainer(facts: FactTable) -> Iterator[Fact]:
    """engine/{fsdp,megatron}_engine.py, utils/recover.py."""
    backend = facts.get("train.backend")
    yield derived("dist.timeout", TIMEOUT, text="DIST_GROUP_DEFAULT_TIMEOUT")
    if facts.raw("actor.use_lora") in (None, False):
        yield derived("model.lora_rank", 0, text="actor.use_lora is off")
    if facts.raw("memory_profiler.profile_steps") is not None:
        yield derived("log.memory", True, text="memory_profiler")
    if backend == "fsdp":
        yield derived("train.fsdp_version", 2, text="fully_shard")
        yield derived("train.fsdp_reshard", True, text="reshard_after_forward")
        yield derived("ckpt.format", "torch_dcp", text="recover checkpoints")
    elif backend == "megatron":
        yield from _megatron(facts)
    elif backend == "archon" and facts.get("mem.recompute") == "full":
        mode = facts.raw("actor.archon.ac_mode") or "selective"
        kept = {"none": "none", "full": "full", "selective": "selective"}.get(str(mode), UNKNOWN)
        yield derived("mem.recompute", kept, text=f"actor.archon.ac_mode={mode}")


def _megatron(facts: FactTable) -> Iterator[Fact]:
    tensor, stages = facts.get("train.tp"), facts.get("train.vpp")
    on = UNKNOWN if tensor is UNKNOWN else bool(tensor and tensor > 1)
    yield derived("train.sequence_parallel", on, ("train.tp",))
    yield derived("ckpt.format", "torch_dist", text="recover checkpoints")
    yield derived("ckpt.bridge", True, text="actor.megatron.bridge_type")
    # engine/megatron_utils/pipeline_parallel.py:configure_pipeline_layer_splits
    yield derived("train.stage_layout", "own", text="AReaL lays the stages out by itself")
    if stages == 1:
        yield derived("train.vpp", None, text="one virtual stage is none")
    if facts.get("mem.recompute") == "full":
        grain = facts.raw("actor.megatron.recompute_granularity") or "full"
        yield derived("mem.recompute", grain, text=f"actor.megatron.recompute_granularity={grain}")


def _rollout(facts: FactTable) -> Iterator[Fact]:
    if facts.get("rollout.engine") is None:
        return
    if facts.get("rollout.concurrency") is None:
        # infra/staleness_manager.py: as many as are consumed in a step
        consumed = facts.raw("rollout.consumer_batch_size")
        yield derived("rollout.concurrency", 1 if consumed is None else consumed, text="consumer_batch_size")
    chunk = facts.raw("sglang.chunked_prefill_size")
    if facts.get("rollout.engine") == "sglang":
        chunked = UNKNOWN if chunk is UNKNOWN else chunk not in (None, -1, "-1")
        yield derived("rollout.chunked_prefill", chunked, text="sglang.chunked_prefill_size")
    yield derived("rollout.mode", "async", text="AReaL samples with servers")
    yield derived("rollout.calculate_logprobs", True, text="servers return log-probabilities")
    yield derived("async.partial_rollout", True, text="answers go on after a weight update")
    yield derived("sync.interval", 1, text="weights are updated after each step")
    if facts.get("cluster.colocate") is True:
        for concept in ("mem.offload_param", "mem.offload_optimizer", "mem.offload_rollout"):
            yield derived(concept, True, ("cluster.colocate",))


def _trackers(facts: FactTable) -> list[str]:
    found = [name for name in TRACKERS if facts.raw(f"stats_logger.{name}.mode") not in (None, "disabled")]
    board = ["tensorboard"] if facts.raw("stats_logger.tensorboard.path") is not None else []
    return ["console", *found, *board]
