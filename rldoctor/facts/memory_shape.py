"""The shape of a role's model for the memory model: its files or its name, and what the facts say over it."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from rldoctor.facts.modelled import named_shape
from rldoctor.facts.walk import Facts
from rldoctor.models import Shape, megatron
from rldoctor.models.shapes import from_config
from rldoctor.types import Role

SIZES: Final = {
    "model.num_layers": "num_layers",
    "model.hidden_size": "hidden_size",
    "model.ffn_hidden_size": "ffn_hidden_size",
    "model.num_heads": "num_heads",
    "model.num_kv_heads": "num_kv_heads",
    "model.head_dim": "head_dim",
    "model.vocab_size": "vocab_size",
    "model.num_experts": "num_experts",
    "model.moe_ffn": "moe_ffn",
    "model.moe_topk": "moe_topk",
    "model.moe_shared_ffn": "shared_ffn",
}
NAMES: Final = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "ffn_hidden_size": "intermediate_size",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "vocab_size": "vocab_size",
    "num_experts": "num_experts",
    "moe_ffn": "moe_intermediate_size",
    "moe_topk": "num_experts_per_tok",
    "shared_ffn": "shared_expert_intermediate_size",
}
MEGATRON: Final = ("megatron", "slime")
NEEDED: Final = ("num_layers", "hidden_size", "num_heads", "vocab_size")


def shape_of(facts: Facts, role: Role) -> Shape | None:
    """Return a role's shape, the policy's where it has no model of its own; None where sizes are missing."""
    path = facts.fact("model.path", role)
    if path.value is None and role != "policy":
        return shape_of(facts, "policy")
    known = named_shape(facts, role) or _of_arguments(facts, role)
    told: dict[str, Any] = {
        attribute: value
        for concept, attribute in SIZES.items()
        if isinstance(value := facts.fact(concept, role).value, int) and not isinstance(value, bool)
    }
    ties = facts.fact("model.tie_embeddings", role).value
    if isinstance(ties, bool):
        told["tie_embeddings"] = ties
    if known is not None:
        changed = {name: value for name, value in told.items() if getattr(known, name) != value}
        return replace(known, **changed) if changed else known
    return _from_sizes(told, facts, role)


def lacking(facts: Facts) -> list[str]:
    """Return what the policy's shape wants: the sizes that are missing beside others, or a model."""
    wanted = [f"model.{name}" for name in NEEDED]
    open_ = [name for name in wanted if not isinstance(facts.value(name), int)]
    return open_ if len(open_) < len(wanted) else ["model.path"]


def _of_arguments(facts: Facts, role: Role) -> Shape | None:
    """Return the shape that a launch of Megatron-LM gives by its arguments, None where sizes are missing."""
    if role != "policy" or facts.system not in MEGATRON or facts.table is None:
        return None
    said = facts.table.spoken.settings
    args = {
        key.lstrip("-"): each.value
        for key, each in said.items()
        if key.startswith("--") and each.state != "unknown" and each.form != "delete"
    }
    tp = facts.value("train.tp")
    try:
        return megatron.shape_of(args, tp if isinstance(tp, int) and tp > 0 else 1)
    except (KeyError, ValueError, TypeError, ZeroDivisionError):  # a size is missing, or is none
        return None


def _from_sizes(told: dict[str, Any], facts: Facts, role: Role) -> Shape | None:
    if any(name not in told for name in NEEDED):
        return None
    heads, kind = told["num_heads"], facts.fact("model.type", role).value
    sizes = {
        "ffn_hidden_size": 4 * told["hidden_size"],
        "num_kv_heads": heads,
        "head_dim": told["hidden_size"] // heads,
        **told,
    }
    config = {theirs: sizes[ours] for ours, theirs in NAMES.items() if ours in sizes}
    ties = sizes.get("tie_embeddings", False)
    name = kind if isinstance(kind, str) else "transformer"
    return from_config({**config, "model_type": name, "tie_word_embeddings": ties}, "the run's own sizes", "")
