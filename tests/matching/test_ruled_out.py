"""What one look at the columns rules out is what no step fulfils; all else stays to be asked step by step."""

import math
from typing import Any

import pytest
from hand_made import line, nobody, reading
from hypothesis import given
from hypothesis import strategies as st

from rldoctor import expr
from rldoctor.logs.series import Series, by_metric
from rldoctor.matching.metric import SeriesScope
from rldoctor.matching.ruled_out import never
from rldoctor.types import Sample

CONDITIONS = (
    "loss > 3",
    "loss == None",
    "loss != 0",
    "min(last(loss, 3)) > 2 and kl < 1",
    "max(last(loss, 2)) < -1 or kl >= 2",
    "count(loss > 2, 3) == len(last(loss, 3))",
    "count(kl > 2, 3) == len(last(kl, 3))",
    "count(loss > 2, 3) < 1",
    "count(loss > 2 and kl == 1, 2) >= 1",
    "isnan(loss)",
    "count(isnan(kl), 2) >= 2",
    "loss > kl",
    "not (loss > 2)",
    "system == 'verl'",
)
VALUES = st.one_of(st.none(), st.sampled_from([-2.0, 0.0, 1.0, 2.0, 3.5, math.nan, math.inf]))


def series(losses: list[float | None], kls: list[float | None]) -> Series | None:
    samples = [
        Sample(metric, step, value, line(10 * step + at, "a step"))
        for at, (metric, values) in enumerate((("loss", losses), ("kl", kls)))
        for step, value in enumerate(values, start=1)
        if value is not None
    ]
    return by_metric(samples).get("loss")


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8), st.sampled_from(CONDITIONS))
def test_what_is_ruled_out_holds_at_no_step(rows: list[tuple[Any, Any]], text: str) -> None:
    shown, condition = series([loss for loss, _ in rows], [kl for _, kl in rows]), expr.compile(text)
    if shown is None or not never(condition, shown):
        return
    scope = SeriesScope(nobody(), "policy", shown, reading())
    for scope.at in range(len(shown.steps)):
        assert not expr.evaluate(condition, scope)


@pytest.mark.parametrize(
    "text",
    [
        "loss > 3",
        "loss <= 0 and kl > 0",
        "min(last(loss, 3)) > 2",
        "count(loss > 2, 3) == len(last(loss, 3))",
        "count(loss > 2, 3) >= 1",
        "isnan(loss)",
        "isnan(loss) or loss > 3",
    ],
)
def test_a_healthy_series_is_ruled_out_without_a_walk(text: str) -> None:
    shown = series([1.0, 0.9, 0.8], [0.1, 0.1, 0.1])
    assert shown is not None and never(expr.compile(text), shown)
