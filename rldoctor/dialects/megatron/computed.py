"""What Megatron-LM works out from its arguments. Places are in megatron/ at d98e8a64dd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rldoctor.dialects.formulas import FactTable, derived, product, quotient
from rldoctor.expr import version_key
from rldoctor.types import UNKNOWN, Fact

FORCED_OPTIMIZER: Final = "0.18"  # the first core release that turns the distributed optimizer on by itself


def compute(facts: FactTable) -> Iterable[Fact]:
    """Yield sizes, batch arithmetic, forced values and the shape that missing arguments stand for."""
    world = product(facts.get("train.nodes"), facts.get("train.gpus_per_node"))
    if world is None:
        # the launcher tells; a printed argument list says it too, and where there is neither nobody knows
        printed = _number(facts.raw("--world-size"))
        world = _whole_cluster(facts) if printed is None else printed
    yield derived("train.gpus", world, ("train.nodes", "train.gpus_per_node"))
    yield from sizes(facts, world)
    yield from batches(facts, world)
    yield from forced(facts)
    yield from shape(facts)
    yield from checkpoints(facts)
    if facts.get("algo.estimator") == "grpo":
        yield from _reinforcement(facts, world)
    yield derived("log.backends", _trackers(facts), text="--wandb-project, --tensorboard-dir")


def _whole_cluster(facts: FactTable) -> Any:
    """Return all GPUs of a cluster that somebody told, where no launcher says how many a run has."""
    told = product(facts.get("cluster.nodes"), facts.get("cluster.gpus_per_node"))
    return told if isinstance(told, int) else UNKNOWN


def _reinforcement(facts: FactTable, world: Any) -> Iterator[Fact]:
    """training/arguments.py:validate_args, rl/rl_utils.py: inference runs in the trainer's own ranks."""
    yield derived("rollout.engine", "builtin", ("algo.estimator",))
    yield derived("rollout.mode", "sync", text="inference runs in the trainer's processes")
    yield derived("cluster.colocate", True, text="inference runs on the trainer's GPUs")
    yield derived("rollout.gpus", world, ("train.gpus",))
    for size in ("tp", "pp", "ep"):
        if facts.get(f"rollout.{size}") is None:
            yield derived(f"rollout.{size}", facts.get(f"train.{size}"), (f"train.{size}",))
    weight = facts.get("algo.kl_loss_coef")
    used = UNKNOWN if weight is UNKNOWN else bool(weight)
    yield derived("algo.use_kl_loss", used, ("algo.kl_loss_coef",))
    samples = product(facts.get("batch.prompts_per_step"), facts.get("batch.n_samples"))
    # "grpo_samples_per_iteration = grpo_prompts_per_step * grpo_group_size"
    yield derived("batch.samples_per_rollout", samples, ("batch.prompts_per_step", "batch.n_samples"))
    if facts.get("rollout.concurrency") is None and facts.get("async.partial_rollout") is False:
        yield derived("rollout.concurrency", samples, ("batch.samples_per_rollout",))
    if facts.get("batch.dynamic") is True:
        # rl/sequence_packing_utils.py: a bin is as long as the sequence
        yield derived(
            "batch.max_tokens_per_gpu", facts.get("batch.max_context_len"), ("batch.max_context_len",)
        )


def _trackers(facts: FactTable) -> list[str]:
    named = (("wandb", "--wandb-project"), ("tensorboard", "--tensorboard-dir"))
    return ["console", *(name for name, flag in named if facts.raw(flag) is not None)]


def sizes(facts: FactTable, world: Any) -> Iterator[Fact]:
    """Yield the parallel sizes that follow from the world size."""
    tp, pp, cp = (facts.get(f"train.{size}") for size in ("tp", "pp", "cp"))
    # training/arguments.py:validate_args: `if args.expert_tensor_parallel_size is None`
    etp = tp if facts.get("train.etp") is None else facts.get("train.etp")
    yield derived("train.world_size", world, ("train.gpus",))
    yield derived("train.etp", etp, ("train.tp",))
    # training/arguments.py:validate_args: data_parallel_size = world_size // total_model_size
    dp = quotient(world, tp, pp, cp)
    yield derived("train.dp", dp, ("train.world_size", "train.tp", "train.pp", "train.cp"))
    # core/parallel_state.py:initialize_model_parallel: expert_data_parallel_size
    edp = quotient(world, etp, facts.get("train.ep"), pp)
    yield derived("train.edp", edp, ("train.world_size", "train.etp", "train.ep", "train.pp"))
    yield from _virtual_stages(facts)


def batches(facts: FactTable, world: Any) -> Iterator[Fact]:
    """Yield the batch arithmetic of one optimizer step."""
    micro, batch = facts.get("batch.micro"), facts.get("batch.global")
    dp = quotient(world, facts.get("train.tp"), facts.get("train.pp"), facts.get("train.cp"))
    if batch is None:
        # training/arguments.py:validate_args: global_batch_size = micro_batch_size * data_parallel_size
        batch = product(micro, dp)
        yield derived("batch.global", batch, ("batch.micro", "train.dp"))
    # core/num_microbatches_calculator.py: "global batch size is not divisible by micro batch size times …"
    yield derived("batch.global_divisor", product(micro, dp), ("batch.micro", "train.dp"))
    per_token = facts.get("train.per_token_loss")
    yield derived("batch.loss_global_norm", per_token, ("train.per_token_loss",))


def forced(facts: FactTable) -> Iterator[Fact]:
    """Yield what validate_args sets whatever the arguments say."""
    fsdp = facts.get("train.megatron_fsdp")
    torch_fsdp2 = facts.get("train.torch_fsdp2")
    backend = "megatron_fsdp" if fsdp is True else "fsdp" if torch_fsdp2 is True else "megatron"
    yield derived("train.backend", backend, ("train.megatron_fsdp", "train.torch_fsdp2"))
    if facts.get("train.tp") == 1 and facts.get("train.sequence_parallel") is True:
        # "Disabling sequence parallelism because tensor model parallelism is disabled"
        yield derived("train.sequence_parallel", False, ("train.tp",))
    if fsdp is True:
        yield from _megatron_fsdp(facts)
    else:
        optimizer = facts.get("train.distributed_optimizer")
        strategy = UNKNOWN if optimizer is UNKNOWN else "optim" if optimizer else "no_shard"
        yield derived("train.sharding", strategy, ("train.distributed_optimizer",))
    if facts.get("model.param_dtype") == "fp16" and facts.raw("--loss-scale") is None:
        # "Setting args.check_for_nan_in_loss_and_grad to False since dynamic loss scaling is being used"
        yield derived("optim.nan_check", False, ("model.param_dtype",))


def shape(facts: FactTable) -> Iterator[Fact]:
    """Yield the model numbers that Megatron fills in when their arguments are missing."""
    heads, hidden = facts.get("model.num_heads"), facts.get("model.hidden_size")
    if facts.get("model.num_kv_heads") is None and heads is not None:
        yield derived("model.num_kv_heads", heads, ("model.num_heads",))
    if facts.get("model.head_dim") is None and hidden is not None:
        # training/arguments.py:validate_args: kv_channels = hidden_size // num_attention_heads
        yield derived("model.head_dim", quotient(hidden, heads), ("model.hidden_size", "model.num_heads"))
    width = facts.get("model.ffn_hidden_size")
    if width is None and isinstance(hidden, int):
        # training/arguments.py:validate_args: two thirds of 4h in multiples of 64 with SwiGLU
        width = int(4 * hidden * 2 / 3 / 64) * 64 if facts.raw("--swiglu") is not None else 4 * hidden
        yield derived("model.ffn_hidden_size", width, ("model.hidden_size",))
    if facts.get("model.num_experts") == 0:
        yield derived("model.num_experts", None, text="0 experts are a dense model")
    elif facts.get("model.num_experts") is not None and facts.get("model.moe_ffn") is None:
        # "moe_ffn_hidden_size is not set, using ffn_hidden_size for MoE instead."
        yield derived("model.moe_ffn", width, ("model.ffn_hidden_size",))


def checkpoints(facts: FactTable) -> Iterator[Fact]:
    """Yield whether model and optimizer go through dist_checkpointing."""
    form = facts.get("ckpt.format")
    if form is UNKNOWN:
        return
    dist = form in ("torch_dist", "zarr")
    yield derived("ckpt.dist_checkpointing", dist, ("ckpt.format",))
    yield derived("ckpt.optimizer_format", "dist" if dist else "torch", ("ckpt.format",))


def _megatron_fsdp(facts: FactTable) -> Iterator[Fact]:
    generation = facts.get("train.megatron_fsdp_version")
    core = facts.version if facts.system == "megatron" else None
    new = core is None or version_key(core) >= version_key(FORCED_OPTIMIZER)
    if generation != 2 and new and facts.get("train.distributed_optimizer") is False:
        # "Megatron-FSDP v1 is only compatible with --use-distributed-optimizer."
        yield derived("train.distributed_optimizer", True, ("train.megatron_fsdp",))
    if facts.get("train.nccl_ub") is True:
        # "FSDP double buffer and manual registration is enabled by default when --nccl-ub is enabled!"
        yield derived("train.fsdp_double_buffer", True, ("train.nccl_ub",))


def _virtual_stages(facts: FactTable) -> Iterator[Fact]:
    layers, pp = facts.get("model.num_layers"), facts.get("train.pp")
    stride = _number(facts.raw("--num-layers-per-virtual-pipeline-stage"))
    stages = facts.get("train.vpp")
    if stages is None and stride is not None:
        # training/arguments.py:validate_args: layers of a stage // num_layers_per_virtual_pipeline_stage
        stages = quotient(quotient(layers, pp), stride)
        yield derived("train.vpp", stages, ("model.num_layers", "train.pp"))
    if stages == 1:
        yield derived("train.vpp", None, text="one virtual stage is none")


def _number(word: Any) -> Any:
    if word is None or word is UNKNOWN:
        return word
    return int(word) if str(word).isdigit() else UNKNOWN
