"""From raw Megatron-LM arguments, as its functional tests hold them, to a setup."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from rldoctor.facts.memory_stages import of_layout
from rldoctor.memory.layout import Batch, Head, Kernels, Parallel, Recompute, Rollout, Setup, States
from rldoctor.memory.states import moments
from rldoctor.models import Shape
from rldoctor.models.megatron import shape_of

SCHEMES = {"no_shard": "ddp", "optim": "zero1", "optim_grads": "zero2"}


def setup_of_arguments(settings: Mapping[str, Any]) -> Setup:
    """Return the setup of Megatron-LM arguments; the writer of its peaks is the last rank."""
    args = settings["megatron_args"]
    parallel = parallel_of(args, settings)
    return Setup(
        shape=shape_of(args, parallel.tp),
        parallel=parallel,
        states=states_of(args, shape_of(args, parallel.tp)),
        batch=batch_of(args, parallel),
        recompute=recompute_of(args),
        head=Head(
            fused_loss=bool(args.get("cross-entropy-loss-fusion")),
            upcast=args.get("cross-entropy-fusion-impl") != "te",
            deferred=deferred_of(args, settings),
        ),
        kernels=Kernels(
            stack="te",
            flash=_is_flash(args, settings.get("env") or {}),
            dropout=float(args.get("hidden-dropout", 0.1)) > 0,
            fp8="fp8-format" in args or "fp8" in args,
            fused_swiglu=not args.get("no-bias-swiglu-fusion"),
            capacity=float(args["moe-expert-capacity-factor"])
            if args.get("moe-expert-capacity-factor")
            else None,
            padded=bool(args.get("moe-pad-expert-input-to-capacity")),
            gathers_tokens=args.get("moe-token-dispatcher-type", "allgather") == "allgather",
            graphed=graphed_of(args),
        ),
        rollout=rollout_of(args),
        gpu=str(settings.get("hardware", "")),
        expandable="expandable" in str(settings.get("env")),
        stage=parallel.pp - 1,
        unknown=() if world_of(args, settings) else ("n_gpus",),
    )


def worlds_of(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return the fewest and the most GPUs that arguments allow: one sample a step for each rank at most."""
    args = settings["megatron_args"]
    split, least = parallel_of(args, {}), least_of(args)
    unit, micro = split.tp * split.pp * split.cp, _size(args, "micro-batch-size")
    most = unit * max(1, _size(args, "global-batch-size", micro) // micro)
    return least, max(least, most // least * least)


def graphed_of(args: Mapping[str, Any]) -> frozenset[str]:
    """Return the modules that Transformer Engine captures in CUDA graphs."""
    if args.get("cuda-graph-impl") != "transformer_engine":
        return frozenset()
    told = args.get("cuda-graph-modules") or args.get("cuda-graph-scope") or ""
    return frozenset(re.findall(r"\w+", str(told)))


def deferred_of(args: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """Return the micro-batches whose head waits for its weight gradient; no limit: all of a step."""
    if not args.get("defer-embedding-wgrad-compute"):
        return 0
    steps = batch_of(args, parallel_of(args, settings)).micro_batches
    return min(_size(args, "wgrad-deferral-limit", steps), steps)


def _size(args: Mapping[str, Any], name: str, default: int = 1) -> int:
    return int(args.get(name) or default)


NODE = 8


def least_of(args: Mapping[str, Any]) -> int:
    """Return the fewest GPUs that a layout allows."""
    tp, pp = _size(args, "tensor-model-parallel-size"), _size(args, "pipeline-model-parallel-size")
    ep, etp = _size(args, "expert-model-parallel-size"), _size(args, "expert-tensor-parallel-size", tp)
    return math.lcm(tp * pp * _size(args, "context-parallel-size"), etp * ep * pp)


def world_of(args: Mapping[str, Any], settings: Mapping[str, Any]) -> int | None:
    """Return the GPUs: those told, else one node of eight where the layout fits it; None: any number."""
    told = settings.get("n_gpus")
    return int(told) if told else (NODE if NODE % least_of(args) == 0 else None)


def parallel_of(args: Mapping[str, Any], settings: Mapping[str, Any]) -> Parallel:
    tp, pp = _size(args, "tensor-model-parallel-size"), _size(args, "pipeline-model-parallel-size")
    cp, ep = _size(args, "context-parallel-size"), _size(args, "expert-model-parallel-size")
    etp = _size(args, "expert-tensor-parallel-size", tp)
    pieces = pieces_of(args, pp)
    vpp = len(pieces) // pp if pieces else virtual_of(args, pp)
    return Parallel(
        world=world_of(args, settings) or least_of(args),
        tp=tp,
        pp=pp,
        vpp=vpp,
        cp=cp,
        ep=ep,
        etp=etp,
        sequence_parallel=bool(args.get("sequence-parallel")) and tp > 1,
        group=_size(args, "microbatch-group-size-per-virtual-pipeline-stage", pp),
        pieces=pieces,
        instances=_size(args, "num-distributed-optimizer-instances"),
    )


def virtual_of(args: Mapping[str, Any], pp: int) -> int:
    each = args.get("num-layers-per-virtual-pipeline-stage")
    if each and pp > 1:
        return int(args["num-layers"]) // (pp * int(each))
    return _size(args, "num-virtual-stages-per-pipeline-rank")


def pieces_of(args: Mapping[str, Any], pp: int) -> tuple[int, ...]:
    layout = args.get("pipeline-model-parallel-layout")
    if layout:
        return of_layout(str(layout))
    first, last = args.get("decoder-first-pipeline-num-layers"), args.get("decoder-last-pipeline-num-layers")
    if (first is None and last is None) or pp < 2:
        return ()
    rest = int(args["num-layers"]) - int(first or 0) - int(last or 0)
    middle = pp - (first is not None) - (last is not None)
    ends = ([int(first)] if first is not None else [], [int(last)] if last is not None else [])
    return (*ends[0], *[rest // middle] * middle, *ends[1])


def states_of(args: Mapping[str, Any], shape: Shape) -> States:
    fsdp = bool(args.get("use-megatron-fsdp") or args.get("use-torch-fsdp2"))
    grad = 2.0 if args.get("grad-reduce-in-bf16") else 4.0
    aware = bool(args.get("use-precision-aware-optimizer"))
    moment = (
        sum(2.0 if args.get(f"{name}-dtype") == "bf16" else 4.0 for name in ("exp-avg", "exp-avg-sq"))
        if aware
        else moments(str(args.get("optimizer") or "adam"), 4.0, shape)
    )
    strategy = str(args.get("data-parallel-sharding-strategy"))
    full = SCHEMES.get(strategy, "megatron_fsdp") if args.get("use-megatron-fsdp") else "megatron_fsdp"
    return States(
        scheme=full if fsdp else "megatron",  # type: ignore[arg-type]
        weight=2.0 if args.get("bf16") or args.get("fp16") else 0.0,
        master=2.0 if aware else 4.0,
        grad=grad,
        moments=moment,
        reduce=grad,
        shard_optimizer=bool(args.get("use-distributed-optimizer")),
        grad_buffer=not fsdp,
        fused_wgrad=not args.get("no-gradient-accumulation-fusion"),
        on_host=float(args.get("optimizer-offload-fraction") or 1.0)
        if args.get("optimizer-cpu-offload")
        else 0.0,
    )


def batch_of(args: Mapping[str, Any], parallel: Parallel) -> Batch:
    micro, length = _size(args, "micro-batch-size"), int(args["seq-length"])
    whole = _size(args, "global-batch-size", micro * parallel.dp)
    return Batch(length * micro, length, max(1, whole // (micro * parallel.dp)))


def recompute_of(args: Mapping[str, Any]) -> Recompute:
    kind = args.get("recompute-granularity") or ("selective" if args.get("recompute-activations") else "none")
    told = str(args.get("recompute-modules") or ("core_attn" if kind == "selective" else ""))
    block = args.get("recompute-method") == "block"
    layers = _size(args, "recompute-num-layers") if block else None
    return Recompute(kind, frozenset(re.findall(r"\w+", told)), layers)


def _is_flash(args: Mapping[str, Any], env: Mapping[str, Any]) -> bool:
    """Return whether scores are never whole: the fused kernels, unless they are switched off or cannot be."""
    backend = args.get("attention-backend")
    if args.get("transformer-impl") == "local":
        return bool(args.get("use-flash-attn"))
    if backend in ("unfused", "local"):
        return False
    return not (str(env.get("NVTE_FLASH_ATTN")) == "0" and str(env.get("NVTE_FUSED_ATTN")) == "0")


def rollout_of(args: Mapping[str, Any]) -> Rollout | None:
    """Return the engine that Megatron-RL builds beside training, with a buffer of a given size."""
    if not args.get("perform-rl-step"):
        return None
    return Rollout(
        engine="megatron",
        tp=_size(args, "rl-inference-tensor-model-parallel-size", 0),
        ep=_size(args, "rl-inference-expert-model-parallel-size", 0),
        etp=_size(args, "rl-inference-expert-tensor-model-parallel-size", 0),
        kv_gib=float(args.get("inference-dynamic-batching-buffer-size-gb", 40)),
        eager=args.get("cuda-graph-impl") in (None, "none"),
        graphs=_size(args, "inference-dynamic-batching-num-cuda-graphs", 16),
        colocated=True,
    )
