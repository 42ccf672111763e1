"""The tuner at work: each change of the token budget is an experiment, live, in the journal."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field

from rldoctor.run.config_file import with_values
from rldoctor.run.session import Session
from rldoctor.run.tail import LiveEvent
from rldoctor.run.tune import (
    MARGIN,
    MEASURED_STEPS,
    WARM_STEPS,
    Climb,
    Proposal,
    Step,
    Window,
    is_slower,
    together,
)

CONCEPT: Final = "batch.max_tokens_per_gpu"
KEY: Final = "train.max_token_in_packing"
GIB: Final = 1 << 30
MOST_REVERTS: Final = 2


class Tuner(Struct):
    """Listens to the events of one attempt and raises the budget while that pays."""

    session: Session
    climb: Climb
    budget: int
    done: bool = False
    before: Window | None = None
    _steps: list[Step] = field(default_factory=list)
    _skip: int = WARM_STEPS
    _awaited: int | None = None
    _train: LiveEvent = field(default_factory=dict)
    _held: int | None = None
    _watchful: bool = True
    _failed: bool = False
    _slow: Window | None = None
    _reverts: int = 0

    def hear(self, event: LiveEvent) -> None:
        """Take in an event; after enough steps judge what is in force, and try the next budget."""
        kind = event["kind"]
        if kind == "phase_finished":
            held = event.get("bytes_allocated")
            self._held = min(held, self._held or held) if held else self._held
            if event.get("phase") == "train":
                self._train = event
        elif kind == "step_finished":
            self._step(event)
        elif kind == "config_applied" and event.get("revision") == self._awaited:
            self._awaited, self._skip, self._steps = None, WARM_STEPS, []
        elif kind == "config_refused" and event.get("revision") == self._awaited:
            self._give_up(f"the trainer refused it: {event.get('reason')}")

    def forget(self) -> None:
        """Leave the budget alone: a person chose it."""
        if self.session.history.open_experiment is not None:
            self.session.note("measured", verdict="abandoned", why="the budget is another one now")
        self._watchful = False
        self._settle("the configuration is changed by somebody else, or cannot be")

    def _step(self, event: LiveEvent) -> None:
        if self._awaited is not None or not self._watchful:
            return
        if self._skip:
            self._skip -= 1
            return
        step = _measured(event, self._train, self._held)
        if step is None:
            self._watchful = False
            self._settle("no limit of the worker's memory is known")
            return
        self._steps.append(step)
        if len(self._steps) >= MEASURED_STEPS:
            window, self._steps = together(self._steps), []
            if self.done:
                self._look_again(window)
            else:
                self._judge(window)

    def _look_again(self, window: Window) -> None:
        """Lower a settled budget whose peaks have grown above the margin; once a launch is enough."""
        if window.peak > (1 - MARGIN) * window.limit:
            self.climb.add(window)
            proposal = self.climb.next(self.budget, window)
            self._watchful = False
            if isinstance(proposal, Proposal) and proposal.budget < self.budget:
                self.session.screen.say(f"the peak has grown: {window.peak / GIB:.3f} GiB")
                self._write(proposal.budget, proposal.why)

    def _judge(self, window: Window) -> None:
        self.climb.add(window)
        experiment, earlier = self.session.history.open_experiment, self.before
        if experiment is None:
            earlier = None
            self._note(window, "baseline", "")
            if self._is_proved_slow(window):
                return
        elif earlier is not None:
            verdict, why = self.climb.verdict(earlier, window)
            self._note(window, verdict, why)
            if verdict == "reverted":
                self._revert(int(experiment["before"]), why)
                self._slow = None if self.climb.exceeded(window) else window
                return
        self.before = window
        proposal = self.climb.next(self.budget, window, earlier)
        if isinstance(proposal, str):
            self._settle(proposal)
        else:
            self._try(proposal)

    def _is_proved_slow(self, window: Window) -> bool:
        """Measure the smaller budget once more before a larger one is given up: load comes and goes."""
        slow, self._slow = self._slow, None
        if slow is None:
            return False
        if is_slower(window, slow):
            self._settle("the larger budget is slower than the smaller one, before it and after it")
            return True
        self.session.screen.say("it is as slow with the smaller budget: something else took the time")
        return False

    def _try(self, proposal: Proposal) -> None:
        number, old = self.session.history.experiments + 1, self.budget
        self.session.note(
            "experiment",
            number=number,
            setting=KEY,
            before=old,
            after=proposal.budget,
            prediction={"bytes_peak": proposal.peak},
            why=proposal.why,
        )
        if self._write(proposal.budget, f"experiment {number}: {proposal.why}"):
            self.session.screen.say(
                f"experiment {number}: {KEY} {old} → {proposal.budget}, "
                f"predicted peak {proposal.peak / GIB:.3f} GiB"
            )

    def _revert(self, budget: int, why: str) -> None:
        """Go back to a budget and measure it anew: what lies between may still pay; some times are enough."""
        if self._write(budget, why):
            self.session.screen.say(f"reverted to {KEY} {budget}: {why}")
        self._reverts += 1
        if self._reverts > MOST_REVERTS:
            self._settle(why)

    def _write(self, budget: int, reason: str) -> bool:
        config = self.session.config
        assert config is not None
        text = with_values(config.known, {KEY: budget})
        self._awaited = self.session.revise(text, reason=reason, by="tuning")
        if self._awaited is None:
            self._abandon(config.known.settings.get(KEY, self.budget))
            return False
        self.budget = budget
        return True

    def _abandon(self, budget: object) -> None:
        """Measure anew what is in force, after the configuration could not be changed; twice is enough."""
        if budget != self.budget or self._failed:
            self.forget()
            return
        self._failed, self._skip, self._steps = True, WARM_STEPS, []
        if self.session.history.open_experiment is not None:
            self.session.note("measured", verdict="abandoned", why="config.yaml could not be changed")

    def _note(self, window: Window, verdict: str, why: str) -> None:
        self.session.note(
            "measured",
            budget=self.budget,
            micro_batch_tokens=window.tokens,
            bytes_peak=window.peak,
            bytes_total=window.limit,
            tokens_per_second=round(window.step_rate, 1),
            train_tokens_per_second=round(window.rate, 1),
            steps=MEASURED_STEPS,
            verdict=verdict,
            why=why or None,
        )
        if verdict == "kept":
            self.session.screen.say(
                f"kept: peak {window.peak / GIB:.3f} of {window.limit / GIB:.3f} GiB; {why}"
            )

    def _give_up(self, why: str) -> None:
        experiment = self.session.history.open_experiment
        self._awaited = None
        if experiment is None:
            self._settle(why)
            return
        self.session.note("measured", verdict="refused", why=why)
        self._revert(int(experiment["before"]), why)
        self._settle(why)

    def _settle(self, why: str) -> None:
        self.done = True
        if not self.session.history.settled:
            self.session.note("settled", budget=self.budget, why=why)


def start(session: Session) -> Tuner | None:
    """Return the tuner of an attempt, None where there is no token budget to tune."""
    found = session.facts() if session.options.autotune else None
    if found is None or found.value("batch.dynamic") is not True:
        return None
    budget = found.value(CONCEPT)
    if not isinstance(budget, int):
        return None
    if session.history.open_experiment is not None:
        session.note("measured", verdict="abandoned", why="the run ended before it was measured")
    ranks = found.value("train.dp")
    climb = Climb(
        ranks if isinstance(ranks, int) else 1, list(session.history.points), session.history.too_much
    )
    return Tuner(session, climb, budget, done=session.history.settled)


def _measured(event: LiveEvent, train: LiveEvent, held: int | None) -> Step | None:
    """Return what a step tells of its training, None where its memory has no limit that is known.

    Training does not read the last token of a sample: it is only predicted. On CPU processor time
    counts, which others' load does not change.
    """
    metrics: dict[str, Any] = dict(event.get("metrics") or {})
    peak, limit, seconds = train.get("bytes_peak"), train.get("bytes_total"), train.get("seconds")
    tokens = metrics.get("micro_batch_tokens_max")
    if not (peak and limit and seconds and tokens):
        return None
    return Step(
        tokens=int(tokens),
        peak=int(peak),
        held=held or 0,
        limit=int(limit),
        step_tokens=int(event.get("tokens") or tokens) - int(event.get("samples") or 0),
        seconds=float(metrics.get("train_cpu_seconds") or seconds),
        step_seconds=float(event.get("seconds") or seconds),
    )
