from __future__ import annotations

from rldoctor.run.tune import Climb, Line, Point, Proposal, Step, Window, fit, rounded, together

GIB = 1 << 30


def window(tokens: int, peak: int, rate: float = 1000.0, step_tokens: int = 100_000) -> Window:
    return Window(tokens, peak, GIB, 10 * GIB, step_tokens, rate, rate, rate / 2)


def proposed(climb: Climb, budget: int, seen: Window, before: Window | None = None) -> Proposal:
    proposal = climb.next(budget, seen, before)
    assert isinstance(proposal, Proposal), proposal
    return proposal


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


def test_the_next_budgets_go_straight_to_the_margin() -> None:
    climb = Climb(points=[Point(1000, 3 * GIB), Point(2000, 4 * GIB)])
    proposal = proposed(climb, 2000, window(2000, 4 * GIB))
    assert proposal.budget == 5330  # so far it is safe even if there were no fixed cost at all
    climb.points.append(Point(5330, 7 * GIB + GIB // 3))
    proposal = proposed(climb, 5330, window(5330, 7 * GIB + GIB // 3))
    assert 6980 <= proposal.budget <= 7000
    assert proposal.peak <= 9 * GIB


def test_no_step_is_larger_than_eight_times_the_budget() -> None:
    climb = Climb(points=[Point(1000, GIB + 1000)])
    assert proposed(climb, 1000, window(1000, GIB + 1000)).budget == 8000


def test_a_line_through_small_micro_batches_is_not_trusted_far() -> None:
    hidden = [Point(300, 2 * GIB), Point(800, 2 * GIB + 1000)]  # below what sampling holds
    climb = Climb(points=hidden)
    assert proposed(climb, 800, window(800, 2 * GIB + 1000)).budget == 6390  # as if all had grown from 0
    steep = Climb(points=[Point(300, 6 * GIB), Point(800, 6 * GIB + 1000)])
    assert proposed(steep, 800, window(800, 6 * GIB + 1000)).budget == 1600


def test_a_smaller_budget_after_a_larger_one_tells_nothing_of_its_peak() -> None:
    climb = Climb(points=[Point(1000, 3 * GIB), Point(2000, 4 * GIB)])
    climb.add(window(1000, 4 * GIB))  # the allocator still holds what the larger one took
    assert len(climb.points) == 2
    climb.add(window(4000, 6 * GIB))
    assert climb.points[-1] == Point(4000, 6 * GIB)


def test_a_budget_above_the_margin_is_not_come_near_again() -> None:
    climb = Climb(points=[Point(1000, 3 * GIB), Point(2000, 4 * GIB)])
    assert not climb.exceeded(window(2000, 4 * GIB))
    assert climb.exceeded(window(5000, 9 * GIB + GIB // 2))
    assert proposed(climb, 2000, window(2000, 4 * GIB)).budget == 4500


def test_never_near_what_has_failed() -> None:
    climb = Climb(points=[Point(1000, 3 * GIB), Point(2000, 4 * GIB)], too_much=5000)
    climb.points.append(Point(3000, 5 * GIB))
    assert proposed(climb, 3000, window(3000, 5 * GIB)).budget == 4500


def test_a_budget_that_splits_nothing_any_more_is_not_raised() -> None:
    climb = Climb(points=[Point(1000, 2 * GIB), Point(2000, 2 * GIB + 1000)])
    for step_tokens in (1900, 2000):
        why = climb.next(2000, window(2000, 3 * GIB, step_tokens=step_tokens))
        assert why == "all tokens of a step are in one micro-batch"


def test_the_climb_ends_at_the_margin() -> None:
    climb = Climb(points=[Point(1000, 3 * GIB), Point(7000, 9 * GIB)])
    assert "would be above 90%" in str(climb.next(7000, window(7000, 9 * GIB - 1)))


def test_the_climb_ends_where_fewer_micro_batches_gain_nothing() -> None:
    climb = Climb(points=[Point(1000, 2 * GIB), Point(10_000, 3 * GIB)])
    before, same = window(1000, 2 * GIB, rate=1000), window(10_000, 3 * GIB, rate=1001)
    assert "gain nothing" in str(climb.next(10_000, same, before))
    faster = window(10_000, 3 * GIB, rate=1200)  # 90 micro-batches less: 17 %; 8 less: 1.7 %
    assert proposed(climb, 10_000, faster, before).budget == 40_000


def test_the_tokens_of_a_step_are_shared_by_the_ranks() -> None:
    points = [Point(1000, 2 * GIB), Point(2000, 2 * GIB + 1000)]
    alone = window(2000, 3 * GIB, step_tokens=8000)
    assert isinstance(Climb(ranks=4, points=points).next(2000, alone), str)
    assert isinstance(Climb(ranks=2, points=points).next(2000, alone), Proposal)


def test_a_peak_above_the_margin_lowers_the_budget() -> None:
    climb = Climb(points=[Point(1000, 5 * GIB), Point(2000, 9 * GIB + GIB // 2)])
    assert proposed(climb, 2000, window(2000, 9 * GIB + GIB // 2)).budget <= 1800


def test_no_limit_no_climb() -> None:
    climb = Climb(points=[Point(1000, 3 * GIB), Point(2000, 4 * GIB)])
    assert isinstance(climb.next(2000, Window(2000, 4 * GIB, GIB, 0, 100_000, 1.0, 1.0, 1.0)), str)


def test_noise_is_kept_and_what_is_clearly_slower_is_reverted() -> None:
    before = window(1000, 3 * GIB, rate=1000)
    assert Climb().verdict(before, window(2000, 4 * GIB, rate=1200))[0] == "kept"
    assert Climb().verdict(before, window(2000, 4 * GIB, rate=950))[0] == "kept"
    assert Climb().verdict(before, window(2000, 4 * GIB, rate=700))[0] == "reverted"
    one_good_step = Window(2000, 4 * GIB, GIB, 10 * GIB, 100_000, 700.0, 990.0, 1.0)
    assert Climb().verdict(before, one_good_step)[0] == "kept"  # others' load slowed the rest


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
    assert (seen.peak, seen.held, seen.rate, seen.best_rate, seen.step_rate) == (7, 1, 2000.0, 4000.0, 2000.0)


def test_round_numbers() -> None:
    assert [rounded(value) for value in (0.4, 15.9, 999, 1786.4, 65432)] == [0, 15, 999, 1780, 65400]
