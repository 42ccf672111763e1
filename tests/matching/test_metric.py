import math
from typing import Any

import pytest
from hand_made import index_of, line, nobody, reading, rule, trigger, verl

from rldoctor.facts import Facts
from rldoctor.matching import match_log
from rldoctor.types import Event, Match, Sample


def series(**metrics: list[float | None]) -> Any:
    samples = [
        Sample(metric, step, value, line(10 * step, f"step {step}", time=60.0 * step))
        for metric, values in metrics.items()
        for step, value in enumerate(values, start=1)
        if value is not None
    ]
    return samples


def found(
    when: str,
    facts: Facts | None = None,
    events: tuple[Event, ...] = (),
    name: str = "grad_norm",
    **metrics: Any,
) -> Match | None:
    seen = rule(on=(trigger("metric", when, metric=name, title="{grad_norm}"),))
    matches = match_log(
        reading(samples=tuple(series(**metrics)), events=events), facts or nobody(), index_of(seen)
    )
    return matches[0] if matches else None


def test_the_streak_that_lasts_is_shown_from_its_first_bad_step() -> None:
    match = found("grad_norm > 10", grad_norm=[1.0, 99.0, 1.0, 20.0, 30.0, 40.0])
    assert match is not None and not match.recovered
    assert [piece.line for piece in match.finding.evidence] == [40, 60]
    assert match.finding.title == "40"


def test_a_window_that_is_bad_as_a_whole_is_shown_from_its_first_step() -> None:
    match = found(
        "min(last(grad_norm, 3)) > 10 and max(last(grad_norm, 100)) < 90",
        grad_norm=[1.0, 2.0, 20.0, 30.0, 40.0, 50.0],
    )
    assert match is not None
    assert [piece.line for piece in match.finding.evidence] == [30, 50, 60]


def test_a_streak_that_ended_is_recovered() -> None:
    match = found("grad_norm > 10", grad_norm=[1.0, 20.0, 30.0, 1.0])
    assert match is not None and match.recovered
    assert match.finding.evidence[0].line == 20


def test_good_steps_are_no_match() -> None:
    assert found("grad_norm > 10", grad_norm=[1.0, 2.0]) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_not_a_number(value: float) -> None:
    match = found("isnan(grad_norm) or grad_norm > 1000", grad_norm=[1.0, value])
    assert match is not None and match.finding.confidence == "certain"


def test_count_looks_at_the_last_steps() -> None:
    assert found("count(grad_norm > 10, 4) >= 3", grad_norm=[20.0, 1.0, 20.0, 1.0, 20.0]) is None
    assert found("count(grad_norm > 10, 4) >= 3", grad_norm=[1.0, 20.0, 1.0, 20.0, 20.0]) is not None


def test_turns_counts_how_often_a_condition_begins_to_hold() -> None:
    noisy, rising = [1.0, 9.0, 9.0, 1.0, 9.0, 2.0, 8.0], [1.0, 2.0, 9.0, 9.0, 9.0]
    assert found("turns(grad_norm > 5) == 3 and grad_norm > 5", grad_norm=noisy) is not None
    assert found("turns(grad_norm > 5) > 3", grad_norm=noisy) is None
    assert found("turns(grad_norm > 5) == 1 and grad_norm > 5", grad_norm=rising) is not None


def test_last_gives_the_last_values() -> None:
    rising = "len(last(grad_norm, 3)) == 3 and min(last(grad_norm, 3)) > 5"
    assert found(rising, grad_norm=[9.0, 9.0]) is None
    assert found(rising, grad_norm=[1.0, 6.0, 7.0, 8.0]) is not None


def test_other_metrics_of_the_same_step_are_seen() -> None:
    assert found("grad_norm == 0 and loss > 1", grad_norm=[0.0], loss=[2.0]) is not None
    assert found("grad_norm == 0 and loss > 1", grad_norm=[0.0, 0.0], loss=[2.0, 0.5]).recovered  # type: ignore[union-attr]


def test_absent_asks_whether_it_was_ever_printed() -> None:
    assert found("absent(save_time)", grad_norm=[1.0]) is not None
    assert found("absent(save_time)", grad_norm=[1.0, 1.0], save_time=[None, 3.0]) is None


def test_silent_for_measures_from_the_last_event() -> None:
    saved = Event("checkpoint_saved", {}, time=60.0)
    assert found("silent_for(checkpoint_saved, 100)", events=(saved,), grad_norm=[1.0, 1.0]) is None
    assert found("silent_for(checkpoint_saved, 100)", events=(saved,), grad_norm=[1.0, 1.0, 1.0]) is not None
    assert found("silent_for(checkpoint_saved, 100)", grad_norm=[1.0, 1.0, 1.0]) is not None


def test_unknown_facts_make_it_possible_and_known_ones_certain() -> None:
    possible = found("grad_norm > 10 and optim.clip_grad > 0", grad_norm=[20.0])
    assert possible is not None and possible.finding.confidence == "possible"
    facts = verl({"actor_rollout_ref.actor.optim.clip_grad": "1.0"})
    certain = found("grad_norm > 10 and optim.clip_grad > 0", facts, grad_norm=[20.0])
    assert certain is not None and certain.finding.confidence == "certain"
    assert any(piece.key == "actor_rollout_ref.actor.optim.clip_grad" for piece in certain.finding.evidence)
