"""Where the flags that describe a model differ from the config.json of the checkpoint that is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rldoctor.facts.asking import Ask, Name
from rldoctor.facts.modelled import named_model, named_shape
from rldoctor.models import Shape
from rldoctor.models.constants import constants
from rldoctor.types import UNKNOWN

COMPARED: Final = (
    ("model.hidden_size", "hidden_size"),
    ("model.num_heads", "num_heads"),
    ("model.num_layers", "num_layers"),
    ("model.moe_ffn", "moe_ffn"),
    ("model.num_experts", "num_experts"),
    ("model.moe_topk", "moe_topk"),
)
ALWAYS_DENSE: Final = ("model.ffn_hidden_size", "ffn_hidden_size")
PLAIN_ATTENTION: Final = (("model.num_kv_heads", "num_kv_heads"), ("model.head_dim", "head_dim"))
CONSTANTS: Final = (("model.rope_base", "rope_base"), ("model.norm_eps", "norm_eps"))
PADDING: Final = 128
EXACT: Final = 1e-3


def shape_mismatch(ask: Ask) -> Any:
    """Return the differences as text, None where there are none; UNKNOWN where no shape is known."""
    shape = named_shape(ask.facts, ask.role)
    if shape is None or not shape.exact:
        return UNKNOWN
    return "; ".join((*_differences(ask, shape), *_embeddings(ask, shape))) or None


def size_of_checkpoint(ask: Ask) -> Any:
    """Return the checkpoint's value of a size that the flags say otherwise, else None."""
    shape = named_shape(ask.facts, ask.role)
    concept = ask.args[0].name if ask.args and isinstance(ask.args[0], Name) else ""
    if shape is None or not shape.exact:
        return UNKNOWN
    found = _checkpoint(ask, shape).get(concept)
    return found if _differs(_told(ask, concept), found) else None


def _checkpoint(ask: Ask, shape: Shape) -> Mapping[str, Any]:
    """Return what the checkpoint says of each concept that flags describe a model with."""
    # the width of a dense MLP is compared for dense models alone: most MoE models have no such layer
    compared = COMPARED if shape.num_experts else (*COMPARED[:3], ALWAYS_DENSE)
    attention = () if shape.mla is not None or shape.gated is not None else PLAIN_ATTENTION
    values = {concept: getattr(shape, attribute) for concept, attribute in (*compared, *attention)}
    known = constants(named_model(ask.facts, ask.role))
    return values | {concept: getattr(known, attribute) for concept, attribute in CONSTANTS}


def _differences(ask: Ask, shape: Shape) -> Iterator[str]:
    for concept, found in _checkpoint(ask, shape).items():
        told = _told(ask, concept)
        if _differs(told, found):
            yield f"{_key(ask, concept)} {told:g}, the checkpoint has {found:g}".replace("e-0", "e-")


def _told(ask: Ask, concept: str) -> Any:
    """Return what the flags say of a size; a head is as wide as the heads divide the model, unless told."""
    told = ask.facts.written(concept)
    if told is not None or concept != "model.head_dim":
        return told
    width, heads = ask.facts.written("model.hidden_size"), ask.facts.written("model.num_heads")
    numbers = type(width) is int and type(heads) is int and heads > 0
    return width // heads if numbers and ask.facts.setting(concept) is None else None


def _embeddings(ask: Ask, shape: Shape) -> Iterator[str]:
    """Yield what is wrong with the vocabulary and the output weights; Megatron-LM pads the first."""
    told = ask.facts.written("model.vocab_size")
    if type(told) is int and shape.vocab_size and -(-told // PADDING) * PADDING < shape.vocab_size:
        yield f"{_key(ask, 'model.vocab_size')} {told}, the checkpoint has {shape.vocab_size}"
    if ask.facts.written("model.tie_embeddings") is False and shape.tie_embeddings:
        setting = ask.facts.setting("model.tie_embeddings")
        yield f"{setting[1].key if setting else 'the output weights are untied'}, the checkpoint's are tied"
    if _lacks(ask, "model.tie_embeddings", True) and not shape.tie_embeddings:
        yield f"no {_key(ask, 'model.tie_embeddings')}, the checkpoint has output weights of its own"
    if shape.qk_norm and _is_plain(ask, shape) and _lacks(ask, "model.qk_norm", False):
        yield f"no {_key(ask, 'model.qk_norm')}, the checkpoint normalises queries and keys"


def _is_plain(ask: Ask, shape: Shape) -> bool:
    """Say whether a model's layers are Megatron's own, none that somebody's specification builds."""
    table = ask.facts.table
    own = table is not None and "--spec" in table.spoken.settings
    return shape.mla is None and shape.gated is None and not own


def _lacks(ask: Ask, concept: str, default: bool) -> bool:
    """Say whether nobody gives a flag whose absence describes the model, among flags that describe it."""
    whole = all(type(ask.facts.written(f"model.{size}")) is int for size in ("hidden_size", "num_heads"))
    return whole and ask.facts.setting(concept) is None and ask.facts.value(concept) is default


def _differs(told: Any, found: Any) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (told, found))
    return numbers and abs(told - found) > EXACT * abs(found)


def _key(ask: Ask, concept: str) -> str:
    setting = ask.facts.setting(concept)
    row = ask.facts.row(concept)
    return setting[1].key if setting else row.key if row is not None else concept
