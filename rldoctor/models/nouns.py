"""The shape of a model: every size that parameters, activations and the KV cache follow from."""

from __future__ import annotations

from msgspec import Struct


class MLA(Struct, frozen=True):
    """Widths of multi-head latent attention; ``q_lora_rank`` is None where queries are not compressed."""

    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int


class Gated(Struct, frozen=True):
    """A gated delta net (linear attention): heads and their widths, and which layers are softmax instead."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    softmax_every: int

    @property
    def key_width(self) -> int:
        """Return the width of all keys."""
        return self.key_heads * self.key_dim

    @property
    def value_width(self) -> int:
        """Return the width of all values."""
        return self.value_heads * self.value_dim


class Stored(Struct, frozen=True):
    """How quantized weights are kept: bytes a parameter of the layers' matrices, or of the experts' alone."""

    bytes: float
    experts_only: bool = False


class Shape(Struct, frozen=True):
    """The sizes of a model; what a dense model has not is None."""

    architecture: str
    source: str
    num_layers: int
    hidden_size: int
    ffn_hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    tie_embeddings: bool = False
    max_positions: int | None = None
    num_experts: int | None = None
    moe_ffn: int | None = None
    moe_topk: int | None = None
    shared_ffn: int = 0
    first_dense_layers: int = 0
    moe_layer_freq: int = 1
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    norms_per_layer: int = 2
    mla: MLA | None = None
    exact: bool = True
    gated_mlp: bool = True
    norm_bias: bool = False
    positions: int = 0
    gated_attention: bool = False
    sinks: bool = False
    router_bias: bool = False
    expert_bias: bool = False
    shared_gate: bool = False
    head_bias: bool = False
    window: int | None = None
    window_layers: int = 0
    gated: Gated | None = None
    mtp_layers: int = 0
    vision_params: int = 0
    stored: Stored | None = None

    @property
    def moe_layers(self) -> int:
        """Return how many layers have routed experts."""
        return sum(1 for index in range(self.num_layers) if self.is_moe(index))

    @property
    def cached_layers(self) -> int:
        """Return how many layers keep keys and values."""
        return sum(1 for index in range(self.num_layers) if not self.is_linear(index))

    def is_moe(self, index: int) -> bool:
        """Return whether a layer, counted from 0, has routed experts."""
        if not self.num_experts:
            return False
        return index >= self.first_dense_layers and (index + 1) % self.moe_layer_freq == 0

    def is_linear(self, index: int) -> bool:
        """Return whether a layer, counted from 0, is linear attention and keeps no keys and values."""
        return self.gated is not None and (index + 1) % self.gated.softmax_every != 0

    def num_params(self) -> int | None:
        """Return the parameters in all, multi-token prediction left out; None for an unknown architecture."""
        return self._total(None)

    def num_active_params(self) -> int | None:
        """Return the parameters that one token passes through, embeddings included."""
        return self._total(self.moe_topk or 0)

    def _total(self, experts: int | None) -> int | None:
        from rldoctor.models import parameters

        return parameters.total(self, experts) if self.exact else None
