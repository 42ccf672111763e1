"""Weight sync: what sender and receiver hold for a moment."""

from __future__ import annotations

from collections.abc import Iterator

from rldoctor.memory import fsdp, states
from rldoctor.memory.layout import Setup, Term
from rldoctor.memory.stages import of_stage
from rldoctor.models import parameters

GATHER = "a sharded parameter is gathered whole to be sent (DTensor.full_tensor; Megatron's converters)"
BUCKET = "tensors are packed into a bucket; the receiver opens its own"


def largest(setup: Setup) -> float:
    """Return the parameters of the largest tensor that is gathered whole: embedding, MLP, or all experts."""
    shape = setup.shape
    found: list[float] = [parameters.embedding(shape), 2 * shape.hidden_size * shape.ffn_hidden_size]
    if shape.num_experts:
        found.append(parameters.expert(shape) * (shape.num_experts / max(1, setup.parallel.ep)))
    return float(max(found))


def terms(setup: Setup, stage: int) -> Iterator[Term]:
    """Yield the buckets and the largest gathered tensor, in bf16."""
    size = largest(setup) * 2.0
    yield Term("largest gathered tensor", size, f"{largest(setup) / 1e6:.1f}M × 2 B", GATHER)
    if setup.sync_bucket:
        both = 2.0 if setup.rollout is not None and setup.rollout.colocated else 1.0
        text = f"{both:g} × {setup.sync_bucket / 2**20:.0f} MiB"
        yield Term("sync buckets", both * setup.sync_bucket, text, BUCKET)
    if fsdp.gathers(setup):
        return
    layers = {index for part in of_stage(setup, stage) for index, _ in part.groups}
    each = max((states.layer(setup, index).all for index in layers), default=0.0)
    yield Term("layer being converted", each * 2.0, f"{each / 1e6:.1f}M × 2 B", GATHER)
