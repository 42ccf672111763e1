"""Numbers that are NaN or infinite: where a check says so, and where the step lines show it to the end."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.seen import Seen
from rldoctor.types import Sample

CHECKS: Final = (
    "/[Ff]ound (?:NaN|Inf|nan|inf)\\b/",
    "/Unexpected result (?:nan|inf)/",
    "/(?:[Ll]oss|grad(?:ient)?s?(?:[ _]norm)?) (?:is|was|became|contains?) "
    "(?:nan|NaN|inf|Inf|infinite|not finite|non-finite)\\b/",
    "/(?i)(?:non-?finite|infinite or nan|nan or inf(?:inite)?) (?:loss|grad)|diverged with loss = nan/",
    "/probability tensor contains either `?inf`?, `?nan`?/",
)
PATTERNS: Final = CHECKS
WATCHED: Final = frozenset(
    {
        "loss",
        "perplexity",
        "policy_loss",
        "value_loss",
        "grad_norm",
        "critic_grad_norm",
        "kl",
        "ref_kl",
        "entropy",
    }
)
ENOUGH: Final = 3
WHERE: Final = re.compile(r"in (?P<where>local grad norm|loss|gradients?|weights?|logits?)")


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield sightings of bad numbers; a loss that was NaN once and came back is none."""
    for line in seen.lines(*CHECKS):
        found = WHERE.search(line.text)
        failure = seen.failure_at(line)
        fields = {
            "what": "inf" if re.search(r"\binf\b", line.text, re.IGNORECASE) else "nan",
            "name": found["where"] if found else None,
            "phase": seen.phase(line, failure.frames if failure else ()),
            "step": seen.step(line),
        }
        yield sighting("nan", line, fields, (fields["name"],))
    series: dict[tuple[str, str], list[Sample]] = {}
    for sample in seen.samples:
        if sample.metric in WATCHED:
            series.setdefault((sample.line.file, sample.metric), []).append(sample)
    for (_, metric), samples in series.items():
        first = _lasting(samples)
        if first is not None:
            fields = {"what": "nan", "name": metric, "step": first.step, "phase": "train"}
            yield sighting("nan", first.line, fields, (metric,))


def _lasting(samples: Sequence[Sample]) -> Sample | None:
    """Return the first of the NaNs with which a series ends, if they are enough or all there is."""
    tail: list[Sample] = []
    for sample in reversed(samples):
        if sample.value is None or not math.isnan(sample.value):
            break
        tail.append(sample)
    return tail[-1] if tail and (len(tail) >= ENOUGH or len(tail) == len(samples)) else None
