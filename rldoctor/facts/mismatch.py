"""Where the flags that describe a model differ from the config.json of the checkpoint that is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rldoctor.facts.modelled import named_shape
from rldoctor.facts.sizing import Ask, Name
from rldoctor.types import UNKNOWN

COMPARED: Final = (
    ("model.hidden_size", "hidden_size"),
    ("model.num_heads", "num_heads"),
    ("model.num_layers", "num_layers"),
    ("model.moe_ffn", "moe_ffn"),
)
ALWAYS_DENSE: Final = ("model.ffn_hidden_size", "ffn_hidden_size")


def shape_mismatch(ask: Ask) -> Any:
    """Return the differences as text, None where there are none; UNKNOWN where no shape is known."""
    shape = named_shape(ask.facts, ask.role)
    if shape is None or not shape.exact:
        return UNKNOWN
    # the width of a dense MLP is compared for dense models alone: most MoE models have no such layer
    compared = COMPARED if shape.num_experts else (*COMPARED, ALWAYS_DENSE)
    return "; ".join(_differences(ask, shape, compared)) or None


def size_of_checkpoint(ask: Ask) -> Any:
    """Return the checkpoint's value of a size that the flags say otherwise, else None."""
    shape = named_shape(ask.facts, ask.role)
    concept = ask.args[0].name if ask.args and isinstance(ask.args[0], Name) else ""
    attribute = dict((*COMPARED, ALWAYS_DENSE)).get(concept)
    if shape is None or not shape.exact or attribute is None:
        return UNKNOWN
    told, found = ask.facts.written(concept), getattr(shape, attribute)
    return found if isinstance(told, int) and isinstance(found, int) and told != found else None


def _differences(ask: Ask, shape: Any, compared: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for concept, attribute in compared:
        told, found = ask.facts.written(concept), getattr(shape, attribute)
        if isinstance(told, int) and isinstance(found, int) and told != found:
            setting = ask.facts.setting(concept)
            key = setting[1].key if setting else concept
            yield f"{key} {told}, the checkpoint has {found}"
    untied = ask.facts.written("model.tie_embeddings")
    if untied is False and shape.tie_embeddings:
        setting = ask.facts.setting("model.tie_embeddings")
        yield f"{setting[1].key if setting else 'the output weights are untied'}, the checkpoint's are tied"
