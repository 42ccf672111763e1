"""Shapes of models: from a checkpoint's config.json, or bundled for the common families by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rldoctor.models import quantized, vision
from rldoctor.models.architectures import KNOWN, PLAIN, Traits
from rldoctor.models.config_fields import Fields
from rldoctor.models.json_files import read_object
from rldoctor.models.names import bundled
from rldoctor.models.nouns import MLA, Gated, Shape


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


def from_config(config: Mapping[str, Any], source: str, file: str) -> Shape:
    """Return the shape that a config.json tells; ``file`` is named in errors."""
    text = config.get("text_config")
    inner = text if isinstance(text, dict) and "hidden_size" in text else config
    fields = Fields({**inner, "tie_word_embeddings": _tied(config, inner)}, file)
    kind = str(inner.get("model_type") or config.get("model_type") or "unknown")
    traits = KNOWN.get(kind)
    fields.count("num_attention_heads")
    sees = vision.parameters(config, fields.count("hidden_size"), file)
    known = traits is not None and sees is not None and not inner.get("mlp_only_layers")
    found = _shape(fields, kind, source, traits or PLAIN, (sees or 0, known))
    stored = quantized.of_config(config)
    return found if stored is None else replace(found, stored=stored)


def _shape(fields: Fields, kind: str, source: str, traits: Traits, seen: tuple[int, bool]) -> Shape:
    heads, hidden = fields.count("num_attention_heads"), fields.count("hidden_size")
    experts = fields.first_count("num_experts", "n_routed_experts", "num_local_experts")
    layers = fields.count("num_hidden_layers")
    asked = fields.flag("attention_bias")
    qkv = traits.bias.startswith("always") or (traits.bias in ("all", "qkv") and asked)
    window = fields.first_count("sliding_window")
    every = traits.window_every or fields.first_count("sliding_window_pattern") or 0
    return Shape(
        architecture=kind,
        source=source,
        num_layers=layers,
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
        moe_ffn=fields.first_count(*traits.expert_width) if experts else None,
        moe_topk=fields.first_count("num_experts_per_tok", "moe_topk") if experts else None,
        shared_ffn=_shared_width(fields) if experts else 0,
        first_dense_layers=fields.amount("first_k_dense_replace"),
        moe_layer_freq=fields.first_count("decoder_sparse_step", "moe_layer_freq") or 1,
        qkv_bias=qkv,
        out_bias=traits.bias == "always" or (traits.bias == "all" and asked),
        mlp_bias=fields.flag("mlp_bias"),
        qk_norm=traits.qk_norm or fields.flag("use_qk_norm"),
        norms_per_layer=traits.norms,
        mla=_mla(fields),
        exact=seen[1],
        gated_attention=traits.gated_attention,
        sinks=traits.sinks,
        router_bias=traits.router_bias,
        expert_bias=traits.expert_bias,
        shared_gate=traits.shared_gate,
        window=window if every else None,
        window_layers=layers - layers // every if every and window else 0,
        gated=_gated(fields) if traits.linear else None,
        mtp_layers=0,
        vision_params=seen[0],
    )


def _gated(fields: Fields) -> Gated:
    return Gated(
        key_heads=fields.count("linear_num_key_heads"),
        value_heads=fields.count("linear_num_value_heads"),
        key_dim=fields.count("linear_key_head_dim"),
        value_dim=fields.count("linear_value_head_dim"),
        kernel=fields.count("linear_conv_kernel_dim"),
        softmax_every=fields.first_count("full_attention_interval") or 4,
    )


def _tied(config: Mapping[str, Any], inner: Mapping[str, Any]) -> Any:
    return inner.get("tie_word_embeddings", config.get("tie_word_embeddings", False))


def _kv_heads(fields: Fields, heads: int) -> int:
    return fields.first_count("num_key_value_heads", "multi_query_group_num") or heads


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
