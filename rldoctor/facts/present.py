"""What exists, against what is asked for: told, else started by a launcher, else assumed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec.structs import replace

from rldoctor import dialects
from rldoctor.dialects import Detection
from rldoctor.dialects.formulas import derived, product, quotient
from rldoctor.facts.table import Table, hear
from rldoctor.types import UNKNOWN, Command, Document, Fact, Origin, State

ASSUMPTION: Final = "the cluster has what the configuration asks for"
_ALLOCATED: Final = {
    "cluster.nodes": rb"(?m)^#SBATCH[ \t]+(?:--nodes[= ]|-N[ \t]*)(\d{1,4})\b(?!-)",
    "cluster.gpus_per_node": (
        rb"(?m)^#SBATCH[ \t]+--(?:gres[= ]gpu|gpus-per-node)[=: ]?(?:[A-Za-z][\w.-]*[:=])?(\d{1,2})\b"
    ),
}
OF_A_CLUSTER: Final = (
    "cluster.nodes",
    "cluster.gpus_per_node",
    "cluster.cpus",
    "cluster.master_addr",
    "cluster.master_port",
    "cluster.ray_address",
)


def launched(
    detections: Sequence[Detection], world: Sequence[Command] = (), command: Command | None = None
) -> tuple[Fact, ...]:
    """Return what the launchers of a world say about the cluster: a command's own first, else the first.

    What starts processes for another command says nothing of this one.
    """
    own = _wrapper(world, command) if command is not None else None
    others = {"torchrun"} if command is not None and own is None else set()
    starting = [each for each in detections if each.launcher and each.system not in others]
    pairs = [(each.system, starter) for each in starting for starter in each.commands]
    found: dict[str, Fact] = {}
    for system, starter in sorted(pairs, key=lambda pair: pair[1] is not own):
        table = Table(dialects.load(system), hear(starter), None)
        for concept in OF_A_CLUSTER:
            fact = table.fact(concept)
            if fact.value is not None:
                found.setdefault(concept, fact)
    return tuple(found.values())


def joined(document: Document, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """Return what launchers say, where a script is run on further nodes too that join the first one."""
    counted = any(fact.concept == "cluster.nodes" for fact in facts)
    joins = any(
        each.program == "ray start" and any(setting.key == "--address" for setting in each.settings)
        for world in document.worlds
        for each in world
    )
    if counted or not joins:
        return facts
    return (
        *facts,
        Fact("policy", "cluster.nodes", UNKNOWN, Origin("derived", "ray start --address"), "unknown"),
    )


def allocated(document: Document, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """Return what launchers say, and what a batch script asks Slurm for where no launcher says it."""
    known = {fact.concept for fact in facts if fact.value is not UNKNOWN}
    data = document.files.get(document.path, b"")
    asks = document.kind == "shell" and b"#SBATCH" in data
    if not asks or {"cluster.nodes", "cluster.gpus_per_node"} <= known:
        return facts
    asked = {name: re.search(pattern, data) for name, pattern in _ALLOCATED.items()}
    if asked["cluster.gpus_per_node"] is None:
        return facts
    found = [
        Fact("policy", name, int(said[1]), Origin("written", said[0].decode()), "known", "slurm")
        for name, said in asked.items()
        if said is not None and name not in known
    ]
    kept = [fact for fact in facts if fact.concept not in {each.concept for each in found}]
    return (*kept, *found)


def _wrapper(world: Sequence[Command], command: Command) -> Command | None:
    """Return the nearest command above that wraps a command."""
    before: Command | None = None
    for each in world:
        if each is command:
            break
        if each.program in command.wrapped_by:
            before = each
    return before


def asked_by_launcher(table: Table, launchers: Sequence[Fact]) -> None:
    """Take nodes and GPUs from torchrun where the system's own arguments do not tell them."""
    pairs = (("train.nodes", "cluster.nodes"), ("train.gpus_per_node", "cluster.gpus_per_node"))
    told = {fact.concept: fact for fact in launchers if fact.system == "torchrun"}
    for asked, present in pairs:
        if table.get(asked) is None and present in told:
            table.put(replace(told[present], concept=asked))


def counted(table: Table) -> None:
    """Take what the machine would be asked for (`nvidia-smi | wc -l`) from what a person told."""
    pairs = (("train.nodes", "cluster.nodes"), ("train.gpus_per_node", "cluster.gpus_per_node"))
    for asked, there in pairs:
        if table.get(asked) is UNKNOWN and ("policy", there) in table.told:
            fact = derived(asked, table.get(there), (there,), text=f"{there} as told")
            assumes = (f"the launch asks for all that {there} tells",)
            table.put(replace(fact, state="assumed", assumes=assumes))


def present(table: Table, launchers: Sequence[Fact]) -> None:
    """Put what exists into the table."""
    for fact in launchers:
        if table.get(fact.concept) is None:
            table.put(fact)
    for fact in _cluster(table):
        if fact.value is not None and table.get(fact.concept) is None:
            table.put(fact)


def _cluster(table: Table) -> Iterator[Fact]:
    told = table.get("cluster.gpus")
    width = table.get("cluster.gpus_per_node")
    if width is None:
        yield _visible(table) or _assumed(table, "cluster.gpus_per_node", *_widest(table))
        width = table.get("cluster.gpus_per_node")
    if table.get("cluster.nodes") is None and told is not None:
        nodes = quotient(told, width)
        yield derived("cluster.nodes", nodes, ("cluster.gpus", "cluster.gpus_per_node"))
    elif table.get("cluster.nodes") is None:
        yield _assumed(table, "cluster.nodes", *_most_nodes(table))
    if told is not None:
        return
    inputs = ("cluster.nodes", "cluster.gpus_per_node")
    count = product(*(table.get(concept) for concept in inputs))
    if _is_told(table, "cluster.gpus_per_node") or _is_told(table, "cluster.nodes"):
        fact = derived("cluster.gpus", count, inputs)
        assumed = [table.fact(concept).assumes for concept in inputs]
        yield replace(fact, assumes=tuple(dict.fromkeys(text for each in assumed for text in each)))
    else:
        asked = "cluster.asked_gpus"
        yield _assumed(table, "cluster.gpus", table.get(asked), (asked,))


def _is_told(table: Table, concept: str) -> bool:
    fact = table.fact(concept)
    return fact.value is not None and fact.origin.kind != "derived"


def _assumed(table: Table, concept: str, value: Any, inputs: tuple[str, ...]) -> Fact:
    fact = derived(concept, value, inputs)
    state: State = "unknown" if value is UNKNOWN else "assumed"
    return replace(fact, state=state, assumes=(ASSUMPTION,), system=table.system)


def _visible(table: Table) -> Fact | None:
    """Return the GPUs of a node that the launch lets its processes see."""
    fact = table.environment("CUDA_VISIBLE_DEVICES")
    if fact.state != "known" or fact.origin.kind != "written" or not isinstance(fact.value, str | int):
        return None
    names = str(fact.value).strip("'\" ").split(",")
    if not all(name.strip().isdigit() for name in names):
        return None
    return replace(fact, concept="cluster.gpus_per_node", value=len(names), system=table.system)


def _widest(table: Table) -> tuple[Any, tuple[str, ...]]:
    """Return the largest number of GPUs that is asked of a node."""
    names = ("train.gpus_per_node", "rollout.gpus_per_node")
    return _largest(table, names)


def _most_nodes(table: Table) -> tuple[Any, tuple[str, ...]]:
    colocated = table.get("cluster.colocate")
    names = ("train.nodes", "rollout.nodes")
    if colocated is False and all(table.get(name) not in (None, UNKNOWN) for name in names):
        return table.get(names[0]) + table.get(names[1]), names
    count, inputs = _largest(table, names)
    asked, width = table.get("cluster.asked_gpus"), table.get("cluster.gpus_per_node")
    if isinstance(count, int) and count > 1 and isinstance(asked, int) and width not in (None, UNKNOWN, 0):
        # other nodes join from elsewhere: as many as are asked for
        return max(count, math.ceil(asked / width)), (*inputs, "cluster.asked_gpus")
    return count, inputs


def _largest(table: Table, names: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    values = {name: table.get(name) for name in names if table.get(name) is not None}
    if UNKNOWN in values.values():
        return UNKNOWN, tuple(values)
    return max(values.values(), default=None), tuple(values)
