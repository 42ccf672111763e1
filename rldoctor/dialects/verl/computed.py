"""What verl works out by itself. Places are in verl/ at 483b8a009 (v0.9.0)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rldoctor.dialects.formulas import FactTable, derived, multiple_of_group, product, quotient
from rldoctor.expr import version_key
from rldoctor.types import UNKNOWN, Fact, Role

TORCH_TIMEOUT: Final = 600
ROLES: Final[tuple[Role, ...]] = ("policy", "ref", "critic")
ONE_LOSS: Final = "0.8"


def compute(facts: FactTable) -> Iterable[Fact]:
    """Yield forced values, GPUs of all pools, formats of checkpoints and how the loss is normalised."""
    yield from _sequence_parallel(facts)
    yield derived("data.chat_template", True, text="utils/dataset/rl_dataset.py applies it always")
    yield from _timeout(facts)
    yield from _checkpoints(facts)
    yield from _reward_pool(facts)
    yield from _divisor(facts)
    # workers/utils/losses.py scales by the whole batch; before the workers were rewritten each
    # micro-batch was averaged on its own
    one = _since(facts, ONE_LOSS)
    # utils/seqlen_balancing.py:rearrange_micro_batches
    yield derived("batch.long_sample", "refused", text="max_token_len must be greater than…")
    if facts.get("cluster.colocate") is True and facts.get("sync.mode") is not None:
        # trainer/ppo/v1/trainer_base.py: checkpoint_engine_config.backend = "naive"
        yield derived("sync.mode", "naive", ("cluster.colocate",))
    yield derived("batch.loss_global_norm", one, ("algo.loss_agg",), text="loss over the global batch")


def _sequence_parallel(facts: FactTable) -> Iterator[Fact]:
    """workers/config/engine.py:McoreEngineConfig.__post_init__."""
    for role in ROLES:
        if facts.get("train.tp", role) == 1 and facts.get("train.sequence_parallel", role) is True:
            yield derived("train.sequence_parallel", False, ("train.tp",), role)


def _timeout(facts: FactTable) -> Iterator[Fact]:
    """workers/engine_workers.py: initialize_global_process_group_ray(timeout_second=None)."""
    if _since(facts, "0.8"):
        yield derived("dist.timeout", TORCH_TIMEOUT, text="default of PyTorch, verl sets none")


def _checkpoints(facts: FactTable) -> Iterator[Fact]:
    """utils/checkpoint/{fsdp,megatron}_checkpoint_manager.py, utils/megatron/dist_checkpointing.py."""
    yield from _checkpoint(facts, "policy")
    yield from _checkpoint(facts, "critic")


def _checkpoint(facts: FactTable, role: Role) -> Iterator[Fact]:
    backend, contents = facts.get("train.backend"), facts.get("ckpt.save_contents", role)
    if contents is UNKNOWN or backend is UNKNOWN:
        yield derived("ckpt.format", UNKNOWN, ("ckpt.save_contents",), role)
        return
    saves_optimizer = contents is None or "optimizer" in contents
    yield derived("ckpt.no_save_optim", not saves_optimizer, ("ckpt.save_contents",), role)
    if backend == "fsdp":
        yield derived("ckpt.format", "fsdp", (("policy", "train.backend"),), role)
    if backend != "megatron":
        return
    through = facts.get("ckpt.dist_checkpointing", role)
    inputs = ("ckpt.dist_checkpointing", "ckpt.save_contents")
    if facts.get("train.megatron_fsdp", role) is True:
        yield derived("ckpt.format", "fsdp_dtensor", ("train.megatron_fsdp",), role)
        return
    if through is UNKNOWN:
        yield derived("ckpt.format", UNKNOWN, inputs, role)
    elif through or saves_optimizer or (contents is not None and "extra" in contents):
        yield derived("ckpt.format", "torch_dist", inputs, role)
        yield derived("ckpt.fully_parallel", True, text="FullyParallelSaveStrategyWrapper", role=role)
    else:
        yield derived("ckpt.format", "hf", inputs, role)


def _reward_pool(facts: FactTable) -> Iterator[Fact]:
    """trainer/ppo/utils.py and trainer/main_ppo.py: a pool of its own, else the actor's GPUs."""
    if facts.get("reward.model") is not True:
        return
    own = facts.raw("reward.reward_model.enable_resource_pool")
    if own is None:
        own = facts.raw("reward_model.enable_resource_pool")
    if str(own).lower() != "true":
        return
    extra = product(facts.get("train.nodes", "rm"), facts.get("train.gpus_per_node", "rm"))
    shared = product(facts.get("train.nodes"), facts.get("train.gpus_per_node"))
    total: Any = UNKNOWN if UNKNOWN in (extra, shared) else (extra or 0) + (shared or 0)
    inputs: list[str | tuple[Role, str]] = ["train.nodes", "train.gpus_per_node", ("rm", "train.nodes")]
    yield derived("cluster.asked_gpus", total, inputs)


def _since(facts: FactTable, release: str) -> bool:
    return facts.version is None or version_key(facts.version) >= version_key(release)


def _divisor(facts: FactTable) -> Iterator[Fact]:
    """utils/config.py:validate_config; protocol.py:DataProto.chunk holds for dynamic batches, too."""
    world = product(facts.get("train.nodes"), facts.get("train.gpus_per_node"))
    split = (facts.get(f"train.{size}") for size in ("tp", "pp", "cp", "ulysses_sp"))
    ranks = quotient(world, *(1 if size is None else size for size in split))
    dynamic, micro = facts.get("batch.dynamic"), facts.get("batch.micro")
    if UNKNOWN in (world, ranks, dynamic):
        divisor = UNKNOWN
    elif dynamic:
        divisor = ranks
    else:
        megatron = facts.get("train.backend") == "megatron"
        divisor = product(ranks, 1 if micro is None else micro) if megatron else world
    inputs = ("train.nodes", "train.gpus_per_node", "batch.dynamic", "batch.n_samples")
    prompts = multiple_of_group(divisor, facts.get("batch.n_samples"))
    yield derived("batch.sample_divisor", divisor, inputs)
    yield derived("batch.prompt_divisor", prompts, inputs)
