"""Which settings of a measured point are read, and which of those that are not hang together with memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rldoctor.models.megatron import FOREIGN

_SIZES = "n_gpus tp pp vpp cp ep etp dp seq_len micro_batch local_batch kv_tokens"
SIZES = frozenset(_SIZES.split())
"""Settings that are numbers of something, each at least 1."""
_READ = """
model config engine hardware sp ulysses ulysses_sp fsdp_size zero_stage schedule tokens_per_microbatch
grad_accum global_batch master_dtype compute_dtype reduce_dtype grad_dtype optimizer optimizer_in_bwd
recompute activation_offload offload lora mode lm_head compile distributed_optimizer megatron_args env
dtype kv_dtype dp_attention quantization attention weight_dtype ref_model foreach dropout
"""
READ = SIZES | frozenset(_READ.split())
_IDLE = """
note packed async_tp fsdp stage_kind layers hidden activation_peak non_torch total_gpu kv_available
gpu_memory_utilization mem_fraction max_model_len max_seqs cuda_graphs steps dataset version commit torch
precision loss weights
"""
IDLE = frozenset(_IDLE.split())
"""Settings that leave a peak alone, or say again what others say."""
_CONFIG = """
layers hidden ffn heads kv_heads head_dim vocab tied qkv_bias qk_norm experts topk moe_ffn shared_experts
shared_ffn dense_layers moe_layer_freq mla q_lora_rank kv_lora_rank qk_nope_head_dim qk_rope_head_dim
v_head_dim params expert_params shape mlp_bias out_bias gated_mlp norms_per_layer mtp_layers
"""
CONFIG = frozenset(_CONFIG.split())
UNCOUNTED = re.compile(
    r"vision|moe-latent|fine-grained-activation|cpu-offloading|fp4|overlap-moe-expert|dsa-|tp-comm-overlap$"
)
"""Megatron-LM arguments whose memory is not counted."""


def unread(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the settings of a point that memory may hang on and that are not read."""
    return tuple(dict.fromkeys(str(name) for name in _unread(settings)))


def foreign(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the arguments that make a point's model one whose memory is not counted."""
    args = settings.get("megatron_args")
    return tuple(name for name in args if FOREIGN.search(str(name))) if isinstance(args, dict) else ()


def _unread(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        if name not in READ and name not in IDLE and value not in (None, False, 0, "none"):
            yield str(name)
    config, args = settings.get("config"), settings.get("megatron_args")
    if isinstance(config, dict):
        yield from (f"config.{name}" for name in config if name not in CONFIG)
    if isinstance(args, dict):
        yield from (str(name) for name in args if UNCOUNTED.search(str(name)))
