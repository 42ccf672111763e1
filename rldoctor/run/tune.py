"""Tuning: how large a token budget the measured peaks allow, and whether it pays. Arithmetic only."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from msgspec import Struct, field

MARGIN: Final = 0.1
GROWTH: Final = 8.0
FURTHER: Final = 2.0
SLOWER: Final = 0.9
GAIN: Final = 0.01
WARM_STEPS, MEASURED_STEPS = 1, 5
LEAST_GROWTH: Final = 1.05
FAILED_SHARE: Final = 0.9


class Point(Struct, frozen=True):
    """The tokens of the largest micro-batch, and the peak of memory that it took, in bytes."""

    tokens: int
    peak: int


class Line(Struct, frozen=True):
    """Peak over tokens, in bytes; ``above`` is how far a measurement has lain above it."""

    start: float
    slope: float
    above: float = 0.0

    def peak(self, tokens: float) -> int:
        """Return the peak to expect, the worst miss so far added."""
        return int(self.start + self.slope * tokens + self.above)

    def tokens(self, peak: float) -> float:
        """Return the tokens whose peak is expected there."""
        return (peak - self.start - self.above) / self.slope


def fit(points: Sequence[Point], held: int) -> Line | None:
    """Return the line through measured peaks; with one point, through the least that was ever held.

    That first line counts fixed costs as growing ones, so that it errs to the safe side.
    """
    sizes = sorted({point.tokens for point in points})
    if not sizes:
        return None
    if len(sizes) == 1:
        slope = (max(point.peak for point in points) - held) / sizes[0]
        return Line(held, slope) if slope > 0 else None
    mean_x = sum(point.tokens for point in points) / len(points)
    mean_y = sum(point.peak for point in points) / len(points)
    spread = sum((point.tokens - mean_x) ** 2 for point in points)
    slope = sum((p.tokens - mean_x) * (p.peak - mean_y) for p in points) / spread
    if slope <= 0:
        return None
    start = mean_y - slope * mean_x
    above = max(0.0, *(point.peak - start - slope * point.tokens for point in points))
    return Line(start, slope, above)


class Step(Struct, frozen=True):
    """What one finished step tells of its training phase."""

    tokens: int
    peak: int
    held: int
    limit: int
    step_tokens: int
    seconds: float
    step_seconds: float


class Window(Struct, frozen=True):
    """A few steps with one budget, together: the usual rate of training, the best one, the whole step's."""

    tokens: int
    peak: int
    held: int
    limit: int
    step_tokens: int
    rate: float
    best_rate: float
    step_rate: float


def together(steps: Sequence[Step]) -> Window:
    """Return the highest peak and the usual rates: one step that others' load slows does not count."""
    rates = [step.step_tokens / step.seconds for step in steps]
    return Window(
        tokens=max(step.tokens for step in steps),
        peak=max(step.peak for step in steps),
        held=min(step.held for step in steps),
        limit=steps[-1].limit,
        step_tokens=max(step.step_tokens for step in steps),
        rate=median(rates),
        best_rate=max(rates),
        step_rate=median(step.step_tokens / step.step_seconds for step in steps),
    )


class Proposal(Struct, frozen=True):
    """A budget to try, and the peak that the line predicts for it, in bytes."""

    budget: int
    peak: int
    why: str


class Climb(Struct):
    """The way of the budget towards the limit: what was measured, and what is known to be too much."""

    ranks: int = 1
    points: list[Point] = field(default_factory=list)
    too_much: int | None = None

    def next(self, budget: int, window: Window, before: Window | None = None) -> Proposal | str:
        """Return the next budget to try, or why the one in force is as good as it gets.

        The line through the measured peaks leads straight to the margin, as far as it can be trusted;
        ``before`` is the window of the last smaller budget, which tells what fewer micro-batches gain.
        """
        line = fit(self.points, window.held)
        target = (1 - MARGIN) * window.limit
        if line is None or not window.limit:
            return "the measured peaks do not grow with the budget, or have no limit"
        whole = -(-window.step_tokens // self.ranks)
        wanted = min(self._trusted(line, target, window.held), GROWTH * budget, whole * LEAST_GROWTH)
        if self.too_much is not None:
            wanted = min(wanted, FAILED_SHARE * self.too_much)
        new = rounded(wanted)
        if window.peak > target and window.tokens >= max(point.tokens for point in self.points):
            back = rounded(min(wanted, budget * FAILED_SHARE))
            why = f"the peak is above {1 - MARGIN:.0%} of the limit"
            return Proposal(back, line.peak(back), why) if back > 0 else why
        if _micro_batches(whole, budget) == 1:
            return "all tokens of a step are in one micro-batch"
        if new < budget * LEAST_GROWTH or _micro_batches(whole, new) == _micro_batches(whole, budget):
            return f"a budget that needs fewer micro-batches would be above {1 - MARGIN:.0%} of the limit"
        if before is not None and self._gain(before, window, new) < GAIN:
            return "still fewer micro-batches would gain nothing"
        return Proposal(new, line.peak(min(new, whole)), "the measured peaks leave room")

    def add(self, window: Window) -> None:
        """Take in what was measured, unless an allocator that has held more may hide the peak."""
        most = max((point.tokens for point in self.points), default=0)
        if window.tokens >= most or window.peak > (1 - MARGIN) * window.limit:
            self.points.append(Point(window.tokens, window.peak))

    def _trusted(self, line: Line, target: float, held: int) -> float:
        """Return the tokens that the line leads to, far beyond the largest measured ones a safer one.

        Small micro-batches hide below what sampling holds, so that a line through them is too flat.
        """
        largest = max(self.points, key=lambda point: point.tokens)
        safe = fit([largest], held)
        near = min(line.tokens(target), FURTHER * largest.tokens)
        return max(near, min(safe.tokens(target), line.tokens(target))) if safe else near

    def exceeded(self, window: Window) -> bool:
        """Say whether a window's peak is above the margin; then no further budget comes near its tokens."""
        if window.peak <= (1 - MARGIN) * window.limit:
            return False
        self.too_much = min(window.tokens, self.too_much or window.tokens)
        return True

    def _gain(self, before: Window, after: Window, new: int) -> float:
        """Return by which share the next budget would shorten training: each micro-batch has its cost."""
        whole = -(-after.step_tokens // self.ranks)
        first, now, then = (_micro_batches(whole, tokens) for tokens in (before.tokens, after.tokens, new))
        saved = max(after.rate / before.rate, after.best_rate / before.best_rate) - 1
        return saved * (now - then) / (first - now) if first > now else GAIN

    def verdict(self, before: Window, after: Window) -> tuple[str, str]:
        """Return kept or reverted, and why; what only others' load can have slowed is kept."""
        if after.peak > (1 - MARGIN) * after.limit:
            return "reverted", f"the peak is above {1 - MARGIN:.0%} of the limit"
        gain = after.rate / before.rate
        if before.peak > (1 - MARGIN) * before.limit:
            return "kept", "the peak is below the margin again"
        if is_slower(before, after):
            return "reverted", f"training runs at {gain:.2f} times the speed: it does not pay"
        words = "training runs at" if gain >= 1 else "no slower beyond the noise: training runs at"
        return "kept", f"{words} {gain:.2f} times the speed"


def is_slower(before: Window, after: Window) -> bool:
    """Say whether training is clearly slower: the usual step and the best one."""
    return after.rate < SLOWER * before.rate and after.best_rate < SLOWER * before.best_rate


def _micro_batches(tokens: int, budget: int) -> int:
    return -(-tokens // max(1, budget))


def rounded(value: float) -> int:
    """Return the number with its first three digits, downwards: 1786.4 → 1780."""
    whole = max(0, int(value))
    unit: int = 10 ** max(0, len(str(whole)) - 3)
    return whole // unit * unit
