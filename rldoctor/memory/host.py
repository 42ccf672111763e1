"""Host memory of a node: loading, offloaded states, pinned buffers, Ray, data workers."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rldoctor.memory import states
from rldoctor.memory.layout import GIB, Setup, Term
from rldoctor.models import parameters

LOAD = "from_pretrained reads the whole checkpoint into each process that does not build on meta"
PINNED = "offloaded states are copied to (pinned) host memory"
PYTHON = "a process with torch and its libraries; measured 0.4 to 3 GiB"
RAY = "verl/protocol.py: padded tokens, masks, positions (8 B each), log-probabilities, rewards (4 B each)"
SAMPLE_BYTES = 48
PROCESS_GIB = 3.0
WORKER_GIB = 0.6


class Node(Struct, frozen=True):
    """A host: its ranks, how many whole copies of the weights they load, and what else lives there.

    ``stored_tokens`` of a rollout lie in Ray's object store, those of the last step beside the next one's.
    """

    ranks: int
    copies: float = 1.0
    load_bytes: float = 2.0
    data_workers: int = 0
    stored_tokens: int = 0


def loading(setup: Setup, node: Node) -> Iterator[Term]:
    """Yield host memory while weights are loaded."""
    whole = parameters.total(setup.shape) * node.load_bytes
    text = f"{node.copies:g} × {whole / GIB:.1f} GiB"
    yield Term("weights being loaded", node.copies * whole, text, LOAD)
    yield _processes(node)


def running(setup: Setup, node: Node, stage: int = 0) -> Iterator[Term]:
    """Yield host memory while the run goes on."""
    for name, size in _moved(setup, stage):
        yield Term(name, node.ranks * size, f"{node.ranks} ranks × {size / GIB:.2f} GiB", PINNED)
    if node.stored_tokens:
        text = f"2 × {node.stored_tokens} tokens × {SAMPLE_BYTES} B"
        yield Term("Ray object store", 2.0 * node.stored_tokens * SAMPLE_BYTES, text, RAY)
    if node.data_workers:
        text = f"{node.ranks} ranks × {node.data_workers} workers × {WORKER_GIB} GiB"
        yield Term("data workers", node.ranks * node.data_workers * WORKER_GIB * GIB, text, PYTHON)
    yield _processes(node)


def _moved(setup: Setup, stage: int) -> Iterator[tuple[str, float]]:
    kept, over = setup.states, states.shards(setup)
    params = states.held(setup, stage) if setup.lora is None else states.adapters(setup, stage)
    weight = kept.weight or kept.master
    if setup.offload.params or kept.away:
        yield "offloaded parameters", states.spread(params, over["weight"], weight)
    if setup.offload.grads or kept.away:
        yield "offloaded gradients", states.spread(params, over["grad"], kept.grad)
    share = 1.0 if setup.offload.optimizer or kept.away else kept.on_host
    size = kept.moments + (kept.master if kept.weight else 0.0)
    if share:
        yield "offloaded optimizer state", share * states.spread(params, over["optimizer"], size)
    if setup.recompute.offload and setup.batch is not None:
        split = setup.parallel
        seen = setup.batch.tokens / (split.cp * split.ulysses)
        layers = setup.shape.num_layers / split.pp
        yield "offloaded activations", seen * 2.0 * setup.shape.hidden_size * layers
    if setup.others.ref and setup.others.ref_offload:
        yield "offloaded reference", states.spread(states.held(setup, stage), over["weight"], weight)
    if setup.rollout is not None and setup.rollout.sleeps and not setup.rollout.drops_weights:
        yield "weights of sleeping engines", 2.0 * states.held(setup, stage).all


def _processes(node: Node) -> Term:
    return Term("processes", node.ranks * PROCESS_GIB * GIB, f"{node.ranks} × {PROCESS_GIB:g} GiB", PYTHON)
