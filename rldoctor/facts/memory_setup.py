"""From facts to the setup that the memory model reads: the one place that knows both."""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.facts import memory_checks
from rldoctor.facts.heads import head_of
from rldoctor.facts.memory_engine import rollout_of
from rldoctor.facts.memory_kernels import BYTES, MEGATRON, NATIVE, kernels_of
from rldoctor.facts.memory_reader import Reader
from rldoctor.facts.memory_shape import lacking, shape_of
from rldoctor.facts.memory_stages import pieces, virtual
from rldoctor.facts.spoken import count, spoken
from rldoctor.facts.walk import Facts
from rldoctor.memory.layout import (
    Batch,
    Granularity,
    Lora,
    Offload,
    Others,
    Parallel,
    Recompute,
    Setup,
    States,
)
from rldoctor.memory.states import moments
from rldoctor.models import Shape

MOMENTS: Final = {
    "bf16": 2.0,
    "bfloat16": 2.0,
    "fp16": 2.0,
    "float16": 2.0,
    "half": 2.0,
    "fp8": 1.0,
    "uint8": 1.0,
}
BUCKETS: Final = {"areal": 2**30}
"""Bytes sent at once where no setting tells them: WeightUpdateMeta.weight_chunked_mem_mb of AReaL."""
SCHEMES: Final = {"no_shard": "ddp", "optim": "zero1", "optim_grads": "zero2", "optim_grads_params": "zero3"}
MICRO_BATCHES: Final = 2
"""Micro-batches of a step where nobody tells: gradients are then there when the second one starts."""


class Sized(Struct, frozen=True):
    """A setup, or what it lacks.

    ``lacks`` stops an estimate, ``unknown`` only leaves parts out, ``wrong`` is what no run can have.
    """

    setup: Setup | None
    lacks: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


def sized(facts: Facts) -> Sized:
    """Return the setup of a run as far as its facts go."""
    wrong = tuple(memory_checks.sizes(facts))
    if wrong:
        return Sized(None, wrong=wrong)
    reader = Reader(facts)
    shape = shape_of(facts, "policy")
    lacks = [] if shape is not None else lacking(facts)
    if not reader.count("train.world_size", 0) and not _all_gpus(facts):
        lacks.append("train.world_size")
    batch = batch_of(reader)
    if batch is None:
        lacks += [name for name in _of_batch(reader) if reader.get(name) is None]
    if shape is None or "train.world_size" in lacks:
        return Sized(None, tuple(dict.fromkeys(lacks)), tuple(reader.missing))
    setup = _setup(reader, shape, batch)
    wrong = tuple(memory_checks.layout(setup))
    if wrong:
        return Sized(None, wrong=wrong)
    return Sized(setup, tuple(dict.fromkeys(lacks)), tuple(reader.missing))


def _all_gpus(facts: Facts) -> int:
    """Return the GPUs that exist: all of them train where nobody says how many."""
    found = facts.value("cluster.gpus")
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def _setup(reader: Reader, shape: Shape, batch: Batch | None) -> Setup:
    megatron = reader.get("train.backend") in MEGATRON
    own = replace(shape, vocab_size=_padded(shape.vocab_size, reader)) if megatron else shape
    return Setup(
        shape=own,
        parallel=parallel_of(reader, own),
        states=states_of(reader, own),
        batch=batch,
        logprob_tokens=_logprob_tokens(reader, batch),
        recompute=recompute_of(reader),
        head=head_of(reader.facts, reader.role),
        kernels=kernels_of(reader, own),
        lora=_lora(reader),
        rollout=rollout_of(reader, own) if reader.role == "policy" else None,
        offload=Offload(
            params=reader.is_on("mem.offload_param"),
            grads=reader.is_on("mem.offload_grad") or reader.is_on("mem.offload_param"),
            optimizer=reader.is_on("mem.offload_optimizer") or _is_paused(reader),
        ),
        others=_others(reader) if reader.role == "policy" else Others(),
        sync_bucket=reader.count("sync.bucket", 0) or BUCKETS.get(str(reader.facts.system)),
        on_cpu=reader.facts.system == "trainer_core" and reader.get("cluster.worker_memory_gib") is not None,
        gpu_gib=_gpu(reader),
        expandable=reader.is_on("mem.expandable_segments"),
        unknown=tuple(reader.missing),
    )


def _is_paused(reader: Reader) -> bool:
    """Return whether all of the trainer is paused while others work, as slime's memory saver does."""
    return reader.facts.system == "slime" and reader.is_on("mem.offload_param")


def _gpu(reader: Reader) -> float | None:
    """Return a GPU's memory; a limit on a rank's memory stands in for it on CPU."""
    for concept in ("cluster.worker_memory_gib", "cluster.gpu_memory_gib"):
        value = reader.get(concept)
        if isinstance(value, int | float) and value > 0:
            return float(value)
    return None


def _padded(vocab: int, reader: Reader) -> int:
    """Return the vocabulary as Megatron pads it: to a multiple of 128 × tp."""
    unit = 128 * reader.count("train.tp")
    return math.ceil(vocab / unit) * unit


def parallel_of(reader: Reader, shape: Shape) -> Parallel:
    """Return how the ranks share the model."""
    tp, shard = reader.count("train.tp"), reader.get("train.fsdp_size")
    pp = reader.count("train.pp")
    vpp = virtual(reader.facts, reader.role, pp, shape.num_layers)
    own = pieces(reader.facts, reader.role, (pp, vpp), shape.num_layers)
    vpp = len(own) // pp if own else (vpp if shape.num_layers % (pp * vpp) == 0 else 1)
    return Parallel(
        world=_world(reader),
        tp=tp,
        pp=pp,
        vpp=vpp,
        cp=reader.count("train.cp"),
        ulysses=reader.count("train.ulysses_sp"),
        ep=reader.count("train.ep"),
        etp=reader.count("train.etp"),
        sequence_parallel=reader.is_on("train.sequence_parallel") and tp > 1,
        shard=shard if isinstance(shard, int) and shard > 0 else 0,
        pieces=own,
        instances=count(spoken(reader.facts, "num_distributed_optimizer_instances", reader.role)) or 1,
    )


def _world(reader: Reader) -> int:
    told = reader.count("train.world_size", 0)
    if not told:
        reader.missing["train.world_size"] = None
    return told or max(1, _all_gpus(reader.facts))


def states_of(reader: Reader, shape: Shape) -> States:
    """Return how parameters, gradients and optimizer state are kept."""
    backend = reader.get("train.backend")
    reduce = BYTES.get(reader.get("mem.grad_reduce_dtype") or "fp32", 4.0)
    optimizer = str(reader.get("optim.type") or "adam").lower()
    if backend in MEGATRON:
        return _megatron_states(reader, reduce, optimizer, shape)
    # what nobody tells is what every torch trainer of these systems does: an fp32 master for Adam
    master = BYTES.get(reader.get("model.param_dtype") or "fp32", 4.0)
    computed = BYTES.get(reader.get("train.compute_dtype") or "bf16", 2.0)
    return States(
        scheme="fsdp",
        master=master,
        grad=master,
        moments=moments(optimizer, master, shape),
        gathered=min(master, computed),
        reduce=reduce,
        foreach="8bit" not in optimizer,
        quantized="8bit" in optimizer,
        reshard=reader.get("train.fsdp_reshard") is not False,
        # FSDP 1 keeps one flat parameter of all that is in no layer
        root_ends=reader.get("train.fsdp_version") == 1,
        on_host=1.0 if reader.is_on("mem.cpu_optimizer") else 0.0,
        away=_lives_on_host(reader),
    )


def _megatron_states(reader: Reader, reduce: float, optimizer: str, shape: Shape) -> States:
    aware = reader.is_on("mem.precision_aware_opt")
    sharding = reader.get("train.sharding")
    full = reader.is_on("train.megatron_fsdp") or reader.is_on("train.torch_fsdp2")
    sharded = reader.get("train.distributed_optimizer")
    fraction = reader.get("mem.offload_fraction")
    on_host = (1.0 if fraction is None else float(fraction)) if reader.is_on("mem.cpu_optimizer") else 0.0
    scheme = "megatron"
    if full:
        scheme = SCHEMES.get(str(sharding), "zero3")
        scheme = "megatron_fsdp" if scheme == "zero3" else scheme
    return States(
        scheme=scheme,  # type: ignore[arg-type]
        weight=BYTES.get(reader.get("model.param_dtype") or "bf16", 2.0),
        # Transformer Engine keeps the lower half of an fp32 master beside bf16 parameters
        master=2.0 if aware else 4.0,
        grad=reduce,
        moments=_aware_moments(reader) if aware else moments(optimizer, 4.0, shape),
        reduce=reduce,
        shard_optimizer=sharded is not False,
        grad_buffer=not full,
        double_buffer=reader.is_on("train.fsdp_double_buffer") or reader.is_on("train.nccl_ub"),
        fused_wgrad=reader.get("train.grad_accum_fusion") is not False,
        on_host=on_host,
    )


def _lives_on_host(reader: Reader) -> bool:
    """Return whether FSDP2's CPUOffloadPolicy is on: verl's offload_policy, AReaL's fsdp.offload_params."""
    if reader.facts.system == "areal":
        return reader.is_on("mem.cpu_optimizer")
    return str(spoken(reader.facts, "offload_policy", reader.role)).lower() == "true"


def _aware_moments(reader: Reader) -> float:
    """Return bytes of both moments of a precision-aware optimizer: each in a dtype of its own."""
    told = (spoken(reader.facts, f"{name}_dtype", reader.role) for name in ("exp_avg", "exp_avg_sq"))
    return sum(MOMENTS.get(str(dtype).rpartition(".")[2], 4.0) for dtype in told)


def _of_batch(reader: Reader) -> tuple[str, ...]:
    if reader.is_on("batch.dynamic"):
        return ("batch.max_tokens_per_gpu", "batch.longest_sample")
    return ("batch.micro", "batch.longest_sample")


def ways(reader: Reader) -> int:
    """Return over how many ranks one sequence is split."""
    return reader.count("train.cp") * reader.count("train.ulysses_sp")


def batch_of(reader: Reader) -> Batch | None:
    """Return the largest micro-batch: the token budget, never less than the longest sample."""
    longest = reader.count("batch.longest_sample", 0)
    share = reader.count("batch.samples_per_rank", 0)
    if reader.is_on("batch.dynamic"):
        budget = _budget(reader, "batch.max_tokens_per_gpu", longest)
        if not budget:
            return None
        whole = share * longest or None
        tokens = max(min(budget, whole or budget), longest)
        return Batch(tokens, longest or budget, _steps(whole, tokens))
    micro = reader.count("batch.micro", 0)
    if not micro or not longest:
        return None
    micro = min(micro, share or micro)
    return Batch(micro * longest, longest, max(1, share // micro) if share else MICRO_BATCHES)


def _budget(reader: Reader, concept: str, longest: int) -> int:
    """Return the token budget of the ranks that split a sequence.

    Where it has to hold the longest sample whole, however that is split, it is counted before the split.
    """
    budget = reader.count(concept, 0)
    before_the_split = longest and reader.count("batch.min_tokens_per_gpu", 0) >= longest
    return budget if before_the_split else budget * ways(reader)


def _steps(whole: int | None, tokens: int) -> int:
    """Return the micro-batches of a step with so many tokens on a rank."""
    return MICRO_BATCHES if whole is None else max(1, math.ceil(whole / tokens))


def _logprob_tokens(reader: Reader, batch: Batch | None) -> int | None:
    """Return the tokens of a log-probability pass; those of training where it has none of its own."""
    longest = reader.count("batch.longest_sample", 0)
    own = reader.get("batch.logprob_dynamic")
    if own or (own is None and reader.is_on("batch.dynamic") and batch is not None):
        budget = _budget(reader, "batch.max_tokens_logprob", longest)
        return max(budget, longest) if budget else (batch.tokens if batch else None)
    if reader.facts.system == "chatlearn" and reader.get("train.backend") in MEGATRON:
        # grpo_utils/megatron_policy_trainer.py:forward_step splits as training does
        return batch.tokens if batch else None
    micro = reader.count("batch.logprob_micro", 0)
    return micro * longest if micro and longest else None


def recompute_of(reader: Reader) -> Recompute:
    """Return what is recomputed; block recomputation reaches the first layers of each stage."""
    kind: Granularity = reader.get("mem.recompute") or "none"
    modules = reader.get("mem.recompute_modules")
    block = reader.get("mem.recompute_method") == "block"
    names = frozenset(str(name) for name in modules) if isinstance(modules, list) else frozenset()
    by_operators = kind == "selective" and reader.get("train.backend") in NATIVE
    return Recompute(
        kind=kind,
        alternate_matmuls=by_operators,
        modules=names or (frozenset({"core_attn"}) if kind == "selective" else frozenset()),
        layers=reader.count("mem.recompute_layers", 0) or None if block else None,
        offload=reader.is_on("mem.activation_offload") and kind == "full",
    )


def _lora(reader: Reader) -> Lora | None:
    rank = reader.count("model.lora_rank", 0)
    usual = "bf16" if reader.get("train.backend") in MEGATRON else "fp32"
    base = BYTES.get(reader.get("model.param_dtype") or usual, 4.0)
    return Lora(rank=rank, base=base) if rank else None


def _others(reader: Reader) -> Others:
    roles = reader.facts.roles
    critic = None
    if "critic" in roles:
        own = Reader(reader.facts, "critic")
        shape = shape_of(reader.facts, "critic") or shape_of(reader.facts, "policy")
        batch = batch_of(own)
        if shape is not None and batch is not None:
            critic = replace(_setup(own, shape, batch), logprob_tokens=None)
    ref = reader.facts.fact("mem.offload_param", "ref").value
    told = reader.facts.fact("model.param_dtype", "ref").value
    size = BYTES.get(told) if isinstance(told, str) else None
    if size is None and reader.facts.system == "verl":
        size = 2.0  # transformer_impl.py: bf16 unless told, for what is never trained
    # with adapters verl's reference is the actor with them switched off (ray_trainer.py: ref_in_actor)
    alone = "ref" in roles and not (reader.facts.system == "verl" and reader.count("model.lora_rank", 0))
    # verl's FSDP engine keeps what it never trains on the host (transformer_impl.py: forward_only)
    away = ref is True or (reader.facts.system == "verl" and reader.get("train.backend") == "fsdp")
    return Others(ref=alone, ref_offload=away, ref_bytes=size, critic=critic)
