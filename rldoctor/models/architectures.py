"""What an architecture's code decides that its config.json does not say: biases, norms, gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

Bias = Literal["none", "all", "qkv", "always_qkv", "always"]


class Traits(Struct, frozen=True):
    """The modules of one ``model_type`` in transformers.

    ``bias``: what ``attention_bias`` means (nothing, all four projections, q, k and v), or which have
    one always. ``expert_width`` is the field of an expert's width, ``dense_experts`` that shared
    experts have a gate of their own.
    """

    bias: Bias = "none"
    qk_norm: bool = False
    norms: int = 2
    sinks: bool = False
    router_bias: bool = False
    expert_bias: bool = False
    gated_attention: bool = False
    shared_gate: bool = False
    linear: bool = False
    expert_width: tuple[str, ...] = ("moe_intermediate_size", "intermediate_size")
    window_every: int = 0


PLAIN: Final = Traits()
LIKE_QWEN2: Final = Traits(bias="always_qkv")
LIKE_QWEN3: Final = Traits(bias="all", qk_norm=True)
LATENT: Final = Traits(bias="all")
HYBRID: Final = Traits(bias="all", qk_norm=True, gated_attention=True, shared_gate=True, linear=True)
HYBRID_DENSE: Final = Traits(bias="all", qk_norm=True, gated_attention=True, linear=True)

KNOWN: Final[Mapping[str, Traits]] = {
    "llama": LATENT,
    "mistral": PLAIN,
    "mixtral": Traits(expert_width=("intermediate_size",)),
    "qwen2": LIKE_QWEN2,
    "qwen2_5_vl": LIKE_QWEN2,
    "qwen2_5_vl_text": LIKE_QWEN2,
    "qwen3": LIKE_QWEN3,
    "qwen3_moe": LIKE_QWEN3,
    "qwen3_vl": LIKE_QWEN3,
    "qwen3_vl_text": LIKE_QWEN3,
    "qwen3_vl_moe": LIKE_QWEN3,
    "qwen3_vl_moe_text": LIKE_QWEN3,
    "qwen3_next": HYBRID,
    "qwen3_5": HYBRID_DENSE,
    "qwen3_5_text": HYBRID_DENSE,
    "qwen3_5_moe": HYBRID,
    "qwen3_5_moe_text": HYBRID,
    "glm": Traits(bias="qkv"),
    "glm4": Traits(bias="qkv", norms=4),
    "glm4_moe": Traits(bias="qkv"),
    "glm4_moe_lite": LATENT,
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "kimi_k2": LATENT,
    "gpt_oss": Traits(
        bias="always",
        sinks=True,
        router_bias=True,
        expert_bias=True,
        expert_width=("intermediate_size",),
        window_every=2,
    ),
    "gemma2": Traits(bias="all", norms=4, window_every=2),
    "gemma3": Traits(bias="all", qk_norm=True, norms=4),
    "gemma3_text": Traits(bias="all", qk_norm=True, norms=4),
    "phi3": PLAIN,
    "internlm2": PLAIN,
    "internlm3": Traits(bias="none"),
    "mimo": LIKE_QWEN2,
    "seed_oss": Traits(bias="qkv"),
}
