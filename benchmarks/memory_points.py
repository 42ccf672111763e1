"""How far the memory model is off measured points, by family, target and cross-validated.

    python benchmarks/memory_points.py DIR [--each]

DIR holds one YAML file a point: id, kind (train, weights, kv-cache), settings, measured {value, unit,
what}, confidence. Settings are mapped by their names (point_setups.py), never by a point's id.
Cross-validated: the constants of rldoctor.memory.layout.Free and the widths of intervals are fitted with
a family left out, or a setup (other hardware goes with it): the figures to go by.
Points whose settings leave out what memory hangs on (the number of GPUs) are shown apart.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

from memory_folds import Folds, by_family, by_setup
from memory_reading import Point, bounds, error, phase_of, predicted, read, shared

from rldoctor.memory import fit, interval, overheads
from rldoctor.memory.layout import GIB

LARGE_GIB = 5.0
SHOWN = 3
LEFT_OUT = (("family left out", by_family), ("setup left out", by_setup))


def main() -> None:
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shown)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", action="store_true", help="print every point")
    asked = parser.parse_args()
    points = list(read(asked.folder))
    complete = [point for point in points if point.value is not None and not point.lacks]
    folds = Folds(complete)
    print(f"{len(points)} points, {len({point.setting for point in points})} settings")
    families(complete, folds)
    aims(complete, folds)
    calibrated(complete)
    failed([point for point in points if point.value is None])
    incomplete([point for point in points if point.value is not None and point.lacks])
    unread(points)
    if asked.each:
        each(complete)


def line(name: str, errors: Sequence[float]) -> str:
    if not errors:
        return f"{name:36s}   0"
    sizes = sorted(abs(e) for e in errors)
    within = sum(size <= 0.10 for size in sizes) / len(sizes)
    parts = (
        f"{name:36s} {len(errors):3d}",
        f"median {100 * statistics.median(sizes):5.1f} %",
        f"90 % within {100 * sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))]:5.1f} %",
        f"worst {100 * max(errors, key=abs):+6.1f} %",
        f"within 10 % {100 * within:4.0f} %",
        f"worst under {100 * min([*errors, 0.0]):+6.1f} %",
    )
    return "  ".join(parts)


def splits(name: str, points: Sequence[Point], folds: Folds) -> None:
    """Print errors as the constants stand, and cross-validated where constants matter."""
    print(line(name, [error(point) for point in points]))
    if any(point.kind == "train" for point in points):
        for left, key in LEFT_OUT:
            found = folds.errors(key)
            print(line(f"  {left}", [found.get(point.id, error(point)) for point in points]))


def families(points: Sequence[Point], folds: Folds) -> None:
    print("\nby family")
    for family, kind in sorted({(point.family, point.kind) for point in points}):
        own = [point for point in points if (point.family, point.kind) == (family, kind)]
        splits(f"{family} {kind}", own, folds)
    splits("all", points, folds)


def aims(points: Sequence[Point], folds: Folds) -> None:
    print("\nagainst the aims")
    training = [point for point in points if point.kind == "train"]
    allocated = [point for point in training if point.target == "allocated"]
    large = [point for point in allocated if point.seen > LARGE_GIB]
    reserved = [point for point in training if point.target == "reserved"]
    for name, own in ((f"allocated above {LARGE_GIB:g} GiB", large), ("reserved", reserved)):
        splits(name, own, folds)
        covered(own, folds)
    small = [point for point in allocated if point.seen <= LARGE_GIB]
    off = [predicted(point) - point.seen for point in small]
    if off:
        inside = sum(abs(each_off) <= 0.5 for each_off in off)
        worst = max(off, key=abs)
        print(f"below {LARGE_GIB:g} GiB: {len(off)} points, within 0.5 GiB {inside}, worst {worst:+.2f} GiB")
    steady([point for point in training if point.steady is not None])
    for kind in ("weights", "kv-cache"):
        splits(kind, [point for point in points if point.kind == kind], folds)


def steady(points: Sequence[Point]) -> None:
    """Compare what never moves with what stays allocated between steps: states and workspaces alone."""
    off = []
    for point in points:
        assert point.setup is not None and point.steady is not None
        still = phase_of(point).resident / GIB + overheads.workspace(point.setup).gib
        off.append((still - point.steady, still / point.steady - 1))
    if off:
        errors = [
            share for (_, share), point in zip(off, points, strict=True) if (point.steady or 0) > LARGE_GIB
        ]
        near = sum(abs(gib) <= 0.1 for gib, _ in off)
        print(line(f"between steps, above {LARGE_GIB:g} GiB", errors))
        print(
            f"  all {len(off)}: within 0.1 GiB {near}, worst {max((gib for gib, _ in off), key=abs):+.2f} GiB"
        )


def covered(points: Sequence[Point], folds: Folds) -> None:
    """Say how often intervals hold, and how wide they are: as stated, and with widths fitted elsewhere."""
    if not points:
        return
    found = [(p, interval.around(p.setup, phase_of(p), p.target)) for p in points if p.setup]
    inside = sum(one.low <= point.seen * GIB <= one.high for point, one in found) / len(found)
    halves = sorted(one.half for _, one in found)
    widths(" as stated", (inside, statistics.median(halves), halves[-1]))
    ids = {point.id for point in points}
    for left, key in LEFT_OUT:
        widths(f", {left}", folds.held(key, lambda point: point.id in ids))


def widths(name: str, found: tuple[float, float, float]) -> None:
    held, middle, widest = (100 * share for share in found)
    print(
        f"  90 % interval{name}: holds in {held:.0f} %,"
        f" half-width median {middle:.1f} %, widest {widest:.1f} %"
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
            and shared(one.settings, left) == shared(other.settings, left)
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
            print(f"  {point.id}: {', '.join(point.lacks) or 'the size of its GPU'} unknown, nothing said")
            continue
        phase = phase_of(point)
        high = interval.around(point.setup, phase, "device").high / GIB
        says = "fits" if high <= point.setup.gpu_gib else "does not surely fit"
        sizes = f"{phase.device / GIB:.1f}, at most {high:.1f}, of {point.setup.gpu_gib:.1f} GiB"
        print(f"  {point.id}: {says} ({sizes})")


def incomplete(points: Sequence[Point]) -> None:
    """Show points whose settings leave out what memory hangs on, apart from the others."""
    if points:
        print(
            "\nincomplete settings, not counted (from the most to the fewest GPUs that they allow · measured)"
        )
    for point in points:
        print(f"  {point.id}: {', '.join(point.lacks)}: {_allowed(point)} · {point.seen:.1f} GiB")


def unread(points: Iterable[Point]) -> None:
    """Name the settings that nobody reads, with the points that have them: their estimates take no notice."""
    names: dict[str, list[str]] = {}
    for point in points:
        for name in point.unread:
            names.setdefault(name, []).append(point.id)
    if names:
        print("\nsettings that are not read")
    for name, ids in sorted(names.items()):
        print(
            f"  {name}: {', '.join(ids[:SHOWN])}{f' and {len(ids) - SHOWN} more' if len(ids) > SHOWN else ''}"
        )


def _allowed(point: Point) -> str:
    if point.setup is None:
        return "?"
    if "megatron_args" not in point.settings:
        return f"{predicted(point):.1f}"
    low, high = bounds(point.settings)
    return f"{low:.1f} to {high:.1f}"


def each(points: Iterable[Point]) -> None:
    for point in points:
        moment = phase_of(point).moment if point.kind == "train" else ""
        sizes = f"{predicted(point):.2f} of {point.seen:.2f} GiB, {100 * error(point):+.1f} %"
        print(f"{point.id}: {sizes} {moment}")


if __name__ == "__main__":
    main()
