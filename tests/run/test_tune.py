from __future__ import annotations

from rldoctor.run.tune import Climb, Line, Point, Step, Window, fit, rounded, together

GIB = 1 << 30


def window(tokens: int, peak: int, rate: float = 1000.0, step_tokens: int = 100_000) -> Window:
    return Window(tokens, peak, GIB, 10 * GIB, step_tokens, rate, rate / 2)


def test_a_line_through_the_measured_peaks() -> None:
    line = fit([Point(1000, 3 * GIB), Point(2000, 4 * GIB), Point(4000, 6 * GIB)], held=GIB)
    assert line is not None
    assert abs(line.peak(8000) - 10 * GIB) < 10
    assert abs(line.tokens(10 * GIB) - 8000) < 0.01


def test_one_peak_counts_fixed_costs_as_growing_ones() -> None:
    line = fit([Point(1000, 3 * GIB)], held=GIB)
    assert line == Line(GIB, 2 * GIB / 1000)


def test_the_worst_miss_is_added() -> None:
    straight = [Point(1000, 3 * GIB), Point(2000, 4 * GIB)]
    noisy = fit([*straight, Point(2000, 4 * GIB + GIB // 2)], held=GIB)
    assert noisy is not None
    assert noisy.peak(2000) >= 4 * GIB + GIB // 2


def test_peaks_that_do_not_grow_tell_nothing() -> None:
    assert fit([Point(1000, GIB)], held=GIB) is None
    assert fit([Point(1000, 3 * GIB), Point(2000, 2 * GIB)], held=GIB) is None
    assert fit([], held=GIB) is None


def test_the_next_budget_stays_below_the_margin() -> None:
    climb = Climb(points=[Point(1000, 3 * GIB), Point(2000, 4 * GIB)])
    proposal = climb.next(2000, window(2000, 4 * GIB))
    assert proposal is not None
    assert proposal.budget == 7000
    assert proposal.peak <= 9 * GIB


def test_the_first_step_is_a_small_one() -> None:
    proposal = Climb(points=[Point(1000, GIB + 1000)]).next(1000, window(1000, GIB + 1000))
    assert proposal is not None
    assert proposal.budget == 2000


def test_never_near_what_has_failed() -> None:
    climb = Climb(points=[Point(1000, 3 * GIB), Point(2000, 4 * GIB)], too_much=5000)
    proposal = climb.next(2000, window(2000, 4 * GIB))
    assert proposal is not None
    assert proposal.budget == 4500


def test_a_budget_that_splits_nothing_any_more_is_not_raised() -> None:
    climb = Climb(points=[Point(1000, 2 * GIB), Point(2000, 2 * GIB + 1000)])
    assert climb.next(2000, window(2000, 3 * GIB, step_tokens=1900)) is None
    assert climb.next(2000, window(2000, 3 * GIB, step_tokens=2000)) is None


def test_the_tokens_of_a_step_are_shared_by_the_ranks() -> None:
    points = [Point(1000, 2 * GIB), Point(2000, 2 * GIB + 1000)]
    assert Climb(ranks=4, points=points).next(2000, window(2000, 3 * GIB, step_tokens=8000)) is None
    assert Climb(ranks=2, points=points).next(2000, window(2000, 3 * GIB, step_tokens=8000)) is not None


def test_a_peak_above_the_margin_lowers_the_budget() -> None:
    climb = Climb(points=[Point(1000, 5 * GIB), Point(2000, 9 * GIB + GIB // 2)])
    proposal = climb.next(2000, window(2000, 9 * GIB + GIB // 2))
    assert proposal is not None
    assert proposal.budget <= 1800


def test_no_limit_no_climb() -> None:
    climb = Climb(points=[Point(1000, 3 * GIB), Point(2000, 4 * GIB)])
    assert climb.next(2000, Window(2000, 4 * GIB, GIB, 0, 100_000, 1.0, 1.0)) is None


def test_what_pays_is_kept_and_what_does_not_is_reverted() -> None:
    before = window(1000, 3 * GIB, rate=1000)
    assert Climb().verdict(before, window(2000, 4 * GIB, rate=1200))[0] == "kept"
    assert Climb().verdict(before, window(2000, 4 * GIB, rate=990))[0] == "reverted"
    assert Climb().verdict(before, window(2000, 4 * GIB, rate=700))[0] == "reverted"


def test_a_peak_above_the_margin_is_reverted_however_fast() -> None:
    verdict, why = Climb().verdict(window(1000, 3 * GIB), window(2000, 9 * GIB + 1, rate=5000))
    assert verdict == "reverted"
    assert "90%" in why


def test_a_way_back_below_the_margin_is_kept_though_slower() -> None:
    assert Climb().verdict(window(2000, 10 * GIB), window(1500, 8 * GIB, rate=900))[0] == "kept"


def test_a_window_takes_the_highest_peak_and_the_usual_rate() -> None:
    steps = [Step(1000, peak, held, 10, 4000, seconds, 2.0) for peak, held, seconds in
             ((5, 2, 1.0), (7, 1, 9.0), (6, 3, 2.0))]  # fmt: skip
    seen = together(steps)
    assert (seen.peak, seen.held, seen.rate, seen.step_rate) == (7, 1, 4000.0, 2000.0)


def test_round_numbers() -> None:
    assert [rounded(value) for value in (0.4, 15.9, 999, 1786.4, 65432)] == [0, 15, 999, 1780, 65400]
