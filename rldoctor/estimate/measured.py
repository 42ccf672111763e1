"""Peaks that a run has shown: from its events, its log, or told; stored beside the run when they fit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import to_builtins
from msgspec.structs import replace

from rldoctor.memory.fit import Calibration, Measured, calibrate
from rldoctor.memory.layout import GIB, Setup
from rldoctor.memory.phases import Target
from rldoctor.types import RLDoctorError

STORED: Final = "memory.json"
TARGETS: Final[tuple[Target, ...]] = ("allocated", "reserved", "device")
METRICS: Final[tuple[tuple[str, Target], ...]] = (
    ("memory_reserved", "reserved"),
    ("memory_allocated", "allocated"),
)
SNAPSHOTS: Final = (".pickle", ".pkl")
FULLEST: Final = 3
"""Steps of a log that count: those that filled the budget, which a log does not tell."""
MOST: Final = 64
"""Steps that are looked at: the last ones, so that a change of the token budget is seen."""


def calibrated(setup: Setup, told: Sequence[str]) -> tuple[Setup, dict[str, Any] | None]:
    """Return the setup fitted to measured peaks, and what is said about it; both as they are without any."""
    if not told:
        return setup, None
    seen = [peak for text in told for peak in peaks(text)]
    if not seen:
        raise RLDoctorError(f"no peak of memory in {', '.join(told)}", hint="reserved=43.2,tokens=16384")
    found = calibrate(setup, seen)
    says = _said(found, seen, "peak" if any("=" in text for text in told) else "step")
    for text in told:
        if Path(text).is_dir():
            store(Path(text), found, says)
    return _with(setup, found), says


def _with(setup: Setup, found: Calibration) -> Setup:
    return replace(setup, free=found.free)


def _said(found: Calibration, seen: Sequence[Measured], what: str) -> dict[str, Any]:
    return {
        "points": len(seen),
        "spread": round(found.free.spread, 4),
        "scale": round(found.free.scale, 4),
        "offset_gib": round(found.free.offset, 3),
        "residuals_before": [round(error, 4) for error in found.before],
        "residuals": [round(error, 4) for error in found.after],
        "says": f"calibrated on {len(seen)} {what}{'s' * (len(seen) != 1)}, ±{100 * found.free.spread:.1f} %",
    }


def store(folder: Path, found: Calibration, says: dict[str, Any]) -> None:
    """Write what a fit found beside the run, whole or not at all."""
    path = folder / STORED
    draft = path.with_suffix(".json.new")
    draft.write_text(json.dumps({"free": to_builtins(found.free), **says}, indent=2) + "\n", "utf-8")
    draft.replace(path)


def peaks(text: str) -> Iterator[Measured]:
    """Yield peaks of a run folder, a log, a memory snapshot, or words like ``reserved=43.2,tokens=16384``."""
    path = Path(text)
    if "=" in text and not path.exists():
        yield _told(text)
        return
    if not path.exists():
        raise RLDoctorError("no such run folder or log", file=text, hint="or reserved=43.2,tokens=16384")
    if path.suffix in SNAPSHOTS:
        from rldoctor.dumps import reading

        yield Measured("allocated", float(reading.peak_bytes(text)))
        return
    file = path / "events.jsonl" if path.is_dir() else path
    yield from _events(file) if file.suffix == ".jsonl" else _log(str(path))


def _told(text: str) -> Measured:
    words = dict(part.partition("=")[::2] for part in text.split(","))
    target = next((name for name in TARGETS if name in words), None)
    try:
        size = float(words[target or ""])
        tokens = int(words["tokens"]) if "tokens" in words else None
    except (KeyError, ValueError) as error:
        raise RLDoctorError(f"{text}: no peak", hint="allocated=…, reserved=… or device=… in GiB") from error
    if not 0 < size < math.inf or (tokens is not None and tokens <= 0):
        raise RLDoctorError(f"{text}: a peak and its tokens are above 0")
    return Measured(target or "reserved", size * GIB, tokens)


def _events(file: Path) -> Iterator[Measured]:
    """Yield the peaks of finished steps; a driver's first step has no optimizer state yet when it peaks."""
    if not file.is_file():
        raise RLDoctorError("the run folder has no events", file=str(file))
    rows = []
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if '"step_finished"' in line:
                rows.append(_row(line))
    known = [row for row in rows if row is not None]
    yield from known[1:][-MOST:] or known


def _row(line: str) -> Measured | None:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:  # the last line of a running driver may be half written
        return None
    size, metrics = event.get("bytes_peak", event.get("bytes_allocated")), event.get("metrics") or {}
    tokens = metrics.get("micro_batch_tokens_max")
    if event.get("kind") != "step_finished" or not isinstance(size, int) or size <= 0:
        return None
    return Measured("allocated", float(size), int(tokens) if tokens else None)


def _log(path: str) -> Iterator[Measured]:
    """Yield the highest peaks of steps that a framework's log prints, of the largest target that it tells."""
    from rldoctor import logs

    samples = logs.read((path,), ()).samples
    for metric, target in METRICS:
        values = [sample.value for sample in samples if sample.metric == metric and sample.value]
        if values:
            yield from (Measured(target, size * GIB) for size in sorted(values)[-FULLEST:])
            return
