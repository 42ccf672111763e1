"""Shapes of models: from a checkpoint's config.json, or bundled for the common families by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rldoctor.models.config_fields import Fields
from rldoctor.models.json_files import read_object
from rldoctor.models.names import bundled


@dataclass(frozen=True, slots=True)
class MLA:
    """Widths of multi-head latent attention; ``q_lora_rank`` is None where queries are not compressed."""

    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int


@dataclass(frozen=True, slots=True)
class Shape:
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

    @property
    def moe_layers(self) -> int:
        """Return how many layers have routed experts."""
        if not self.num_experts:
            return 0
        return sum(
            1 for i in range(self.first_dense_layers, self.num_layers) if (i + 1) % self.moe_layer_freq == 0
        )

    def num_params(self) -> int | None:
        """Return the parameters in all, multi-token prediction left out; None for an unknown architecture."""
        return self._total(self.num_experts or 0) if self.exact else None

    def num_active_params(self) -> int | None:
        """Return the parameters that one token passes through, embeddings included."""
        return self._total(self.moe_topk or 0) if self.exact else None

    def _total(self, experts: int) -> int:
        h = self.hidden_size
        embeddings = self.vocab_size * h * (1 if self.tie_embeddings else 2)
        layer = self._attention() + self.norms_per_layer * h
        return embeddings + h + self.num_layers * layer + self._feed_forward(experts)

    def _feed_forward(self, experts: int) -> int:
        h, moe = self.hidden_size, self.moe_layers
        dense = 3 * h * self.ffn_hidden_size + (2 * self.ffn_hidden_size + h if self.mlp_bias else 0)
        router = h * (self.num_experts or 0)
        sparse = router + 3 * h * (experts * (self.moe_ffn or 0) + self.shared_ffn)
        return (self.num_layers - moe) * dense + moe * sparse

    def _attention(self) -> int:
        if self.mla is not None:
            return self._latent_attention(self.mla)
        h, d = self.hidden_size, self.head_dim
        queries, keys = self.num_heads * d, self.num_kv_heads * d
        weights = h * (queries + 2 * keys) + queries * h
        biases = (queries + 2 * keys if self.qkv_bias else 0) + (h if self.out_bias else 0)
        return weights + biases + (2 * d if self.qk_norm else 0)

    def _latent_attention(self, mla: MLA) -> int:
        h, a = self.hidden_size, self.num_heads
        queries = a * (mla.qk_nope_head_dim + mla.qk_rope_head_dim)
        rank = mla.q_lora_rank
        q = h * queries if rank is None else h * rank + rank + rank * queries
        down = mla.kv_lora_rank + mla.qk_rope_head_dim
        up = mla.kv_lora_rank * a * (mla.qk_nope_head_dim + mla.v_head_dim)
        biases = (rank or 0) + down + h if self.out_bias else 0
        return q + h * down + mla.kv_lora_rank + up + a * mla.v_head_dim * h + biases


def shape(name_or_path: str, base: Path | None = None) -> Shape | None:
    """Return the shape of a model folder (relative ones from ``base``), or of a known name, else None.

    RLDoctorError if the folder's config.json is broken or contradicts itself.
    """
    folder = (base or Path()) / Path(name_or_path).expanduser()
    file = folder if folder.name == "config.json" else folder / "config.json"
    if _is_file(file):
        return from_config(read_object(file), f"config.json of {file.parent}", str(file))
    found = bundled(name_or_path)
    return from_config(found[1], f"bundled: {found[0]}", "families.json") if found else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long or with a zero byte is no file
        return False


_ATTENTION: Final[Mapping[str, Mapping[str, Any]]] = {
    # attention_bias means: all four projections · q, k and v · always q, k and v
    "llama": {"bias": "all"},
    "mistral": {"bias": "none"},
    "mixtral": {"bias": "none"},
    "qwen2": {"bias": "always"},
    "qwen3": {"bias": "all", "qk_norm": True},
    "qwen3_moe": {"bias": "all", "qk_norm": True},
    "glm": {"bias": "qkv"},
    "glm4": {"bias": "qkv", "norms": 4},
    "glm4_moe": {"bias": "qkv"},
    "deepseek_v2": {"bias": "all"},
    "deepseek_v3": {"bias": "all"},
    "kimi_k2": {"bias": "all"},
}


def from_config(config: Mapping[str, Any], source: str, file: str) -> Shape:
    """Return the shape that a config.json tells; ``file`` is named in errors."""
    text = config.get("text_config")
    inner = text if isinstance(text, dict) and "hidden_size" in text else config
    fields = Fields({**inner, "tie_word_embeddings": _tied(config, inner)}, file)
    kind = str(inner.get("model_type") or config.get("model_type") or "unknown")
    told = _ATTENTION.get(kind, {}) if inner is config else {}
    heads, hidden = fields.count("num_attention_heads"), fields.count("hidden_size")
    experts = fields.first_count("num_experts", "n_routed_experts", "num_local_experts")
    bias = told.get("bias", "none")
    has_bias = bias == "always" or (bias != "none" and fields.flag("attention_bias"))
    return Shape(
        architecture=kind,
        source=source,
        num_layers=fields.count("num_hidden_layers"),
        hidden_size=hidden,
        ffn_hidden_size=fields.first_count("intermediate_size", "ffn_hidden_size", "moe_intermediate_size")
        or 0,
        num_heads=heads,
        num_kv_heads=_kv_heads(fields, heads),
        head_dim=fields.first_count("head_dim", "kv_channels") or fields.divided(hidden, heads),
        vocab_size=fields.first_count("vocab_size", "padded_vocab_size") or 0,
        tie_embeddings=fields.flag("tie_word_embeddings"),
        max_positions=fields.first_count("max_position_embeddings", "seq_length"),
        num_experts=experts,
        moe_ffn=_expert_width(fields, kind) if experts else None,
        moe_topk=fields.first_count("num_experts_per_tok", "moe_topk") if experts else None,
        shared_ffn=_shared_width(fields) if experts else 0,
        first_dense_layers=fields.amount("first_k_dense_replace"),
        moe_layer_freq=fields.first_count("decoder_sparse_step", "moe_layer_freq") or 1,
        qkv_bias=has_bias,
        out_bias=has_bias and bias == "all",
        mlp_bias=fields.flag("mlp_bias"),
        qk_norm=bool(told.get("qk_norm")) or fields.flag("use_qk_norm"),
        norms_per_layer=int(told.get("norms", 2)),
        mla=_mla(fields),
        exact=bool(told) and not inner.get("mlp_only_layers"),
    )


def _tied(config: Mapping[str, Any], inner: Mapping[str, Any]) -> Any:
    return inner.get("tie_word_embeddings", config.get("tie_word_embeddings", False))


def _kv_heads(fields: Fields, heads: int) -> int:
    return fields.first_count("num_key_value_heads", "multi_query_group_num") or heads


def _expert_width(fields: Fields, kind: str) -> int | None:
    names = ("intermediate_size",) if kind == "mixtral" else ("moe_intermediate_size", "intermediate_size")
    return fields.first_count(*names)


def _shared_width(fields: Fields) -> int:
    whole = fields.amount("shared_expert_intermediate_size")
    return whole or fields.amount("n_shared_experts") * fields.amount("moe_intermediate_size")


def _mla(fields: Fields) -> MLA | None:
    rank = fields.first_count("kv_lora_rank")
    if rank is None:
        return None
    return MLA(
        q_lora_rank=fields.first_count("q_lora_rank"),
        kv_lora_rank=rank,
        qk_nope_head_dim=fields.count("qk_nope_head_dim"),
        qk_rope_head_dim=fields.count("qk_rope_head_dim"),
        v_head_dim=fields.count("v_head_dim"),
    )
