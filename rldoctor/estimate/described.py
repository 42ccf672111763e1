"""Estimates as plain values: what JSON carries and what the table is drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rldoctor.facts import Facts
from rldoctor.memory import disk as on_disk
from rldoctor.memory import host as on_host
from rldoctor.memory.interval import around
from rldoctor.memory.layout import GIB, Setup, Term
from rldoctor.memory.phases import Phase
from rldoctor.models import Shape, parameters


def gib(size: float) -> float:
    """Return bytes in GiB, to a KiB."""
    return round(size / GIB, 6)


def term(one: Term) -> dict[str, Any]:
    """Return a term with its arithmetic and its source."""
    return {"name": one.name, "gib": gib(one.bytes), "formula": one.formula, "source": one.source}


def model(shape: Shape) -> dict[str, Any]:
    """Return what is known of the model."""
    return {"source": shape.source, "architecture": shape.architecture, "parameters": parameters.total(shape)}


def phase(setup: Setup, one: Phase) -> dict[str, Any]:
    """Return a phase: its terms, three targets, and the interval of what the GPU holds in all."""
    whole = around(setup, one, "device")
    own = around(setup, one, "reserved")
    room = None if setup.gpu_gib is None else setup.gpu_gib * GIB
    return {
        "phase": one.name,
        "role": one.role,
        "stage": one.stage,
        "moment": one.moment,
        "allocated_gib": gib(one.allocated),
        "reserved_gib": gib(one.reserved),
        "reserved_interval_gib": [gib(own.low), gib(own.high)],
        "device_gib": gib(one.device),
        "device_interval_gib": [gib(whole.low), gib(whole.high)],
        "fits": fits(room, whole.low, whole.high),
        "margin_gib": None if room is None else gib(room - one.device),
        "terms": [term(each) for each in one.terms],
        "beside": [term(each) for each in one.beside],
    }


def fits(room: float | None, low: float, high: float) -> bool | None:
    """Return whether a phase surely fits, surely does not, or None: nobody can say."""
    if room is None:
        return None
    if high <= room:
        return True
    return False if low > room else None


def verdict(rows: Sequence[dict[str, Any]], unsized: Sequence[str] = ()) -> bool | None:
    """Return whether all phases fit; None where one may not, or has no size."""
    answers = [*(row["fits"] for row in rows), *(None for _ in unsized)]
    if False in answers:
        return False
    return None if None in answers or not answers else True


def summary(found: Sequence[dict[str, Any]]) -> str:
    """Return one sentence on the fullest phase of the first file."""
    if not found or not found[0]["phases"]:
        return "Nothing could be estimated."
    first = found[0]
    widest = max(first["phases"], key=lambda row: float(row["device_gib"]))
    unit, scale = ("GiB", 1.0) if widest["device_gib"] >= 1 else ("MiB", 1024.0)
    low, high = (end * scale for end in widest["device_interval_gib"])
    size = f"{widest['device_gib'] * scale:.1f} {unit} of device memory ({low:.1f} to {high:.1f})"
    lead = f"{' and '.join(first['unsized'])} could not be sized; of the rest " if first["unsized"] else ""
    text = f"{lead}{widest['phase']} holds most: {size}"
    if first["gpu_gib"] is None:
        return f"{text}; the GPU's size is not known."
    answer = verdict(first["phases"])
    says = {True: "fits", False: "does not fit", None: "may not fit"}[answer]
    return f"{text}; {says} in {first['gpu_gib'] * scale:.1f} {unit}."


def _count(facts: Facts, concept: str) -> int | None:
    value = facts.value(concept)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def host(facts: Facts, setup: Setup) -> list[dict[str, Any]]:
    """Return host memory of a node: while weights are loaded, and while the run goes on."""
    width = _count(facts, "train.gpus_per_node") or _count(facts, "cluster.gpus_per_node") or 8
    ranks = min(width, setup.parallel.world)
    own = _load_bytes(facts, setup)
    sizes = [own, *([setup.others.ref_bytes or own] if setup.others.ref else [])]
    sizes += [own] if setup.others.critic is not None else []
    node = on_host.Node(
        ranks=ranks,
        copies=_copies(facts, setup, ranks) * len(sizes),
        load_bytes=sum(sizes) / len(sizes),
        data_workers=_count(facts, "data.workers") or 0,
        stored_tokens=_stored(facts),
    )
    room = facts.value("cluster.host_memory_gib")
    known = float(room) if isinstance(room, int | float) else None
    return [
        _place("start.load", on_host.loading(setup, node), known),
        _place("train", on_host.running(setup, node), known),
    ]


ON_RAY: Final = ("verl", "slime", "chatlearn", "openrlhf")


def _stored(facts: Facts) -> int:
    """Return the tokens of a rollout that pass through Ray's object store; 0 where nobody knows."""
    if facts.system not in ON_RAY:
        return 0
    return (_count(facts, "batch.samples_per_rollout") or 0) * (_count(facts, "batch.longest_sample") or 0)


def _load_bytes(facts: Facts, setup: Setup) -> float:
    """Return bytes of a parameter while it is read: ChatLearn widens its shards only when they are sharded.

    chatlearn/models/fsdp_module.py:model_setup.
    """
    return 2.0 if facts.system == "chatlearn" else setup.states.weight or setup.states.master


def _copies(facts: Facts, setup: Setup, ranks: int) -> float:
    """Return how many whole copies of a model the ranks of a node load.

    On meta one rank reads for all; verl does so by itself unless embeddings are tied
    (utils/fsdp_utils.py:get_init_weight_context_manager). Megatron's ranks read their own part.
    """
    if setup.states.scheme in ("megatron", "megatron_fsdp"):
        return max(1.0, ranks / (setup.parallel.tp * setup.parallel.pp))
    by_itself = facts.system == "verl" and not setup.shape.tie_embeddings
    return 1.0 if facts.value("mem.meta_init") is True or by_itself else float(ranks)


def _place(name: str, found: Iterable[Term], room: float | None) -> dict[str, Any]:
    terms = list(found)
    size = sum(each.bytes for each in terms) / GIB
    fit = None if room is None else size <= room
    return {
        "phase": name,
        "gib": round(size, 2),
        "of_gib": room,
        "fits": fit,
        "terms": [term(t) for t in terms],
    }


def disk(facts: Facts, setup: Setup) -> list[dict[str, Any]]:
    """Return the bytes of a checkpoint and of all that are kept; nothing where none is saved."""
    folder = facts.value("ckpt.save_dir")
    if folder is None:
        return []
    form, keep = facts.value("ckpt.format"), facts.value("ckpt.keep")
    saves = facts.value("ckpt.no_save_optim") is not True
    one = on_disk.checkpoint(setup, form if isinstance(form, str) else None, optimizer=saves)
    count = keep if isinstance(keep, int) and not isinstance(keep, bool) and keep > 0 else None
    return [term(one), term(on_disk.kept(one, count))] if count else [term(one)]
