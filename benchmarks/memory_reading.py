"""Measured points: reading them from a folder, and what the memory model says of each."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from megatron_setups import worlds_of
from msgspec.structs import replace
from point_keys import SIZES, foreign, unread
from point_setups import config_of, rollout_of, setup_of, shape_of

from rldoctor.memory import engine, overheads, states
from rldoctor.memory.layout import GIB, Free, Setup
from rldoctor.memory.phases import Phase, Target, fullest, train

GPUS = {
    "A6000": 47.5,
    "L40": 44.5,
    "4090": 23.6,
    "3090": 23.6,
    "A100": 79.2,
    "A800": 79.2,
    "H100 96": 93.0,
    "H100": 79.1,
    "H800": 79.1,
    "H20": 95.0,
    "GB200": 184.0,
    "H200": 139.8,
    "B200": 178.4,
}
"""GiB that torch sees, where a name tells; the longest name that fits counts."""
UNITS = {"GiB": 1.0, "GB": 1e9 / GIB, "MiB": 1 / 1024, "MB": 1e6 / GIB, "TiB": 1024.0, "bytes": 1 / GIB}
KINDS = ("train", "states", "weights", "kv-cache")
STILL = re.compile(
    r"\bstatic\b|shard only|parameters only|after (the )?(fsdp|init|model|load|build|wrap|shard)", re.I
)
"""Words of a measurement before any step: the parameters alone are there."""
SPELLED = {"training": "train", "sft": "train", "rl": "train", "weight": "weights", "kv": "kv-cache"}
UNSHARED = ("hardware", "note")
SHAPES = "memory_models.yaml"


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A measured point with its setup; ``value`` (GiB) None: the run failed. ``lacks`` keeps it apart.

    ``steady`` GiB stay allocated between steps.
    """

    id: str
    family: str
    kind: str
    target: Target
    value: float | None
    setting: str
    settings: dict[str, Any]
    setup: Setup | None
    what: str
    lacks: tuple[str, ...] = ()
    steady: float | None = None
    unread: tuple[str, ...] = ()

    @property
    def seen(self) -> float:
        """Return the measured GiB of a run that did not fail."""
        return self.value or 1.0


def read(folder: Path) -> Iterator[Point]:
    """Yield the points of a folder; shapes that points only name stand beside or in it."""
    shapes: dict[str, Any] = {}
    for path in (folder.parent / SHAPES, folder / SHAPES):
        told = yaml.safe_load(path.read_text("utf-8")) if path.exists() else None
        shapes |= told if isinstance(told, dict) else {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name != SHAPES:
            yield _of_file(path, shapes)


def _of_file(path: Path, shapes: Mapping[str, Any]) -> Point:
    try:
        told = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError:  # one broken file must not hide what the others say
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("settings"), dict):
        return Point(path.stem, "?", "?", "allocated", 1.0, "", {}, None, "", ("settings",))
    return point_of({"id": path.stem, **told}, shapes)


def shared(settings: Mapping[str, Any], left: Iterable[str]) -> str:
    """Return settings without some, as text that compares."""
    kept = {name: value for name, value in settings.items() if name not in left}
    return json.dumps(kept, sort_keys=True, default=str)


def point_of(told: Mapping[str, Any], shapes: Mapping[str, Any] | None = None) -> Point:
    """Return a point as its file tells it."""
    settings, measured = dict(told["settings"]), told.get("measured")
    measured = measured if isinstance(measured, dict) else {"value": False}
    what, kind = str(measured.get("what", "")), _kind(str(told.get("kind") or "train"))
    if kind == "train" and STILL.search(what):
        kind = "states"
    setup, lacks = _mapped(settings, shapes or {}, kind)
    value, problem = _number(measured)
    return Point(
        id=str(told["id"]),
        family=re.split(r"[\s+]", str(settings.get("engine") or "?"))[0],
        kind=kind,
        target=_target(what),
        value=value,
        setting=hashlib.sha256(shared(settings, UNSHARED).encode()).hexdigest()[:12],
        settings=settings,
        setup=setup,
        what=what,
        lacks=(*problem, *lacks, *_doubt(settings), *foreign(settings)),
        steady=_steady(measured),
        unread=unread(told["settings"]),
    )


def _kind(told: str) -> str:
    word = told.lower().replace("_", "-")
    return SPELLED.get(word, "kv-cache" if word.startswith("kv") else word)


TARGETS: tuple[tuple[str, Target], ...] = (
    (
        r"memory_reserved|max_reserved|peak[_ ]reserved|reserved_bytes|reserved memory|\breserved\b(?! not)",
        "reserved",
    ),
    (r"nvidia-smi|nvml|rocm-smi|device (total|memory)|used by the gpu", "device"),
)


def _target(what: str) -> Target:
    """Return what was measured, by its words; allocated where they name nothing else."""
    stated = re.sub(r"\([^)]*not stated[^)]*\)", "", what.lower())
    return next((target for pattern, target in TARGETS if re.search(pattern, stated)), "allocated")


def _number(measured: Mapping[str, Any]) -> tuple[float | None, tuple[str, ...]]:
    value, unit = measured.get("value"), str(measured.get("unit") or "GiB")
    unit = next((name for name in UNITS if name.lower() == unit.lower()), unit)
    if value is None and "value" in measured:
        return None, ()
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return 1.0, ("measured value",)
    return (float(value) * UNITS[unit], ()) if unit in UNITS else (1.0, (f"unit {unit}",))


def _steady(measured: Mapping[str, Any]) -> float | None:
    value = measured.get("steady_allocated_gib")
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _doubt(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return defaults that a point's own note calls unverified."""
    note = str(settings.get("note", ""))
    return ("offload",) if "offload" in note and "not verified" in note else ()


def _mapped(
    settings: dict[str, Any], shapes: Mapping[str, Any], kind: str
) -> tuple[Setup | None, tuple[str, ...]]:
    """Return the setup of a training point's settings, or what they lack; configs are filled in."""
    if kind not in KINDS:
        return None, (f"a model of {kind}",)
    try:
        refuse_sizes(settings)
        if "megatron_args" not in settings:
            settings["config"] = config_of(settings, shapes)
        if kind in ("train", "states"):
            setup = sized(setup_of(settings))
            split = setup.parallel
            if split.world < split.tp * split.pp:
                raise ValueError(f"{split.world} GPUs for tp × pp = {split.tp * split.pp}")
            found = train(setup, fullest(setup)).allocated
            if not 0 < found < MOST:
                raise ValueError(f"an estimate of {found / GIB:.0f} GiB")
            return setup, _lacking(settings, setup)
        engine.weights(shape_of(settings["config"]), rollout_of(settings))
        return None, () if kind == "weights" or settings.get("kv_tokens") else ("kv_tokens",)
    except ODD as problem:  # one odd point must not hide what the others say
        if isinstance(problem, KeyError):
            return None, (f"{problem.args[0]} is not told",)
        return None, (f"{type(problem).__name__} {problem}",)


ODD = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError, RecursionError)
MOST = 2**50


def refuse_sizes(settings: Mapping[str, Any]) -> None:
    """Refuse sizes that nothing can have."""
    for name in SIZES:
        value = settings.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not str(value).isdecimal() or not 0 < int(value) < 2**40:
            raise ValueError(f"{name} {value!r}")


def sized(setup: Setup) -> Setup:
    """Return a setup with the size of its GPU, as its name tells it."""
    text = setup.gpu.upper()
    names = [name for name in GPUS if all(word in text for word in name.split())]
    told = re.search(r"(\d+) ?(?:GB|G\b|GIB)", text)
    size = GPUS[max(names, key=len)] if names else None
    if told and (size is None or abs(float(told[1]) / size - 1) > 0.12):
        size = float(told[1]) * 0.988  # what of a marketed size torch sees
    return replace(setup, gpu_gib=size)


INDIFFERENT = 0.02
"""Ends so close say as much as one estimate."""


def _lacking(settings: Mapping[str, Any], setup: Setup) -> tuple[str, ...]:
    if setup.unknown != ("n_gpus",) or "megatron_args" not in settings:
        return setup.unknown
    low, high = bounds(settings)
    return () if high / low - 1 < INDIFFERENT else setup.unknown


def bounds(settings: Mapping[str, Any]) -> tuple[float, float]:
    """Return the least and the most GiB allocated for the numbers of GPUs that Megatron arguments allow."""
    setups = [setup_of({**settings, "n_gpus": world}) for world in worlds_of(settings)]
    sizes = [train(setup, fullest(setup)).allocated / GIB for setup in setups]
    return min(sizes), max(sizes)


def phase_of(point: Point, free: Free | None = None) -> Phase:
    """Return the training phase of a point, with other constants where they are given."""
    assert point.setup is not None
    setup = point.setup if free is None else replace(point.setup, free=free)
    return train(setup, fullest(setup))


def predicted(point: Point, free: Free | None = None) -> float:
    """Return the estimate of a point in GiB."""
    if point.kind == "train":
        return phase_of(point, free).of(point.target) / GIB
    if point.kind == "states":
        assert point.setup is not None
        return sum(term.gib for term in states.terms(point.setup, 0) if "parameters" in term.name)
    shape, rollout = shape_of(point.settings["config"]), rollout_of(point.settings)
    if point.kind == "kv-cache":
        half = 2 if re.search(r"\b[KV] size", point.what) else 1
        return engine.kv_cache(shape, rollout, float(rollout.kv_tokens or 0)).gib / half
    if "cudaMemGetInfo" in point.what:  # what the driver sees: whole segments
        sizes = (size * rollout.weight_bytes for size in engine.tensors(shape, rollout))
        return overheads.segments(sizes) / GIB
    return engine.weights(shape, rollout).gib


def error(point: Point, free: Free | None = None) -> float:
    """Return the relative error of a point's estimate."""
    return predicted(point, free) / point.seen - 1
