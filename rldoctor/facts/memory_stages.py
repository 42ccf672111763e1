"""How a pipeline's layers are laid out, from settings: virtual stages, and stages of their own size."""

from __future__ import annotations

import re
from typing import Final

from rldoctor.facts.spoken import count, spoken
from rldoctor.facts.walk import Facts
from rldoctor.types import Role

FIRST: Final = (
    "decoder_first_pipeline_num_layers",
    "num_layers_in_first_pipeline_stage",
)
LAST: Final = ("decoder_last_pipeline_num_layers", "num_layers_in_last_pipeline_stage")
MOST: Final = 4096
"""Layers of a layout: longer ones are no model's."""
_REPEATED_GROUP: Final = re.compile(r"\(([^()]*)\)\*(\d{1,4})")
_REPEATED: Final = re.compile(r"([A-Za-z])\*(\d{1,4})")


def virtual(facts: Facts, role: Role, pp: int, layers: int) -> int:
    """Return the virtual stages of a rank: told, or as many as layers of each leave."""
    told, each = facts.fact("train.vpp", role).value, facts.fact("train.layers_per_virtual_stage", role).value
    if isinstance(told, int) and told > 0:
        return told
    if isinstance(each, int) and each > 0 and pp > 1 and layers % (pp * each) == 0:
        return layers // (pp * each)
    return 1


def pieces(facts: Facts, role: Role, split: tuple[int, int], layers: int) -> tuple[int, ...]:
    """Return the layers of each virtual stage, in a token's order, where they are not all alike.

    ``split`` is pipeline and virtual stages. Megatron-LM arguments.py: a layout, a first and a last stage
    of their own, or embedding and loss that count as a layer.
    """
    pp, vpp = split
    if pp < 2:
        return ()
    layout = spoken(facts, "pipeline_model_parallel_layout", role)
    if isinstance(layout, str):
        found = of_layout(layout)
        return found if len(found) % pp == 0 and sum(found) == layers else ()
    first, last = (_told(facts, role, names) for names in (FIRST, LAST))
    if first is not None or last is not None:
        return _ends(first, last, (pp, vpp), layers)
    counted = [_is_on(facts, role, f"account_for_{end}_in_pipeline_split") for end in ("embedding", "loss")]
    if any(counted) and vpp == 1 and (layers + sum(counted)) % pp == 0:
        each = (layers + sum(counted)) // pp
        return (each - counted[0], *[each] * (pp - 2), each - counted[1])
    return ()


def of_layout(text: str) -> tuple[int, ...]:
    """Return the decoder layers of each stage of a layout such as ``Et*3|(tt|)*29m|L``."""
    if len(text) > MOST:
        return ()
    whole = _REPEATED_GROUP.sub(lambda found: found[1] * int(found[2]), text.strip("'\""))[:MOST]
    whole = _REPEATED.sub(lambda found: found[1] * int(found[2]), whole)[: MOST * 4]
    return tuple(stage.count("t") for stage in whole.split("|"))


def _told(facts: Facts, role: Role, names: tuple[str, ...]) -> int | None:
    return next((size for name in names if (size := count(spoken(facts, name, role))) is not None), None)


def _is_on(facts: Facts, role: Role, name: str) -> bool:
    return str(spoken(facts, name, role)).lower() == "true"


def _ends(first: int | None, last: int | None, split: tuple[int, int], layers: int) -> tuple[int, ...]:
    """Return pieces with a first and a last stage of their own; () where the rest does not divide."""
    pp, vpp = split
    middle = pp - (first is not None) - (last is not None)
    rest = layers - (first or 0) - (last or 0)
    if rest < 0 or (middle == 0 and rest) or (middle and rest % middle):
        return ()
    ranks = [rest // middle] * middle if middle else []
    ranks = [*([first] if first is not None else []), *ranks, *([last] if last is not None else [])]
    if any(size % vpp for size in ranks):
        return ()
    return tuple(size // vpp for size in ranks) * vpp
