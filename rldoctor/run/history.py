"""What the journal says so far: its entries folded into one state, the same live and after a kill -9."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor.run.journal import Entry
from rldoctor.run.tune import Point

GIB: Final = 1 << 30


class Change(Struct, frozen=True):
    """One setting that was changed: by whom, why, and what it did."""

    key: str
    old: Any
    new: Any
    why: str
    by: str


class History(Struct):
    """All that healing and tuning must remember."""

    options: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 0
    trainer: tuple[int, float] | None = None
    launched: float = 0.0
    failures: int = 0
    in_a_row: Counter[str] = field(default_factory=Counter)
    tried: set[tuple[str, str]] = field(default_factory=set)
    open_cure: Entry | None = None
    open_experiment: Entry | None = None
    experiments: int = 0
    points: list[Point] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    settled: bool = False
    too_much: int | None = None
    changes: list[Change] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)
    best_step: int = 0
    step: int = 0
    lost_steps: int = 0
    stuck_since: float | None = None
    finished: str | None = None

    def add(self, entry: Entry) -> None:
        """Take in one more entry."""
        take = TAKE.get(entry["kind"])
        if take is not None:
            take(self, entry)

    def _supervision(self, entry: Entry) -> None:
        self.options = entry.get("options") or self.options
        self.finished = None

    def _launched(self, entry: Entry) -> None:
        self.attempt, self.launched = entry["attempt"], entry.get("began", entry["t"])
        self.trainer = (entry["pid"], entry.get("created", 0.0))
        self.step = entry.get("step", 0)

    def _ended(self, entry: Entry) -> None:
        self.trainer = None
        self.step = entry.get("step", self.step)

    def _diagnosed(self, entry: Entry) -> None:
        step = entry.get("step", 0)
        if step > self.best_step:  # it got further than ever: what failed before is another story
            self.in_a_row.clear()
            self.stuck_since = None
        self.best_step = max(self.best_step, step)
        self.failures += 1
        self.stuck_since = self.stuck_since or entry["t"]
        self.in_a_row[entry["finding"]] += 1
        self.lost_steps += entry.get("lost_steps", 0)
        lost = entry.get("micro_batch_tokens")
        if lost:
            self.too_much = min(lost, self.too_much or lost)

    def _edited(self, entry: Entry) -> None:
        for key, (old, new) in entry["changes"].items():
            self.changes.append(Change(key, old, new, entry.get("reason", ""), entry.get("by", "doctor")))

    def _cure(self, entry: Entry) -> None:
        self.open_cure = entry
        self.tried.add((entry["finding"], mark(entry.get("set") or {})))

    def _verified(self, entry: Entry) -> None:
        self.open_cure = None

    def _experiment(self, entry: Entry) -> None:
        self.open_experiment, self.experiments = entry, entry["number"]

    def _measured(self, entry: Entry) -> None:
        experiment, self.open_experiment = self.open_experiment, None
        if entry.get("micro_batch_tokens", 0) >= max((point.tokens for point in self.points), default=1):
            self.points.append(Point(entry["micro_batch_tokens"], entry["bytes_peak"]))
        if entry.get("verdict") in ("kept", "baseline"):
            self.kept.append(entry["budget"])
            self._explain(entry)
        elif experiment is not None and entry.get("verdict") == "out of memory":
            self.too_much = min(experiment["after"], self.too_much or experiment["after"])

    def _explain(self, entry: Entry) -> None:
        """Give a change that tuning made and kept what was measured as its reason."""
        made = [place for place, change in enumerate(self.changes) if change.by == "tuning"]
        if made and self.changes[made[-1]].new == entry["budget"] and entry.get("bytes_total"):
            peak, limit = entry["bytes_peak"] / GIB, entry["bytes_total"] / GIB
            why = f"peak {peak:.3f} of {limit:.3f} GiB; {entry.get('why', 'measured')}"
            self.changes[made[-1]] = replace(self.changes[made[-1]], why=why)

    def _settled(self, entry: Entry) -> None:
        self.settled = True

    def _finished(self, entry: Entry) -> None:
        self.finished = entry["status"]


TAKE: Final[Mapping[str, Callable[[History, Entry], None]]] = {
    "supervision": History._supervision,
    "launched": History._launched,
    "ended": History._ended,
    "diagnosed": History._diagnosed,
    "edited": History._edited,
    "hand_edit": History._edited,
    "cure": History._cure,
    "verified": History._verified,
    "experiment": History._experiment,
    "measured": History._measured,
    "settled": History._settled,
    "finished": History._finished,
}


def mark(values: Mapping[str, Any]) -> str:
    """Return what tells one change from another."""
    return json.dumps(values, sort_keys=True, default=str)
