"""Parameters of the vision towers that come with a language model, from their own part of config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rldoctor.models.config_fields import Fields

SEEING: Final = ("qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "gemma3")


def parameters(config: Mapping[str, Any], hidden: int, file: str) -> int | None:
    """Return the parameters of a vision tower and its projector; None for one that nobody knows."""
    told, kind = config.get("vision_config"), str(config.get("model_type", ""))
    if not isinstance(told, dict):
        return None if kind in SEEING else 0
    fields = Fields(told, file)
    if kind.startswith("qwen2_5_vl"):
        return _qwen2_5(fields, hidden)
    if kind.startswith(("qwen3_vl", "qwen3_5")):
        return _qwen3(fields, hidden, len(told.get("deepstack_visual_indexes") or ()))
    return _siglip(fields, hidden) if kind == "gemma3" else None


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _qwen2_5(fields: Fields, out: int) -> int:
    """RMS norms without bias, a gated MLP, and a merger of 2 × 2 patches."""
    h, inner = fields.count("hidden_size"), fields.count("intermediate_size")
    patch = 3 * fields.count("temporal_patch_size") * fields.count("patch_size") ** 2 * h
    mlp = 2 * _linear(h, inner) + _linear(inner, h)
    block = 2 * h + _linear(h, 3 * h) + _linear(h, h) + mlp
    merged = h * fields.count("spatial_merge_size") ** 2
    merger = h + _linear(merged, merged) + _linear(merged, out)
    return patch + fields.count("depth") * block + merger


def _qwen3(fields: Fields, out: int, deep: int) -> int:
    """Layer norms with bias, learned positions, a plain MLP, and one merger more for each deep stack."""
    h, inner = fields.count("hidden_size"), fields.count("intermediate_size")
    patch = 3 * fields.count("temporal_patch_size") * fields.count("patch_size") ** 2 * h + h
    block = 4 * h + _linear(h, 3 * h) + _linear(h, h) + _linear(h, inner) + _linear(inner, h)
    merged = h * fields.count("spatial_merge_size") ** 2
    projector = _linear(merged, merged) + _linear(merged, out)
    mergers = 2 * h + projector + deep * (2 * merged + projector)
    positions = fields.count("num_position_embeddings") * h
    return patch + positions + fields.count("depth") * block + mergers


def _siglip(fields: Fields, out: int) -> int:
    """SigLIP's encoder and Gemma's projector: one matrix and one norm."""
    h, inner = fields.count("hidden_size"), fields.count("intermediate_size")
    side = fields.count("image_size") // fields.count("patch_size")
    patch = 3 * fields.count("patch_size") ** 2 * h + h
    block = 4 * h + 4 * _linear(h, h) + _linear(h, inner) + _linear(inner, h)
    return patch + side**2 * h + fields.count("num_hidden_layers") * block + 2 * h + h * out + h
