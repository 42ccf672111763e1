import math

from test_metric import found

from rldoctor.matching.drifts import levels

FALLING = [0.62, 0.60, 0.63, 0.58, 0.60, 0.57, 0.55, 0.56, 0.52, 0.53, 0.50, 0.47, 0.49, 0.45, 0.44, 0.42]


def test_levels_are_the_medians_of_the_outer_thirds() -> None:
    seen = levels(FALLING)
    assert seen is not None
    assert (seen.early, seen.late) == (0.60, 0.45)
    assert seen.drift < -3


def test_a_single_outlier_moves_no_level() -> None:
    plain, struck = levels(FALLING), levels([*FALLING[:-2], 90.0, *FALLING[-1:]])
    assert plain is not None and struck is not None
    assert struck.late < plain.early - 0.1 and struck.drift < -3


def test_what_jumps_about_has_moved_by_less_than_its_jumps() -> None:
    seen = levels([0.6, 0.2, 0.7, 0.3, 0.6, 0.2, 0.5, 0.3, 0.6, 0.2, 0.7, 0.1, 0.5, 0.2, 0.6])
    assert seen is not None and abs(seen.drift) < 1


def test_few_values_must_have_left_where_they_began() -> None:
    overlapping = levels([0.62, 0.60, 0.30, 0.58, 0.50, 0.45, 0.40, 0.41, 0.35])
    apart = levels([0.62, 0.60, 0.61, 0.58, 0.50, 0.45, 0.40, 0.41, 0.35])
    assert overlapping is not None and overlapping.drift == 0
    assert apart is not None and apart.drift < -3


def test_fewer_than_nine_values_tell_nothing_and_nan_is_none() -> None:
    assert levels(FALLING[:8]) is None
    assert levels([*FALLING[:8], math.nan, None, math.inf]) is None


def test_a_series_without_any_jump_has_not_moved() -> None:
    seen = levels([0.5] * 12)
    assert seen is not None and seen.drift == 0


def test_only_the_last_step_tells_a_drift_and_its_turn_is_shown_first() -> None:
    rising = [1.0, 1.1, 0.9, 1.0, 1.1, 1.0, 5.0, 5.1, 5.2, 5.0, 5.1, 5.3]
    match = found("drift(grad_norm) > 3 and late(grad_norm) > 4 * early(grad_norm)", grad_norm=rising)
    assert match is not None and not match.recovered
    assert [piece.line for piece in match.finding.evidence] == [70, 120]
    assert found("drift(grad_norm) > 3", grad_norm=[*rising, *reversed(rising)]) is None
