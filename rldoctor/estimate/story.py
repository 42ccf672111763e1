"""One estimate of a file: every phase of the fullest rank, against the GPU, the host and the disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor import facts, sources
from rldoctor.estimate import described, measured, solving
from rldoctor.estimate.machine import Machine, told_in
from rldoctor.facts import Facts, ToldFacts
from rldoctor.facts.memory_setup import Sized, sized
from rldoctor.memory.layout import Setup
from rldoctor.memory.phases import NAMES, fullest, phases
from rldoctor.types import Document, Report, RLDoctorError

CHANGES: Final = {
    "model.path": "everything",
    "model.param_dtype": "parameters, gradients and optimizer state",
    "model.lora_rank": "parameters, gradients and optimizer state",
    "optim.type": "optimizer state",
    "algo.entropy_coef": "logits",
    "train.backend": "everything",
    "train.world_size": "everything that ranks share",
    "train.fsdp_size": "over how many ranks states are spread",
    "train.distributed_optimizer": "optimizer state",
    "train.compute_dtype": "activations and gathered layers",
    "batch.dynamic": "activations and logits",
    "batch.max_tokens_per_gpu": "activations and logits",
    "batch.longest_sample": "activations and logits",
    "batch.micro": "activations and logits",
    "batch.samples_per_rank": "the largest micro-batch, and whether gradients are there when it starts",
    "batch.max_tokens_logprob": "the pass for log-probabilities",
    "batch.logprob_micro": "the pass for log-probabilities",
    "cluster.gpu_memory_gib": "whether it fits, and the KV cache",
    "cluster.colocate": "whether trainer and engine share a GPU",
    "rollout.mem_fraction": "the KV cache",
    "sync.bucket": "weight sync",
    "mem.recompute": "activations",
    "mem.expandable_segments": "reserved bytes",
}
KINDS: Final = {
    "train.": "what a rank holds of the model",
    "model.": "parameters and activations",
    "batch.": "activations and logits",
    "rollout.": "the engine",
    "mem.offload_": "what stays on the GPU while others work",
    "mem.": "activations and states",
    "sync.": "weight sync",
    "cluster.": "whether it fits",
}


class Ask(Struct, frozen=True):
    """What a person wants beside the table: the largest that fits, other values, all ranks, a run's peaks."""

    solve: tuple[str, ...] = ()
    what_if: tuple[str, ...] = ()
    all_ranks: bool = False
    peaks: tuple[str, ...] = ()


SERVERS: Final = ("vllm", "sglang")
"""Systems that only sample: there is no trainer beside them to be counted."""
OF_TRAINERS: Final = ("batch.", "train.")


def estimate(paths: Sequence[str], told: ToldFacts, ask: Ask | None = None) -> Report:
    """Return a report whose ``memory`` holds the estimate of each file; RLDoctorError for what cannot be."""
    began, wanted = time.perf_counter(), ask or Ask()
    told_files = [_of_file(path, told, wanted) for path in paths]
    found = [each for several in told_files for each in several]
    return Report(
        command="estimate",
        subjects=tuple(paths),
        verdict="nothing" if all(each["fits"] is not False for each in found) else "config",
        summary=described.summary(found),
        findings=(),
        memory={"estimates": found},
        timings={"seconds": round(time.perf_counter() - began, 4)},
        notes=tuple(dict.fromkeys(note for each in found for note in each["assumes"])),
    )


def _of_file(path: str, told: ToldFacts, ask: Ask) -> list[dict[str, Any]]:
    document = sources.read(path, sources.told_of(told.env, told.args, told.set))
    worlds = facts.walk_known(document, told)
    guess = _guessed(document, worlds, told)
    if guess is not None:
        worlds = _on(guess, path, told) or worlds
    found = [of_facts(world, ask) for world in worlds]
    if guess is not None and found:
        said = f"{guess.nodes} × {guess.gpus} GPUs, as line {guess.line} says: {guess.text}"
        found = [{**each, "assumes": [*each["assumes"], said]} for each in found]
    first = found[:1]
    return first + [each for each in found[1:] if each["phases"] != first[0]["phases"]]


def _on(machine: Machine, path: str, told: ToldFacts) -> tuple[Facts, ...]:
    """Return the facts on a machine; nothing where its ranks do not come out, or cannot be laid out."""
    there = {"cluster.gpus_per_node": str(machine.gpus), "cluster.nodes": str(machine.nodes)}
    nodes = dict.fromkeys(("NNODES", "WORLD_SIZE"), str(machine.nodes)) if machine.nodes > 1 else {}
    told = replace(told, set={**told.set, **there}, env={**nodes, **told.env})
    worlds = facts.walk_known(sources.read(path, sources.told_of(told.env, told.args, told.set)), told)
    setups = [sized(world).setup for world in worlds]
    fits = all(each is not None and each.parallel.world == machine.gpus * machine.nodes for each in setups)
    return worlds if fits else ()


def _guessed(document: Document, worlds: Sequence[Facts], told: ToldFacts) -> Machine | None:
    """Return the machine of a script's own comments, where nothing else tells how many ranks there are."""
    if document.kind != "shell" or any(name.startswith("cluster.gpus") for name in told.set):
        return None
    if all("train.world_size" not in sized(world).lacks for world in worlds):
        return None
    return told_in(document.files.get(document.path, b""))


def of_facts(world: Facts, ask: Ask) -> dict[str, Any]:
    """Return the estimate of one run's facts as plain values."""
    size = sized(world)
    if size.setup is None:
        raise _refused(size, world.document.path if world.document else None, _named(world))
    setup, calibration = measured.calibrated(size.setup, ask.peaks)
    stages = range(setup.parallel.pp) if ask.all_ranks else (fullest(setup),)
    names, trains = _names(world), world.system not in SERVERS
    rows = [described.phase(setup, phase) for stage in stages for phase in phases(setup, stage, names)]
    unsized = ["train"] if trains and setup.batch is None else []
    return {
        "file": world.document.path if world.document else None,
        "system": world.system,
        "model": described.model(setup.shape),
        "ranks": setup.parallel.world,
        "gpu_gib": setup.gpu_gib,
        "phases": rows,
        "unsized": unsized,
        "fits": described.verdict(rows, unsized),
        "host": described.host(world, setup) if trains else [],
        "disk": described.disk(world, setup) if trains else [],
        "calibration": calibration,
        "solved": [solving.solve(world, setup, name) for name in ask.solve],
        "what_if": [_what_if(world, setup, text) for text in ask.what_if],
        "unknown": [each for each in unknown(size) if trains or not each["concept"].startswith(OF_TRAINERS)],
        "assumes": assumed(setup),
    }


def _names(world: Facts) -> Sequence[str]:
    """Return the phases that a system has at most."""
    return ("rollout",) if world.system in SERVERS else NAMES


def _named(world: Facts) -> str | None:
    """Return the model as the user wrote it, variables that nobody knows included; None without one."""
    found = world.setting("model.path")
    value = world.value("model.path") if found is None else found[1].value
    return value if isinstance(value, str) and value else None


def _refused(size: Sized, file: str | None, model: str | None) -> RLDoctorError:
    """Return why there is no number: what is wrong, or what nobody told."""
    if size.wrong:
        return RLDoctorError(f"no run can be like this: {'; '.join(size.wrong)}", file=file)
    if size.lacks == ("model.path",) and model is not None:
        message = f"memory cannot be estimated: nobody here knows the sizes of {model}"
        hint = "--model FOLDER with its config.json, or a model of the same sizes that is known"
        return RLDoctorError(message, file=file, hint=hint)
    verb = "are" if len(size.lacks) > 1 else "is"
    hint = " ".join(f"--set {name}=…" for name in size.lacks)
    if "train.world_size" in size.lacks:
        hint += " (or --gpus and --nodes, where the script takes what is there)"
    message = f"memory cannot be estimated: {' and '.join(size.lacks)} {verb} not known"
    return RLDoctorError(message, file=file, hint=hint)


def _what_if(world: Facts, setup: Setup, text: str) -> dict[str, Any]:
    """Return the phases as they would be with another value."""
    name, value = solving.pair(text)
    other = sized(world.changed({name: value}))
    if other.setup is None:
        raise _refused(other, f"--what-if {text}", _named(world))
    changed = replace(other.setup, free=setup.free)
    rows = [described.phase(changed, each) for each in phases(changed, fullest(changed), _names(world))]
    return {
        "concept": name,
        "value": value,
        "phases": rows,
        "fits": described.verdict(rows),
        "host": described.host(world.changed({name: value}), changed),
    }


def unknown(size: Sized) -> list[dict[str, str]]:
    """Return the inputs that nobody told, each with what it would change."""
    names = dict.fromkeys((*size.lacks, *size.unknown))
    if size.setup is not None and size.setup.gpu_gib is None:
        names.setdefault("cluster.gpu_memory_gib", None)
    return [{"concept": name, "changes": _changes(name)} for name in names]


def _changes(name: str) -> str:
    kinds = (text for prefix, text in KINDS.items() if name.startswith(prefix))
    return CHANGES.get(name) or next(kinds, "a part of the table")


def assumed(setup: Setup) -> list[str]:
    """Return what the numbers take for granted."""
    found = []
    if not setup.shape.exact:
        kind = setup.shape.architecture
        found.append(f"{kind} is counted as a plain transformer of its sizes: its architecture is not known")
    if setup.shape.num_experts and setup.parallel.ep > 1:
        found.append(f"the fullest rank's experts get {setup.free.imbalance:g} times the mean of tokens")
    return found
