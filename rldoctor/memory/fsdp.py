"""What FSDP gathers for a moment: units of parameters, and gradients before they are scattered."""

from __future__ import annotations

from collections.abc import Iterator

from rldoctor.memory.layout import Setup, Term
from rldoctor.memory.stages import of_stage
from rldoctor.memory.states import Held, adapters, layer
from rldoctor.models import parameters

SOURCE = "torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py"


def _gathers(setup: Setup) -> bool:
    return setup.states.scheme in ("fsdp", "zero3", "megatron_fsdp")


def _unit(setup: Setup, stage: int) -> Held:
    """Return the largest layer's parameters on one rank when gathered, adapters included."""
    layers = [index for part in of_stage(setup, stage) for index in part.layers]
    if not layers:
        return Held(0.0)
    largest = max((layer(setup, index) for index in layers), key=lambda each: each.all)
    extra = adapters(setup, stage)
    return largest + Held(extra.dense / len(layers), extra.expert / len(layers))


def ends(setup: Setup, stage: int) -> tuple[float, float]:
    """Return the parameters of embedding and head that a stage gathers; tied ones are the root's own."""
    parts = of_stage(setup, stage)
    matrix = parameters.embedding(setup.shape) / setup.parallel.tp
    embeds = matrix if any(part.embeds for part in parts) else 0.0
    heads = matrix if any(part.heads for part in parts) else 0.0
    if setup.shape.tie_embeddings and embeds and heads:
        return 0.0, matrix
    return embeds, heads


def layer_terms(setup: Setup, stage: int) -> Iterator[Term]:
    """Yield what is gathered while a layer's backward pass runs: it, the next one, and their gradients."""
    if not _gathers(setup):
        return
    unit, kept = _unit(setup, stage), setup.states
    count = 2 if kept.reshard else len([1 for part in of_stage(setup, stage) for _ in part.layers])
    text = f"{count} layers × {unit.all / 1e6:.1f}M × {kept.gathered:g} B"
    yield Term("gathered layers", count * unit.all * kept.gathered, text, SOURCE)
    trained = unit.all if setup.lora is None else adapters(setup, stage).all / max(1, _layers(setup, stage))
    each = kept.gathered + kept.reduce
    yield Term(
        "gradients on the way",
        trained * each,
        f"{trained / 1e6:.1f}M × ({kept.gathered:g} B as computed + {kept.reduce:g} B to reduce)",
        SOURCE,
    )


def _layers(setup: Setup, stage: int) -> int:
    return sum(len(part.layers) for part in of_stage(setup, stage))


def root_terms(setup: Setup, stage: int, *, head_running: bool) -> Iterator[Term]:
    """Yield embedding and head while gathered: a tied one stays in the root from first to last layer.

    Its gradient stays there as well; an untied head's is scattered as soon as it is whole.
    """
    if not _gathers(setup):
        return
    embeds, heads = ends(setup, stage)
    kept = setup.states
    tied = bool(heads) and setup.shape.tie_embeddings and not embeds
    yield Term("gathered head", heads * kept.gathered, f"{heads / 1e6:.1f}M × {kept.gathered:g} B", SOURCE)
    if setup.head.kind == "none":
        return
    if head_running:
        frozen = setup.lora is not None and setup.head.kind == "full"
        own = 0.0 if frozen else heads * kept.gathered
        yield Term("gradient of the head", own, f"{heads / 1e6:.1f}M × {kept.gathered:g} B", SOURCE)
    elif tied and setup.lora is None:
        yield Term(
            "gradient of the head", heads * kept.gathered, f"{heads / 1e6:.1f}M × {kept.gathered:g} B", SOURCE
        )


def scatter_of_ends(setup: Setup, stage: int) -> Iterator[Term]:
    """Yield the widest moment of the ends: a whole gradient as computed, and its copy to reduce."""
    if not _gathers(setup) or setup.lora is not None:
        return
    largest, kept = max(ends(setup, stage)), setup.states
    each = 2 * kept.gathered + kept.reduce
    text = f"{largest / 1e6:.1f}M × ({kept.gathered:g} + {kept.gathered:g} + {kept.reduce:g} B)"
    yield Term("embedding and its gradient", largest * each, text, SOURCE)
