"""What FSDP gathers for a moment: units of parameters, and gradients before they are scattered."""

from __future__ import annotations

from collections.abc import Iterator

from rldoctor.memory.layout import Setup, Term
from rldoctor.memory.stages import of_stage
from rldoctor.memory.states import Held, adapters, held, layer
from rldoctor.models import parameters

SOURCE = "torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py"


def gathers(setup: Setup) -> bool:
    """Return whether parameters are spread over ranks and gathered to compute with."""
    return setup.states.scheme in ("fsdp", "zero3", "megatron_fsdp")


def _count(setup: Setup, stage: int) -> int:
    return max(1, sum(len(part.layers) for part in of_stage(setup, stage)))


def _unit(setup: Setup, stage: int) -> Held:
    """Return the largest layer's parameters on one rank when gathered, adapters included."""
    layers = {index for part in of_stage(setup, stage) for index, _ in part.groups}
    largest = max((layer(setup, index) for index in layers), key=lambda each: each.all, default=Held(0.0))
    extra, count = adapters(setup, stage), _count(setup, stage)
    return largest + Held(extra.dense / count, extra.expert / count)


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
    """Yield what is gathered while a layer's backward pass runs: it, the next one, and their gradients.

    Stages of a pipeline stay gathered, and their gradients whole in the dtype of reduction, until
    the last micro-batch. Megatron-FSDP's double buffers (NCCL user buffers need them) hold two layers
    and two layers' gradients for good.
    """
    if not gathers(setup):
        return
    kept, unit = setup.states, _unit(setup, stage).all
    if kept.double_buffer:
        yield _times("double buffers", 2 * unit, kept.gathered + kept.reduce)
        return
    if kept.reshard:
        yield _times("gathered layers", 2 * unit, kept.gathered)
    else:
        yield from stage_terms(setup, stage)
    trained = unit if setup.lora is None else adapters(setup, stage).all / _count(setup, stage)
    text = f"{trained / 1e6:.1f}M × ({kept.gathered:g} B as computed + {kept.reduce:g} B to reduce)"
    yield Term("gradients on the way", trained * (kept.gathered + kept.reduce), text, SOURCE)


def stage_terms(setup: Setup, stage: int) -> Iterator[Term]:
    """Yield a whole gathered stage; in a pipeline its gradients too, before they are reduced."""
    whole = held(setup, stage).all
    yield _times("gathered stage", whole, setup.states.gathered)
    if setup.parallel.pp > 1:
        yield _times("gradients not yet reduced", whole, setup.states.reduce)


def _times(name: str, count: float, size: float) -> Term:
    return Term(name, count * size, f"{count / 1e6:.1f}M × {size:g} B", SOURCE)


def root_terms(setup: Setup, stage: int, *, head_running: bool) -> Iterator[Term]:
    """Yield embedding and head while gathered: a tied one stays in the root from first to last layer.

    Its gradient stays there as well; an untied head's is scattered as soon as it is whole.
    """
    if not gathers(setup):
        return
    embeds, heads = ends(setup, stage)
    kept = setup.states
    tied = bool(heads) and setup.shape.tie_embeddings and not embeds
    if kept.root_ends and kept.reshard:
        yield _times("gathered embedding", embeds, kept.gathered)
    if kept.reshard or head_running:
        yield _times("gathered head", heads, kept.gathered)
    frozen = setup.lora is not None and setup.head.kind != "chunked_vocab"
    if heads and not frozen and (head_running or (tied and setup.lora is None)):
        yield _times("gradient of the head", heads, kept.gathered)


def cached(setup: Setup, stage: int) -> float:
    """Return bytes that all-gathers have left cached: their outputs come from a stream of their own.

    What is gathered ahead is in that stream's blocks already; an embedding or head is larger than it.
    """
    if not gathers(setup) or setup.states.scheme == "megatron_fsdp" or setup.parallel.replicas == 1:
        return 0.0
    unit, (embeds, heads) = _unit(setup, stage).all, ends(setup, stage)
    root = embeds + heads if setup.states.root_ends else max(embeds, heads)
    return max(0.0, root - unit) * setup.states.gathered


def scatter_of_ends(setup: Setup, stage: int) -> Iterator[Term]:
    """Yield the widest moment of the ends: a whole gradient as computed, and its copy to reduce."""
    if setup.lora is not None:
        return
    largest, kept = max(ends(setup, stage)), setup.states
    each = kept.gathered * 2 + kept.reduce if gathers(setup) else kept.gathered
    if setup.states.scheme == "megatron" and setup.states.fused_wgrad:
        each = 0.0
    yield _times("embedding and its gradient", largest, each)
