"""The phases of a run on one GPU, one after the other: who holds what while each goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.memory import activations, engine, fsdp, logits, overheads, states, sync, training
from rldoctor.memory.layout import GIB, Rollout, Setup, Term
from rldoctor.memory.stages import distinct, of_stage
from rldoctor.types import Role

Target = Literal["allocated", "reserved", "device"]
INSIDE = ("megatron", "builtin", "hf")
"""Engines that live in the trainer's own process, so that its allocator counts them."""
KEEPS = ("megatron",)
"""Those of them whose buffer stays when sampling is over."""


class Phase(Struct, frozen=True):
    """A phase at its fullest moment: what the trainer's process holds, and what others hold beside it.

    ``resident`` bytes of the terms never move. ``allocated`` and ``reserved`` are the process's own;
    ``device`` is all that the GPU holds.
    """

    name: str
    role: Role
    stage: int
    moment: str
    terms: tuple[Term, ...]
    beside: tuple[Term, ...]
    resident: float
    allocated: float
    reserved: float

    @property
    def device(self) -> float:
        """Return the bytes that the GPU holds in all."""
        return self.reserved + sum(term.bytes for term in self.beside)

    def of(self, target: Target) -> float:
        """Return the bytes of a target."""
        return {"allocated": self.allocated, "reserved": self.reserved, "device": self.device}[target]


NAMES = ("train", "train.logprob", "rollout", "sync")


def phases(setup: Setup, stage: int, names: Sequence[str] = NAMES) -> list[Phase]:
    """Return the phases of a rank of a pipeline stage, those of ``names`` that the run has."""
    found = []
    if "train" in names and setup.batch is not None:
        found.append(train(setup, stage))
    if "train.logprob" in names and setup.logprob_tokens:
        found.append(logprob(setup, stage))
    critic = setup.others.critic
    if "train" in names and critic is not None and critic.batch is not None:
        found.append(_critic(setup, critic, stage))
    if setup.rollout is not None:
        sampling = _rollout(setup, stage) if setup.rollout.colocated else _apart(setup, setup.rollout)
        found += [sampling] if "rollout" in names else []
        found += [_sync(setup, stage)] if "sync" in names else []
    return found


def _apart(setup: Setup, rollout: Rollout) -> Phase:
    """Return an engine on GPUs of its own while it samples: nothing of the trainer is there."""
    own = Term("engine's CUDA context", overheads.CONTEXT_GIB * GIB, "", "")
    beside = tuple(term for term in (own, *engine.terms(setup, rollout)) if term.bytes)
    return Phase("rollout", "policy", 0, "sampling, own GPUs", (), beside, 0.0, 0.0, 0.0)


def fullest(setup: Setup) -> int:
    """Return the pipeline stage whose training holds most; the asked one where one is asked for."""
    if setup.stage is not None:
        return setup.stage
    if setup.batch is None or setup.parallel.pp == 1:
        return 0
    return max(distinct(setup), key=lambda stage: _widest(setup, stage).bytes)


def _widest(setup: Setup, stage: int) -> training.Moment:
    return max(training.moments(setup, stage), key=lambda moment: moment.bytes)


def train(setup: Setup, stage: int) -> Phase:
    """Return an optimizer step at its fullest moment, and the moment at which the allocator takes most."""
    moments = training.moments(setup, stage)
    widest = max(moments, key=lambda moment: moment.bytes)
    still = sum(term.bytes for term in states.terms(setup, stage))
    waiting = tuple(_waiting(setup, stage))
    extra = sum(term.bytes for term in waiting)
    size = _calibrated(setup, widest.bytes, still) + extra
    found = _phase(setup, "train", stage, widest.name, (*widest.terms, *waiting), (size, still + extra))
    peaks = ((_calibrated(setup, each.bytes, still) + extra, each.holes) for each in moments)
    scale = setup.free.scale
    taken = (overheads.reserved(setup, peak, still + extra, holes * scale) for peak, holes in peaks)
    return replace(found, reserved=max(taken))


def _calibrated(setup: Setup, peak: float, still: float) -> float:
    """Return a peak with what a calibration found: what comes and goes is scaled, an offset is added."""
    free = setup.free
    return min(peak, still) + max(0.0, peak - still) * free.scale + free.offset * GIB


def _phase(
    setup: Setup, name: str, stage: int, moment: str, terms: tuple[Term, ...], sizes: tuple[float, float]
) -> Phase:
    peak, still = sizes
    awake = name in ("rollout", "sync")
    beside = (overheads.context(setup), *_engine_beside(setup, awake=awake and name == "rollout"))
    own = tuple(term for term in terms if term.bytes)
    return Phase(
        name=name,
        role="policy",
        stage=stage,
        moment=moment,
        terms=own,
        beside=tuple(term for term in beside if term.bytes),
        resident=min(still, peak),
        allocated=peak,
        reserved=overheads.reserved(setup, peak, still),
    )


def _waiting(setup: Setup, stage: int) -> Iterator[Term]:
    """Yield what others hold in the trainer's process while the policy trains."""
    rollout = setup.rollout
    if rollout is not None and rollout.colocated and rollout.engine in KEEPS:
        yield from _inside(setup)
    if setup.others.ref and not setup.others.ref_offload:
        yield _reference(setup, stage)
    critic = setup.others.critic
    if critic is not None:
        yield from idle(critic, min(stage, critic.parallel.pp - 1), "critic's ")


def _inside(setup: Setup) -> Iterator[Term]:
    """Yield an engine of the trainer's own process: weights where it is split otherwise, and its KV cache."""
    rollout = setup.rollout
    if rollout is None:
        return
    split = setup.parallel
    if rollout.tp not in (0, split.tp) or rollout.ep not in (0, split.ep):
        tp, ep = rollout.tp or split.tp, rollout.ep or split.ep
        yield engine.weights(setup.shape, replace(rollout, tp=tp, ep=ep))
    size = engine.pool(setup, rollout)
    if size:
        yield Term("KV cache", size, f"{size / GIB:.1f} GiB", engine.KV)
    if size and rollout.engine in KEEPS:
        tp = rollout.tp or split.tp
        yield engine.layer_graphs(setup.shape, replace(rollout, tp=tp), size)


def _reference(setup: Setup, stage: int) -> Term:
    whole, over = states.held(setup, stage), states.shards(setup)["weight"]
    size = setup.others.ref_bytes or setup.states.weight or setup.states.master
    return Term("reference", states.spread(whole, over, size), f"{size:g} B a parameter", states.ZERO)


def idle(setup: Setup, stage: int, prefix: str = "") -> Iterator[Term]:
    """Yield what a trainer keeps on the GPU while others work."""
    away = setup.offload
    moved = {
        "parameters": away.params,
        "frozen parameters": away.params,
        "gradients": away.grads or not setup.states.grad_buffer,
        "optimizer state": away.optimizer,
        "master parameters": away.optimizer,
    }
    for term in states.terms(setup, stage):
        if not moved.get(term.name, False):
            yield replace(term, name=prefix + term.name)


def _engine_beside(setup: Setup, *, awake: bool) -> Iterable[Term]:
    rollout = setup.rollout
    if rollout is None or not rollout.colocated or rollout.engine in INSIDE:
        return ()
    own = Term("engine's CUDA context", overheads.CONTEXT_GIB * GIB, "", "")
    return (own, *(engine.terms(setup, rollout) if awake else engine.asleep(setup, rollout)))


def logprob(setup: Setup, stage: int) -> Phase:
    """Return a pass that gives log-probabilities without gradients, of policy or reference."""
    still = [*idle(replace(setup, offload=replace(setup.offload, params=False)), stage)]
    still += [overheads.workspace(setup), *_waiting(setup, stage)]
    if setup.others.ref and setup.others.ref_offload:
        still.append(_reference(setup, stage))
    seen = (setup.logprob_tokens or 0) / (setup.parallel.cp * setup.parallel.ulysses)
    layer = [Term("a layer's forward pass", _forward(setup, stage) * seen, f"{seen:.0f} tokens")]
    layer += [term for term in fsdp.layer_terms(setup, stage) if term.name.startswith("gathered")]
    head: list[Term] = []
    if any(part.heads for part in of_stage(setup, stage)):
        roots = fsdp.root_terms(setup, stage, head_running=True)
        head = [term for term in roots if term.name.startswith("gathered")]
        head.append(logits.reading(setup, seen))
    work, at = max(((layer, "a layer"), (head, "head and loss")), key=lambda each: _sum(each[0]))
    fixed = _sum(still)
    return _phase(setup, "train.logprob", stage, at, (*still, *work), (fixed + _sum(work), fixed))


def _sum(terms: Iterable[Term]) -> float:
    return sum(term.bytes for term in terms)


def _forward(setup: Setup, stage: int) -> float:
    """Return bytes a token of the widest layer's forward pass, nothing of it kept."""
    layers = {index for part in of_stage(setup, stage) for index, _ in part.groups}
    every = (activations.total(activations.parts(setup, index)) for index in layers)
    return max(every, default=0.0)


def _critic(setup: Setup, critic: Setup, stage: int) -> Phase:
    own = min(stage, critic.parallel.pp - 1)
    alone = replace(critic, others=type(critic.others)(), rollout=setup.rollout, gpu_gib=setup.gpu_gib)
    found = train(alone, own)
    extra = tuple(idle(setup, stage, "policy's "))
    more = sum(term.bytes for term in extra)
    return replace(
        found,
        role="critic",
        terms=(*found.terms, *extra),
        resident=found.resident + more,
        allocated=found.allocated + more,
        reserved=found.reserved + more,
    )


def _rollout(setup: Setup, stage: int) -> Phase:
    still = [*idle(setup, stage), overheads.workspace(setup)]
    rollout = setup.rollout
    if rollout is not None and rollout.engine in INSIDE:
        still += [*_inside(setup), engine.step(setup.shape, rollout)]
    size = sum(term.bytes for term in still)
    return _phase(setup, "rollout", stage, "sampling", tuple(still), (size, size))


def _sync(setup: Setup, stage: int) -> Phase:
    """Return a weight sync: the trainer's parameters, its buckets, an engine that has woken its weights."""
    still = [*idle(replace(setup, offload=replace(setup.offload, params=False)), stage)]
    still.append(overheads.workspace(setup))
    work = list(sync.terms(setup, stage))
    fixed = sum(term.bytes for term in still)
    peak = fixed + sum(term.bytes for term in work)
    found = _phase(setup, "sync", stage, "largest tensor", (*still, *work), (peak, fixed))
    rollout = setup.rollout
    if rollout is None or rollout.engine in INSIDE or not (rollout.sleeps and rollout.colocated):
        return found
    return replace(found, beside=(*found.beside, engine.weights(setup.shape, rollout)))
