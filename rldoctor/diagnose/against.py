"""A failed run beside one that went well: settings, versions, phases and metrics that are different."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from rldoctor import wording
from rldoctor.facts import Facts
from rldoctor.types import UNKNOWN, Evidence, Fact, Finding, Sample

if TYPE_CHECKING:
    from rldoctor.logs import LogReading

DIFFERS: Final = "differs-from-good-run"
FAR: Final = 2.0
MOST: Final = 12
LAST: Final = 20  # steps at the end of the failed run that are compared with the same steps of the good one
OWN: Final = ("written", "log", "default", "set")


def compare(bad: tuple[LogReading, Facts], good: tuple[LogReading, Facts], name: str) -> Finding | None:
    """Return a hint with what is different in the good run, None where nothing is."""
    pieces = [
        *_versions(bad[0].versions, good[0].versions),
        *_settings(bad[1], good[1]),
        *_metrics(bad[0], good[0]),
        *_progress(bad[0], good[0]),
    ]
    if not pieces:
        return None
    subject = bad[0].subjects[0] if bad[0].subjects else ""
    title = f"{len(pieces)} difference{'s' * (len(pieces) != 1)} from {name}"
    return Finding(
        id=DIFFERS, rule=DIFFERS, subject=subject, title=title,
        severity="hint", confidence="certain", part="hint", verdict="unsure", fingerprint=DIFFERS,
        explanation="What is different up to the failure: versions, settings, metrics, progress.",
        evidence=tuple(pieces[:MOST]),
    )  # fmt: skip


def _versions(bad: Mapping[str, str], good: Mapping[str, str]) -> Iterator[Evidence]:
    for package in sorted(bad.keys() & good.keys()):
        if bad[package] != good[package]:
            yield Evidence(f"{package} {bad[package]} here, {good[package]} in the good run")


def _settings(bad: Facts, good: Facts) -> Iterator[Evidence]:
    theirs = {(fact.role, fact.concept): fact for fact in good.all()}
    for fact in bad.all():
        other = theirs.get((fact.role, fact.concept))
        if other is not None and _is_own(fact, other) and fact.value != other.value:
            name = fact.concept if fact.role == "policy" else f"{fact.role}.{fact.concept}"
            key = fact.origin.key or other.origin.key or wording.key(bad, name)
            place = fact.origin.place
            yield Evidence(
                f"{key}: {_say(fact.value)} here, {_say(other.value)} in the good run",
                place.file if place else None,
                place.line if place else None,
                key,
            )


def _is_own(fact: Fact, other: Fact) -> bool:
    """Say whether both are told by somebody and at least one was written down."""
    kinds = (fact.origin.kind, other.origin.kind)
    known = fact.value is not UNKNOWN and other.value is not UNKNOWN
    return known and all(kind in OWN for kind in kinds) and kinds != ("default", "default")


def _metrics(bad: LogReading, good: LogReading) -> Iterator[Evidence]:
    mine, theirs = _series(bad.samples), _series(good.samples)
    for metric in sorted(mine.keys() & theirs.keys()):
        steps = sorted(mine[metric].keys() & theirs[metric].keys())[-LAST:]
        last = [mine[metric][step].value for step in steps]
        if not steps or any(value is None for value in last):
            continue
        first_nan = next(
            (s for s in steps if _is_nan(mine[metric][s]) and not _is_nan(theirs[metric][s])), None
        )
        if first_nan is not None:
            line = mine[metric][first_nan].line
            yield Evidence(
                f"{metric} is NaN from step {first_nan} on, not in the good run", line.file, line.number
            )
            continue
        ours, other = _middle(mine[metric], steps), _middle(theirs[metric], steps)
        if _far(ours, other):
            line = mine[metric][steps[-1]].line
            over = f"median of steps {steps[0]}-{steps[-1]}"
            text = f"{metric}: {ours:.4g} here, {other:.4g} in the good run ({over})"
            yield Evidence(text, line.file, line.number)


def _series(samples: Sequence[Sample]) -> dict[str, dict[int, Sample]]:
    found: dict[str, dict[int, Sample]] = {}
    for sample in samples:
        if sample.step is not None:
            found.setdefault(sample.metric, {})[sample.step] = sample
    return found


def _is_nan(sample: Sample) -> bool:
    return sample.value is not None and math.isnan(sample.value)


def _middle(series: Mapping[int, Sample], steps: Sequence[int]) -> float:
    values = (series[step].value for step in steps)
    told = [value for value in values if value is not None and math.isfinite(value)]
    return median(told) if told else 0.0


def _far(one: float, other: float) -> bool:
    small, large = sorted((abs(one), abs(other)))
    return large > 1e-12 and (small * FAR < large or one * other < 0)


def _progress(bad: LogReading, good: LogReading) -> Iterator[Evidence]:
    ended, reached = _last(bad), _last(good)
    if (
        ended
        and reached
        and reached.step is not None
        and ended.step is not None
        and reached.step > ended.step
    ):
        text = f"the last step is {ended.step} here, {reached.step} in the good run"
        yield Evidence(text, ended.line.file, ended.line.number)


def _last(reading: LogReading) -> Sample | None:
    main = max(reading.moves.moves.values(), key=len, default=())
    return main[-1] if main else None


def _say(value: Any) -> str:
    return "not set" if value is None else wording.say(value)
