"""How far the memory model is off measured points, by family, target and split.

    python benchmarks/memory_points.py DIR [--no-held-out] [--each]

DIR holds one YAML file a point: id, kind (train, weights, kv-cache), settings, measured {value, unit,
what}, confidence. Settings are mapped by their names (point_setups.py), never by a point's id.
A third of the settings, by a hash of all but the hardware, is held out: nothing was fitted on it.
Cross-validated: the constants of rldoctor.memory.layout.Free are fitted with one family left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import replace
from point_setups import rollout_of, setup_of, shape_of

from rldoctor.memory import engine, fit, interval, overheads
from rldoctor.memory.layout import GIB, Free, Setup
from rldoctor.memory.phases import Phase, Target, fullest, train

GPUS = {
    "A6000": 47.5,
    "A100": 79.2,
    "H100 96": 93.0,
    "H100": 79.1,
    "GB200": 184.0,
    "H200": 139.8,
    "B200": 178.4,
}
UNITS = {"GiB": 1.0, "GB": 1e9 / GIB, "MiB": 1 / 1024}


@dataclass(frozen=True, slots=True)
class Point:
    """A measured point with its setup; ``value`` None: the run failed."""

    id: str
    family: str
    kind: str
    target: Target
    value: float | None
    held_out: bool
    setting: str
    settings: dict[str, Any]
    setup: Setup | None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-held-out", action="store_true", help="leave the held-out third unseen")
    parser.add_argument("--each", action="store_true", help="print every point")
    asked = parser.parse_args()
    points = [point for point in read(asked.folder) if not (asked.no_held_out and point.held_out)]
    told = [point for point in points if point.value is not None]
    complete = [point for point in told if point.kind != "train" or not _unknown(point)]
    print(f"{len(points)} points, {len({p.setting for p in points})} settings", file=sys.stdout)
    families(complete)
    aims(complete)
    calibrated(complete)
    failed([point for point in points if point.value is None])
    incomplete([point for point in told if point not in complete])
    if asked.each:
        each(told)


def read(folder: Path) -> Iterator[Point]:
    for path in sorted(folder.glob("*.yaml")):
        told = yaml.safe_load(path.read_text("utf-8"))
        if isinstance(told, dict) and "measured" in told and "settings" in told:
            yield point_of(told)


def point_of(told: dict[str, Any]) -> Point:
    settings, measured = told["settings"], told["measured"]
    value, what = measured.get("value"), str(measured.get("what", ""))
    setting = json.dumps(
        {k: v for k, v in settings.items() if k not in ("hardware", "note")}, sort_keys=True, default=str
    )
    digest = hashlib.sha256(setting.encode()).hexdigest()
    number = None if value is None else float(value) * UNITS.get(str(measured.get("unit")), 1.0)
    setup = _sized(setup_of(settings)) if told["kind"] == "train" else None
    name = str(settings.get("engine", "?")).split()[0].split("+")[0]
    target: Target = (
        "reserved"
        if re.search("max_memory_reserved|max_reserved", what.replace("MEMORY_RESERVED", ""))
        else "allocated"
    )
    return Point(
        told["id"],
        name,
        told["kind"],
        target,
        number,
        int(digest[:8], 16) % 3 == 0,
        digest[:12],
        settings,
        setup,
    )


def _sized(setup: Setup) -> Setup:
    text = setup.gpu.upper()
    size = next((size for name, size in GPUS.items() if all(word in text for word in name.split())), None)
    return replace(setup, gpu_gib=size)


def _unknown(point: Point) -> tuple[str, ...]:
    """Return what a point's settings do not tell: missing GPUs, or a default its note calls unverified."""
    found = point.setup.unknown if point.setup else ()
    note = str(point.settings.get("note", ""))
    return (*found, "offload") if "offload" in note and "not verified" in note else found


def phase_of(point: Point, free: Free | None = None) -> Phase:
    assert point.setup is not None
    setup = point.setup if free is None else replace(point.setup, free=free)
    return train(setup, fullest(setup))


def predicted(point: Point, free: Free | None = None) -> float:
    """Return the estimate of a point in GiB."""
    if point.kind == "train":
        return phase_of(point, free).of(point.target) / GIB
    shape, rollout = shape_of(point.settings["config"]), rollout_of(point.settings)
    if point.kind == "kv-cache":
        half = 2 if "K size" in str(point.settings.get("what", "K size")) and rollout.engine != "vllm" else 1
        return engine.kv_cache(shape, rollout, float(rollout.kv_tokens or 0)).gib / half
    if rollout.engine == "sglang":  # what the driver sees: whole segments
        return (
            overheads.segments(size * rollout.weight_bytes for size in engine.tensors(shape, rollout)) / GIB
        )
    return engine.weights(shape, rollout).gib


def error(point: Point, free: Free | None = None) -> float:
    return predicted(point, free) / (point.value or 1.0) - 1


def line(name: str, errors: Sequence[float]) -> str:
    if not errors:
        return f"{name:42s}   0"
    sizes = [abs(e) for e in errors]
    worst = max(errors, key=abs)
    within = sum(size <= 0.10 for size in sizes) / len(sizes)
    return (
        f"{name:42s} {len(errors):3d}  median {100 * statistics.median(sizes):5.1f} %  worst {100 * worst:+6.1f} %"
        f"  within 10 % {100 * within:4.0f} %  worst under {100 * min([*errors, 0.0]):+6.1f} %"
    )


def families(points: Sequence[Point]) -> None:
    print("\nby family: all · two thirds · held-out third · cross-validated")
    kinds = sorted({(point.family, point.kind) for point in points})
    for family, kind in kinds:
        own = [point for point in points if (point.family, point.kind) == (family, kind)]
        splits(f"{family} {kind}", own)
        if kind == "train":
            free = fitted([p for p in points if p.kind == "train" and p.family != family and not p.held_out])
            print(line("  cross-validated", [error(point, free) for point in own]))
    splits("all", points)


def splits(name: str, points: Sequence[Point]) -> None:
    print(line(name, [error(point) for point in points]))
    print(line("  two thirds", [error(point) for point in points if not point.held_out]))
    print(line("  held-out third", [error(point) for point in points if point.held_out]))


def fitted(points: Sequence[Point]) -> Free:
    """Return the constants that fit points best: least median of absolute errors, on a grid."""
    best = Free()
    for steps in ((0.0, 0.06, 0.12), (-0.04, 0.0, 0.04), (-0.02, 0.0, 0.02)):
        found = [
            replace(best, layers=best.layers + a, head=best.head + b, imbalance=best.imbalance + c)
            for a, b, c in product(steps, repeat=3)
        ]
        if best == Free():
            found += [replace(Free(), layers=1.12, head=1.08, imbalance=1.0), Free()]
        best = min(found, key=lambda free: _loss(points, free))
    return best


def _loss(points: Sequence[Point], free: Free) -> float:
    sizes = sorted(min(abs(error(point, free)), 0.3) for point in points)
    return sum(sizes) / max(1, len(sizes))


def aims(points: Sequence[Point]) -> None:
    print("\nagainst the aims")
    training = [point for point in points if point.kind == "train"]
    large = [p for p in training if p.target == "allocated" and (p.value or 0) > 5]
    small = [p for p in training if p.target == "allocated" and (p.value or 0) <= 5]
    for name, own in (
        ("allocated above 5 GiB", large),
        ("reserved", [p for p in training if p.target == "reserved"]),
    ):
        splits(name, own)
        sizes = sorted(abs(error(point)) for point in own)
        if sizes:
            print(f"  90 % within {100 * sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))]:.1f} %")
        covered(own)
    off = [predicted(point) - (point.value or 0) for point in small]
    if off:
        print(
            f"below 5 GiB: {len(off)} points, within 0.5 GiB {sum(abs(o) <= 0.5 for o in off)}, worst {max(off, key=abs):+.2f} GiB"
        )
    for kind in ("weights", "kv-cache"):
        splits(kind, [point for point in points if point.kind == kind])


def covered(points: Sequence[Point]) -> None:
    """Say how often the stated interval holds, and how wide it is."""
    if not points:
        return
    found = [
        (point, interval.around(point.setup, phase_of(point), point.target))
        for point in points
        if point.setup
    ]
    inside = sum(each.low <= (point.value or 0) * GIB <= each.high for point, each in found)
    halves = sorted(each.half for _, each in found)
    print(
        f"  stated 90 % interval holds in {100 * inside / len(found):.0f} %; half-width median {100 * statistics.median(halves):.1f} %, widest {100 * halves[-1]:.1f} %"
    )


def calibrated(points: Sequence[Point]) -> None:
    """Calibrate on one point of a setup and predict another of the same: other hardware, or other lengths."""
    print("\ncalibrated on one run of the same setup")
    training = [point for point in points if point.kind == "train"]
    for name, key in (
        ("other hardware", _all_but("hardware")),
        ("other lengths", _all_but("hardware", "seq_len", "tokens_per_microbatch")),
    ):
        found = []
        for one, other in product(training, repeat=2):
            same = key(one) == key(other) and one.target == other.target
            if (
                one is other
                or not same
                or (name == "other lengths") == (one.settings.get("seq_len") == other.settings.get("seq_len"))
            ):
                continue
            found.append(_carried(one, other))
        print(line(f"  {name}", found))


def _all_but(*names: str) -> Callable[[Point], str]:
    left = {*names, "note", "attention"}
    return lambda point: json.dumps(
        {k: v for k, v in point.settings.items() if k not in left}, sort_keys=True, default=str
    )


def _carried(one: Point, other: Point) -> float:
    assert one.setup is not None and other.setup is not None
    found = fit.calibrate(one.setup, [fit.Measured(one.target, (one.value or 0) * GIB)])
    return error(other, found.free)


def failed(points: Sequence[Point]) -> None:
    """Say of runs that failed whether the model would have said that they fit."""
    if points:
        print("\nruns that failed")
    for point in points:
        if point.setup is None or point.setup.gpu_gib is None:
            continue
        phase = phase_of(point)
        high = interval.around(point.setup, phase, "device").high / GIB
        says = "fits" if high <= point.setup.gpu_gib else "does not fit"
        print(
            f"  {point.id}: {says} ({phase.device / GIB:.1f}, at most {high:.1f} of {point.setup.gpu_gib:.1f} GiB)"
        )


def incomplete(points: Sequence[Point]) -> None:
    """Show points whose settings leave out what the memory hangs on, apart from the others."""
    if points:
        print("\nincomplete settings, not counted (the least that the settings allow · measured)")
    for point in points:
        print(f"  {point.id}: {', '.join(_unknown(point))}: {predicted(point):.1f} · {point.value:.1f} GiB")


def each(points: Iterable[Point]) -> None:
    print()
    for point in points:
        moment = phase_of(point).moment if point.kind == "train" else ""
        print(
            f"{'held-out ' if point.held_out else ''}{point.id}: {predicted(point):.2f} of {point.value:.2f} GiB, {100 * error(point):+.1f} % {moment}"
        )


if __name__ == "__main__":
    main()
