"""How far the memory model is off measured points, by family, target and split.

    python benchmarks/memory_points.py DIR [--no-held-out] [--each]

DIR holds one YAML file a point: id, kind (train, weights, kv-cache), settings, measured {value, unit,
what}, confidence. Settings are mapped by their names (point_setups.py), never by a point's id.
A third of the settings, by a hash of all but the hardware, is held out: nothing was fitted on it.
Cross-validated: the constants of rldoctor.memory.layout.Free are fitted with one family left out.
Points whose settings leave out what memory hangs on (the number of GPUs) are shown apart.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
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
LARGE_GIB = 5.0
GRID = ((0.0, 0.06, 0.12), (-0.04, 0.0, 0.04), (-0.02, 0.0, 0.02))
UNSHARED = ("hardware", "note")


@dataclass(frozen=True, slots=True)
class Point:
    """A measured point with its setup; ``value`` (GiB) None: the run failed."""

    id: str
    family: str
    kind: str
    target: Target
    value: float | None
    held_out: bool
    setting: str
    settings: dict[str, Any]
    setup: Setup | None
    what: str

    @property
    def seen(self) -> float:
        """Return the measured GiB of a run that did not fail."""
        return self.value or 1.0


def main() -> None:
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shown)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-held-out", action="store_true", help="leave the held-out third unseen")
    parser.add_argument("--each", action="store_true", help="print every point")
    asked = parser.parse_args()
    points = [point for point in read(asked.folder) if not (asked.no_held_out and point.held_out)]
    told = [point for point in points if point.value is not None]
    complete = [point for point in told if not unknown(point)]
    print(f"{len(points)} points, {len({point.setting for point in points})} settings")
    families(complete)
    aims(complete)
    calibrated(complete)
    failed([point for point in points if point.value is None])
    incomplete([point for point in told if unknown(point)])
    if asked.each:
        each(told)


def read(folder: Path) -> Iterator[Point]:
    for path in sorted(folder.glob("*.yaml")):
        told = yaml.safe_load(path.read_text("utf-8"))
        if isinstance(told, dict) and "measured" in told and "settings" in told:
            yield point_of(told)


def _shared(settings: dict[str, Any], left: Iterable[str]) -> str:
    kept = {name: value for name, value in settings.items() if name not in left}
    return json.dumps(kept, sort_keys=True, default=str)


def point_of(told: dict[str, Any]) -> Point:
    settings, measured = told["settings"], told["measured"]
    value, what = measured.get("value"), str(measured.get("what", ""))
    digest = hashlib.sha256(_shared(settings, UNSHARED).encode()).hexdigest()
    number = None if value is None else float(value) * UNITS.get(str(measured.get("unit")), 1.0)
    reserved = re.search("memory_reserved|max_reserved|peak_reserved", what)
    return Point(
        id=told["id"],
        family=str(settings.get("engine", "?")).split()[0].split("+")[0],
        kind=told["kind"],
        target="reserved" if reserved else "allocated",
        value=number,
        held_out=int(digest[:8], 16) % 3 == 0,
        setting=digest[:12],
        settings=settings,
        setup=_mapped(settings) if told["kind"] == "train" else None,
        what=what,
    )


def _mapped(settings: dict[str, Any]) -> Setup | None:
    """Return the setup of settings, None where they leave out what a setup needs."""
    try:
        return _sized(setup_of(settings))
    except (KeyError, TypeError, ValueError):  # one odd point must not hide what the others say
        return None


def _sized(setup: Setup) -> Setup:
    text = setup.gpu.upper()
    sizes = (size for name, size in GPUS.items() if all(word in text for word in name.split()))
    return replace(setup, gpu_gib=next(sizes, None))


def unknown(point: Point) -> tuple[str, ...]:
    """Return what a point's settings do not tell: GPUs, or a default that its note calls unverified."""
    if point.kind == "train" and point.setup is None:
        return ("sizes",)
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
        half = 2 if re.search(r"\bK size", point.what) else 1
        return engine.kv_cache(shape, rollout, float(rollout.kv_tokens or 0)).gib / half
    if "cudaMemGetInfo" in point.what:  # what the driver sees: whole segments
        sizes = (size * rollout.weight_bytes for size in engine.tensors(shape, rollout))
        return overheads.segments(sizes) / GIB
    return engine.weights(shape, rollout).gib


def error(point: Point, free: Free | None = None) -> float:
    return predicted(point, free) / point.seen - 1


def line(name: str, errors: Sequence[float]) -> str:
    if not errors:
        return f"{name:36s}   0"
    sizes = [abs(e) for e in errors]
    within = sum(size <= 0.10 for size in sizes) / len(sizes)
    parts = (
        f"{name:36s} {len(errors):3d}",
        f"median {100 * statistics.median(sizes):5.1f} %",
        f"worst {100 * max(errors, key=abs):+6.1f} %",
        f"within 10 % {100 * within:4.0f} %",
        f"worst under {100 * min([*errors, 0.0]):+6.1f} %",
    )
    return "  ".join(parts)


def families(points: Sequence[Point]) -> None:
    print("\nby family: all · two thirds · held-out third · cross-validated")
    for family, kind in sorted({(point.family, point.kind) for point in points}):
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
    """Return the constants with the least mean of bounded errors, on a grid that gets finer."""
    best = Free(fragments=0.1, compiled=1.3, imbalance=1.0)
    for steps in GRID:
        tried = [
            replace(
                best,
                fragments=best.fragments + a,
                compiled=best.compiled + 4 * b,
                imbalance=best.imbalance + c,
            )
            for a, b, c in product(steps, repeat=3)
        ]
        best = min(tried, key=lambda free: _loss(points, free))
    return best


def _loss(points: Sequence[Point], free: Free) -> float:
    return sum(min(abs(error(point, free)), 0.3) for point in points)


def aims(points: Sequence[Point]) -> None:
    print("\nagainst the aims")
    training = [point for point in points if point.kind == "train"]
    allocated = [point for point in training if point.target == "allocated"]
    large = [point for point in allocated if point.seen > LARGE_GIB]
    for name, own in (
        (f"allocated above {LARGE_GIB:g} GiB", large),
        ("reserved", [point for point in training if point.target == "reserved"]),
    ):
        splits(name, own)
        for split, part in (
            ("two thirds", [p for p in own if not p.held_out]),
            ("held-out third", [p for p in own if p.held_out]),
        ):
            covered(split, part)
    small = [point for point in allocated if point.seen <= LARGE_GIB]
    off = [predicted(point) - point.seen for point in small]
    if off:
        inside = sum(abs(each_off) <= 0.5 for each_off in off)
        worst = max(off, key=abs)
        print(f"below {LARGE_GIB:g} GiB: {len(off)} points, within 0.5 GiB {inside}, worst {worst:+.2f} GiB")
    for kind in ("weights", "kv-cache"):
        splits(kind, [point for point in points if point.kind == kind])


def covered(name: str, points: Sequence[Point]) -> None:
    """Say within what nine of ten errors lie, how often the stated interval holds, and how wide it is."""
    if not points:
        return
    sizes = sorted(abs(error(point)) for point in points)
    tenth = sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))]
    found = [(p, interval.around(p.setup, phase_of(p), p.target)) for p in points if p.setup]
    inside = sum(each.low <= point.seen * GIB <= each.high for point, each in found) / len(found)
    halves = sorted(each.half for _, each in found)
    print(
        f"  {name}: 90 % within {100 * tenth:.1f} %; stated interval holds in {100 * inside:.0f} %,"
        f" half-width median {100 * statistics.median(halves):.1f} %, widest {100 * halves[-1]:.1f} %"
    )


def calibrated(points: Sequence[Point]) -> None:
    """Calibrate on one point of a setup and predict another of the same."""
    print("\ncalibrated on one run of the same setup")
    training = [point for point in points if point.kind == "train"]
    hardware = ("hardware", "note", "attention")
    lengths = (*hardware, "seq_len", "tokens_per_microbatch")
    for name, left in (("other hardware", hardware), ("other lengths", lengths)):
        pairs = [
            (one, other)
            for one, other in product(training, repeat=2)
            if one is not other
            and one.target == other.target
            and _shared(one.settings, left) == _shared(other.settings, left)
            and (left is hardware or one.settings.get("seq_len") != other.settings.get("seq_len"))
        ]
        print(line(f"  {name}", [_carried(one, other) for one, other in pairs]))


def _carried(one: Point, other: Point) -> float:
    assert one.setup is not None
    found = fit.calibrate(one.setup, [fit.Measured(one.target, one.seen * GIB)])
    return error(other, found.free)


def failed(points: Sequence[Point]) -> None:
    """Say of runs that failed whether the model would have said that they fit."""
    if points:
        print("\nruns that failed (a run may fail for other reasons than memory)")
    for point in points:
        if point.setup is None or point.setup.gpu_gib is None:
            continue
        phase = phase_of(point)
        high = interval.around(point.setup, phase, "device").high / GIB
        says = "fits" if high <= point.setup.gpu_gib else "does not surely fit"
        sizes = f"{phase.device / GIB:.1f}, at most {high:.1f}, of {point.setup.gpu_gib:.1f} GiB"
        print(f"  {point.id}: {says} ({sizes})")


def incomplete(points: Sequence[Point]) -> None:
    """Show points whose settings leave out what memory hangs on, apart from the others."""
    if points:
        print("\nincomplete settings, not counted (with the least that they allow · measured)")
    for point in points:
        least = f"{predicted(point):.1f}" if point.setup else "?"
        print(f"  {point.id}: {', '.join(unknown(point))}: {least} · {point.seen:.1f} GiB")


def each(points: Iterable[Point], say: Callable[[str], None] = print) -> None:
    for point in points:
        if point.kind == "train" and point.setup is None:
            continue
        moment = phase_of(point).moment if point.kind == "train" else ""
        kept = "held-out " if point.held_out else ""
        sizes = f"{predicted(point):.2f} of {point.seen:.2f} GiB, {100 * error(point):+.1f} %"
        say(f"{kept}{point.id}: {sizes} {moment}")


if __name__ == "__main__":
    main()
