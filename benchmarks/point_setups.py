"""From the settings of a measured point to a setup: by the names of settings, never by a point's id."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from rldoctor.memory.engine import bytes_a_parameter, cache_bytes
from rldoctor.memory.layout import (
    Batch,
    Head,
    Kernels,
    Lora,
    Others,
    Parallel,
    Recompute,
    Rollout,
    Setup,
    States,
)
from rldoctor.memory.states import moments
from rldoctor.models import MLA, Shape, quantized
from rldoctor.models import shape as bundled

BYTES = {
    "fp32": 4.0,
    "float32": 4.0,
    "bf16": 2.0,
    "fp16": 2.0,
    "bfloat16": 2.0,
    "fp8": 1.0,
    "nf4": 0.55,
    "int4": 0.55,
    "mxfp4": 0.53,
    "int8": 1.0,
}
DEFAULT_RANK = 64
MEGATRON = ("megatron", "slime", "mcore")
UNFUSED = ("eager", "unfused", "math", "naive")
EXPANDABLE = ("prime-rl", "torchtitan")
"""Engines whose own launchers switch expandable segments on (src/prime_rl/rl.py, run_train.sh)."""


def setup_of(settings: Mapping[str, Any]) -> Setup:
    """Return the setup that the settings of a training point describe."""
    if "megatron_args" in settings:
        from megatron_setups import setup_of_arguments

        return setup_of_arguments(settings)
    shape = shape_of(settings["config"], str(settings.get("model", "")))
    engine = str(settings.get("engine", "")).lower()
    megatron = any(word in engine for word in MEGATRON)
    return Setup(
        shape=shape,
        parallel=parallel_of(settings),
        states=_megatron_states(settings, shape) if megatron else states_of(settings, shape),
        batch=batch_of(settings),
        recompute=recompute_of(str(settings.get("recompute") or "none"), settings),
        head=Head(fused_loss=True) if megatron else head_of(settings),
        kernels=kernels_of(settings, shape, megatron=megatron),
        lora=lora_of(settings),
        gpu=str(settings.get("hardware", "")),
        others=Others(
            ref=settings.get("ref_model") is True, ref_offload="ref" in _words(settings, "offload")
        ),
        expandable="expandable" in str(settings.get("env")) or engine.startswith(EXPANDABLE),
        stage=None,
    )


def kernels_of(settings: Mapping[str, Any], shape: Shape, *, megatron: bool) -> Kernels:
    """Return what layers are made of.

    Compiled layers that look at data run eagerly: prime-rl's adapters assert how many tokens they
    have, and its experts count theirs.
    """
    engine = str(settings.get("engine", ""))
    looks = engine.startswith("prime-rl") and (settings.get("lora") or shape.num_experts)
    compiled = settings.get("compile") is True and not looks
    return Kernels(
        stack="te" if megatron else ("compiled" if compiled else "eager"),
        width=4.0 if _words(settings, "compute_dtype").startswith(("fp32", "float32", "tf32")) else 2.0,
        flash=not any(word in _words(settings, "attention") for word in UNFUSED),
        dropout=_positive(settings.get("dropout")),
        fp8="fp8" in _words(settings, "compute_dtype"),
        fp32_combine=engine.startswith(("prime-rl", "torchtitan")),
        fp32_norm=engine.startswith("torchtune"),
    )


def _words(settings: Mapping[str, Any], name: str) -> str:
    """Return a setting's words in lower case, none where it is not told."""
    return str(settings.get(name) or "").lower()


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def config_of(settings: Mapping[str, Any], shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point's config: its own, that of a table of shapes, or of the model's bundled shape."""
    own, model = settings.get("config"), str(settings.get("model", ""))
    named = shapes.get(model) or {}
    if isinstance(own, dict) and "layers" in own:
        return own
    if "layers" in named:
        return {**named, **(own or {})}
    found = bundled(model)
    if found is None:
        raise ValueError(f"model {model or 'not named'}")
    return {"shape": found}


def shape_of(config: Mapping[str, Any], model: str = "") -> Shape:
    """Return the shape of a point's ``config``; names as in the points' README."""
    if isinstance(config.get("shape"), Shape):
        return config["shape"]  # type: ignore[no-any-return]
    shared = config.get("shared_ffn") or (config.get("shared_experts") or 0) * (config.get("moe_ffn") or 0)
    heads = config["heads"]
    return Shape(
        architecture=model,
        source="the point's config",
        num_layers=config["layers"],
        hidden_size=config["hidden"],
        ffn_hidden_size=config.get("ffn") or 0,
        num_heads=heads,
        num_kv_heads=config.get("kv_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden"] // heads,
        vocab_size=config["vocab"],
        tie_embeddings=bool(config.get("tied")),
        num_experts=config.get("experts"),
        moe_ffn=config.get("moe_ffn"),
        moe_topk=config.get("topk"),
        shared_ffn=shared,
        first_dense_layers=config.get("dense_layers", 0) or 0,
        moe_layer_freq=config.get("moe_layer_freq") or 1,
        out_bias=bool(config.get("out_bias")),
        mlp_bias=bool(config.get("mlp_bias")),
        gated_mlp=config.get("gated_mlp") is not False,
        norms_per_layer=config.get("norms_per_layer") or 2,
        mtp_layers=config.get("mtp_layers") or 0,
        qkv_bias=bool(config.get("qkv_bias")),
        qk_norm=bool(config.get("qk_norm")),
        mla=_mla(config),
    )


def _mla(config: Mapping[str, Any]) -> MLA | None:
    if not config.get("mla"):
        return None
    told = {**config, **(config["mla"] if isinstance(config["mla"], dict) else {})}
    rope, head = told.get("qk_rope_head_dim", 64), told.get("head_dim") or 192
    nope = told.get("qk_nope_head_dim") or head - rope
    return MLA(
        q_lora_rank=told.get("q_lora_rank"),
        kv_lora_rank=told.get("kv_lora_rank", 512),
        qk_nope_head_dim=nope,
        qk_rope_head_dim=rope,
        v_head_dim=told.get("v_head_dim") or nope,
    )


def parallel_of(settings: Mapping[str, Any]) -> Parallel:
    """Return parallel sizes; a schedule that interleaves has two stages a rank where no number is given."""
    size = {name: int(settings.get(name) or 1) for name in ("tp", "pp", "cp", "ep")}
    schedule = _words(settings, "schedule")
    default = 2 if any(word in schedule for word in ("interleaved", "zbv", "dualpipe")) else 1
    sequence, shard = settings.get("sp"), settings.get("fsdp_size") or settings.get("dp_shard") or 0
    ring = int(sequence) if isinstance(sequence, int) and size["tp"] == 1 else 1
    world = settings.get("n_gpus") or math.prod((size["tp"], size["pp"], size["cp"], settings.get("dp") or 1))
    return Parallel(
        world=int(world),
        vpp=int(settings.get("vpp") or default),
        etp=int(settings.get("etp") or 1),
        ulysses=int(settings.get("ulysses") or settings.get("ulysses_sp") or max(1, ring)),
        sequence_parallel=bool(sequence) and size["tp"] > 1,
        shard=int(shard) if isinstance(shard, int) and shard > 0 else 0,
        all_forward="gpipe" in schedule,
        **size,
    )


def _dtype(text: Any, default: float) -> float:
    words = re.findall(r"[a-z]+\d+", str(text or "").lower())
    found = next((BYTES[word] for word in words if word in BYTES), None)
    if found is None:
        stored = quantized.of_method(str(text or ""))
        found = stored.bytes if stored is not None and not words else default
    return found


def states_of(settings: Mapping[str, Any], shape: Shape) -> States:
    """Return how a torch trainer keeps its states; a full-precision master unless another is said."""
    stage = settings.get("zero_stage")
    if "deepspeed" in _words(settings, "engine"):
        return _deepspeed(settings, shape, 0 if stage is None else int(stage))
    scheme = "fsdp" if stage in (None, 3) else ("ddp", "zero1", "zero2")[int(stage)]
    away = _words(settings, "offload")
    master = _dtype(settings.get("master_dtype"), 4.0)
    compute = _dtype(settings.get("compute_dtype"), 2.0)
    optimizer = str(settings.get("optimizer") or "adamw").lower()
    trained = 2.0 if settings.get("lora") and master < 2 else master
    if any(
        word in away for word in ("param", "weight", "all")
    ):  # FSDP's CPU offload: shards live on the host
        return States(scheme="fsdp", gathered=compute, away=True)
    return States(
        scheme=scheme,  # type: ignore[arg-type]
        master=trained,
        grad=_dtype(settings.get("grad_dtype"), trained),
        moments=moments(optimizer, _dtype(optimizer, trained), shape),
        gathered=compute,
        reduce=_dtype(settings.get("reduce_dtype"), 4.0),
        foreach=_is_foreach(optimizer, str(settings.get("engine", ""))),
        quantized="8bit" in optimizer or "8-bit" in optimizer,
        reshard=int(settings.get("pp") or 1) == 1,
        root_ends="torchtitan" in str(settings.get("engine")),
        grad_in_backward=bool(settings.get("optimizer_in_bwd")),
        on_host=1.0 if "optim" in away or "paged" in optimizer else 0.0,
    )


def _deepspeed(settings: Mapping[str, Any], shape: Shape, stage: int) -> States:
    """Return DeepSpeed's states: weights and gradients as computed, an fp32 master and moments beside."""
    compute = _dtype(settings.get("compute_dtype"), 2.0)
    away = _words(settings, "offload")
    return States(
        scheme=("ddp", "zero1", "zero2", "zero3")[stage],  # type: ignore[arg-type]
        weight=compute,
        grad=_dtype(settings.get("grad_dtype"), compute),
        moments=moments(_words(settings, "optimizer") or "adamw", 4.0, shape),
        gathered=compute,
        reduce=_dtype(settings.get("reduce_dtype"), compute),
        shard_optimizer=stage > 0,
        grad_buffer=stage < 2,
        on_host=1.0 if "optim" in away or "cpu" in away else 0.0,
    )


def _is_foreach(optimizer: str, engine: str) -> bool:
    """Return whether the step makes copies; torchtune and torchtitan ask for torch's fused kernel."""
    if any(word in optimizer for word in ("fused", "8bit")):
        return False
    return "foreach" in optimizer or not engine.startswith(("torchtune", "torchtitan"))


def _megatron_states(settings: Mapping[str, Any], shape: Shape) -> States:
    """Return Megatron's states; Megatron-Bridge's recipes reduce gradients in bf16, and those of the

    DeepSeek family (MLA) keep bf16 moments and only the lower half of the master parameters.
    """
    bridge = "bridge" in str(settings.get("engine", ""))
    aware = bridge and shape.mla is not None
    return States(
        scheme="megatron",
        weight=2.0,
        master=2.0 if aware else 4.0,
        moments=4.0 if aware else 8.0,
        grad=2.0 if bridge else 4.0,
        shard_optimizer=bool(settings.get("distributed_optimizer", True)),
        grad_buffer=True,
    )


def batch_of(settings: Mapping[str, Any]) -> Batch:
    """Return the micro-batch: a pipeline runs sequences one by one unless told."""
    pp, told = int(settings.get("pp") or 1), settings.get("seq_len") or settings.get("tokens_per_microbatch")
    if not told:
        raise ValueError("seq_len")
    length = int(told)
    local = int(settings.get("local_batch") or 0)
    count = int(settings.get("grad_accum") or 0)
    if pp > 1 and local and not settings.get("micro_batch"):
        # torchtitan splits a pipeline's batch into as many micro-batches as there are stages
        count = min(local, pp * parallel_of(settings).vpp)
        local //= count
    micro = int(settings.get("micro_batch") or local or 1)
    packed = 0 if settings.get("micro_batch") or local else int(settings.get("tokens_per_microbatch") or 0)
    if not count and settings.get("global_batch"):
        count = max(1, int(settings["global_batch"]) // (micro * int(settings.get("dp") or 1)))
    return Batch(tokens=packed or length * micro, seq_len=length, micro_batches=count or 1)


def recompute_of(text: str, settings: Mapping[str, Any]) -> Recompute:
    """Return what is recomputed, from words like ``full per block`` or ``selective [core_attn]``."""
    words = text.lower()
    kind = next((kind for kind in ("full", "selective") if words.startswith(kind)), "none")
    modules = frozenset(
        re.findall(r"core_attn|layernorm|mla_up_proj|moe_act|mlp|shared_experts|moe\b", words)
    )
    offload = bool(settings.get("activation_offload"))
    if offload and kind == "none":
        kind = "full"
    return Recompute(
        kind=kind,  # type: ignore[arg-type]
        modules=modules,
        offload=offload,
        alternate_matmuls="2nd matmul" in words or "every 2nd" in words,
    )


def head_of(settings: Mapping[str, Any]) -> Head:
    """Return how the head turns logits into a loss, from its description."""
    if not settings.get("lm_head") and settings.get("compile") and "torchtitan" in str(settings["engine"]):
        return Head("full", per_entry=4.0, source="torchtitan/components/loss.py: compiled with the model")
    text = str(settings.get("lm_head") or "full logits").lower()
    if "vocab rows" in text:
        return Head("chunked_vocab", chunk=int(re.findall(r"chunks? of (\d+)", text)[0]))
    if "liger" in text or ("fused" in text and "logprob" not in text):
        return Head("fused")
    if "chunk" in text:
        sizes = re.findall(r"chunks? of (\d+)", text)
        tokens = int(settings["seq_len"]) * int(settings.get("micro_batch") or 1)
        return Head("chunked_tokens", chunk=int(sizes[0]) if sizes else max(1, tokens // 8))
    return Head(
        "full",
        kept="referenced" in text,
        entropy="entropy" in text.replace("crossentropy", ""),
    )


def lora_of(settings: Mapping[str, Any]) -> Lora | None:
    """Return the adapters; the frozen base keeps the master's dtype."""
    told = settings.get("lora") or bool(re.search("lora|peft", str(settings.get("mode", "")).lower()))
    if not told:
        return None
    megatron = "megatron" in str(settings.get("engine", ""))
    rank = told.get("rank") if isinstance(told, dict) else told
    if isinstance(rank, str):
        number = re.fullmatch(r"(?:r(?:ank)?\s*[=:]?\s*)?(\d{1,4})", rank.strip().lower())
        rank = int(number[1]) if number else None
    slots = int(told.get("n_adapter_slots") or 1) if isinstance(told, dict) else 1
    return Lora(
        rank=rank if isinstance(rank, int) and not isinstance(rank, bool) else DEFAULT_RANK,
        slots=slots,
        base=_dtype(settings.get("master_dtype"), 2.0 if megatron else 4.0),
        experts="expert" in str(told) or not isinstance(told, dict),
    )


def rollout_of(settings: Mapping[str, Any]) -> Rollout:
    """Return the engine of a point about weights or the KV cache."""
    ways, tokens = settings.get("dp_attention"), settings.get("kv_tokens")
    method = settings.get("quantization") or settings.get("weight_dtype") or settings.get("dtype") or "bf16"
    stored = quantized.of_method(str(method))
    shape = shape_of(settings["config"])
    size = _dtype(method, 2.0) if stored is None else bytes_a_parameter(shape, stored)
    return Rollout(
        engine=str(settings.get("engine", "")).split("-")[0].split("+")[0],
        tp=int(settings.get("tp") or 1),
        ep=int(settings.get("ep") or 1),
        pp=int(settings.get("pp") or 1),
        dp=int(ways) if isinstance(ways, int) and ways > 1 else int(settings.get("dp") or 1),
        dp_attention=bool(ways),
        weight_bytes=size,
        kv_bytes=cache_bytes(str(settings.get("kv_dtype") or "auto")),
        kv_tokens=int(tokens) if tokens else None,
    )
