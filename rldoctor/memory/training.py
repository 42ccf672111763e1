"""The moments of a training step at which a rank may hold most."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.memory import activations, fsdp, logits, overheads, states
from rldoctor.memory.layout import Setup, Term
from rldoctor.memory.stages import Piece, in_flight, of_stage
from rldoctor.models import parameters

KORTHIKANTI = "arXiv:2205.05198 §4, counted tensor by tensor"


class Moment(Struct, frozen=True):
    """A point in a phase: what a rank holds then; ``holes`` are cached blocks that nothing else fits."""

    name: str
    terms: tuple[Term, ...]
    holes: float = 0.0

    @property
    def bytes(self) -> float:
        """Return the sum of all terms."""
        return sum(term.bytes for term in self.terms)


def moments(setup: Setup, stage: int) -> list[Moment]:
    """Return the moments of a training step of one pipeline stage."""
    own = overheads.workspace(setup)
    whole = (*states.terms(setup, stage), own)
    step = (*_last_gradient(setup), states.step_temporaries(setup, stage))
    found = [Moment("optimizer step", (*whole, *step))]
    if setup.batch is None:
        return found
    before = (*states.terms(setup, stage, grads=_has_gradients(setup)), own)
    # gradients come and go in blocks of their own sizes, which later activations do not fit
    cached = sum(term.bytes for term in whole) - sum(term.bytes for term in before)
    cached += fsdp.cached(setup, stage)
    graphs = tuple(_captured(setup, stage))
    if graphs:
        fresh = tuple(term for term in whole if term.name != "optimizer state")
        found.append(Moment("capture of graphs", (*fresh, *graphs)))
        cached += sum(term.bytes for term in graphs)
    saved = tuple(kept(setup, stage))
    layers = (*fsdp.layer_terms(setup, stage), *fsdp.root_terms(setup, stage, head_running=False))
    working = _working(setup, stage)
    behind = tuple(term for term in saved if term.name != "final norm")
    found.append(Moment("backward, last layer", (*before, *behind, *layers, working), cached))
    found.append(Moment("backward, first layer", (*_first(setup, stage, whole), *layers, working)))
    found.append(Moment("backward, embedding", (*whole, *fsdp.scatter_of_ends(setup, stage))))
    if any(part.heads for part in of_stage(setup, stage)):
        root = tuple(fsdp.root_terms(setup, stage, head_running=True))
        head = (*root, logits.term(setup), logits.deferred(setup))
        found.append(Moment("head and loss", (*before, *saved, *head), cached + logits.hole(setup)))
    return found


def _first(setup: Setup, stage: int, whole: tuple[Term, ...]) -> Iterator[Term]:
    """Yield states at the first layer's widest point: without accumulation its own gradients are to come."""
    micro = setup.batch.micro_batches if setup.batch else 1
    count = max(1, sum(len(part.layers) for part in of_stage(setup, stage)))
    over = states.shards(setup)["grad"]
    for term in whole:
        if term.name == "gradients" and micro == 1 and not setup.states.grad_buffer:
            trained = states.layers_of(setup, stage)
            own = states.spread(trained, over, setup.states.grad) / count
            yield replace(term, bytes=max(0.0, term.bytes - own), formula=f"{term.formula}, less a layer's")
        else:
            yield term


def _last_gradient(setup: Setup) -> Iterator[Term]:
    """Yield the one gradient that is there when each parameter steps inside the backward pass."""
    if setup.states.grad_in_backward:
        size = parameters.embedding(setup.shape) / setup.parallel.tp
        yield Term("largest gradient", size * setup.states.grad, f"{size / 1e6:.1f}M", states.QUANTIZED)


def _has_gradients(setup: Setup) -> bool:
    """Return whether gradients are there when the largest micro-batch starts its backward pass."""
    micro = setup.batch.micro_batches if setup.batch else 1
    return setup.states.grad_buffer or (micro > 1 and setup.parallel.pp == 1)


def piece_kept(setup: Setup, part: Piece) -> float:
    """Return bytes a token that one micro-batch keeps on a virtual stage."""
    recompute = setup.recompute
    groups = [*part.groups, (setup.shape.num_layers - 1, part.mtp)]
    again = recompute.layers if recompute.kind == "full" else None
    whole = 0.0
    for index, count in groups:
        full = count if again is None else min(again, count)
        whole += full * (activations.kept(setup, index) - activations.captured(setup, index))
        whole += (count - full) * activations.total(activations.parts(setup, index))
        again = None if again is None else again - full
    return whole


def _captured(setup: Setup, stage: int) -> Iterator[Term]:
    """Yield what graphs of all micro-batches in flight take when they are captured, before a step."""
    if not setup.kernels.graphed:
        return
    seen, parts = activations.tokens(setup), of_stage(setup, stage)
    each = [sum(n * activations.captured(setup, index) for index, n in part.groups) for part in parts]
    flight = in_flight(setup, stage, each)
    whole = sum(count * size for count, size in zip(flight, each, strict=True)) * seen
    text = f"{sum(flight)} virtual stages in flight × {seen:.0f} tokens"
    yield Term("activations in graphs", whole, text, KORTHIKANTI)
    gradients = activations.attention_gradients(setup)
    yield Term(
        "gradients of attention", gradients * seen, f"{seen:.0f} tokens × {gradients:.0f} B", KORTHIKANTI
    )


def kept(setup: Setup, stage: int) -> Iterator[Term]:
    """Yield the activations that all micro-batches in flight keep on a stage."""
    seen, parts = activations.tokens(setup), of_stage(setup, stage)
    each = [piece_kept(setup, part) for part in parts]
    flight = in_flight(setup, stage, each)
    whole = sum(count * size for count, size in zip(flight, each, strict=True)) * seen
    layers = sum(count * (len(p.layers) + p.mtp) for count, p in zip(flight, parts, strict=True))
    name = "layer inputs" if setup.recompute.kind == "full" else "activations"
    text = f"{layers} layers in flight × {seen:.0f} tokens × {whole / max(1, layers * seen):.0f} B"
    yield Term(name, whole, text, KORTHIKANTI)
    if setup.recompute.offload and setup.recompute.kind == "full":
        yield Term("layer inputs on their way to the host", 2 * activations.stream(setup) * seen)
    yield _final_norm(setup, parts)
    if setup.parallel.pp > 1 and setup.kernels.stack != "te":
        yield _between(setup, stage, sum(flight))


def _between(setup: Setup, stage: int, flight: int) -> Term:
    """Return what torch's pipeline holds between stages: inputs and gradients to receive, outputs sent."""
    micro, last = setup.batch.micro_batches if setup.batch else 1, stage == setup.parallel.pp - 1
    count = (micro if stage else 0) + (0 if last else micro + flight)
    count *= setup.parallel.vpp
    size = activations.stream(setup) * activations.tokens(setup)
    text = f"{count} × {size / 2**20:.0f} MiB"
    return Term("pipeline buffers", count * size, text, "torch/distributed/pipelining/stage.py")


def _final_norm(setup: Setup, parts: list[Piece]) -> Term:
    """Return input and output of the last norm; DTensor gathers the latter for the head and keeps it."""
    if not any(part.heads for part in parts):
        return Term("final norm", 0.0)
    inside = activations.eager_norm(setup) if setup.kernels.stack == "eager" else 1
    each = (1 + inside) * activations.stream(setup)
    if setup.parallel.sequence_parallel and setup.kernels.stack != "te":
        each += setup.kernels.width * setup.shape.hidden_size
    return Term("final norm", each * activations.tokens(setup), "its input and output", KORTHIKANTI)


def _working(setup: Setup, stage: int) -> Term:
    layers = {index for part in of_stage(setup, stage) for index, _ in part.groups}
    each = max((activations.working(setup, index) for index in layers), default=0.0)
    seen = activations.tokens(setup)
    name = "recomputed layer and its gradients" if setup.recompute.kind != "none" else "gradients of a layer"
    return Term(name, each * seen, f"{seen:.0f} tokens × {each:.0f} B", KORTHIKANTI)
