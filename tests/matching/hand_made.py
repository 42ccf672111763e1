"""A hand-made run: verl facts from override words, rules from a few words, a reading from lines."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from rldoctor import expr
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.logs.series import by_metric
from rldoctor.rules import Index, Rule, Trigger
from rldoctor.types import Command, Document, Identity, LogLine, Place, Setting

MEGATRON = {"actor_rollout_ref.actor.strategy": "megatron", "critic.strategy": "megatron"}


def settings_of(words: Mapping[str, Any], file: str = "train.sh") -> tuple[Setting, ...]:
    """Return one setting a line, from line 2 on."""
    made = []
    for number, (key, value) in enumerate(words.items(), start=2):
        place = Place(file, number, 5, 100 * number, 100 * number + len(f"{key}={value}"))
        made.append(
            Setting(key, value, "override", place, place, state="unknown" if value == "$X" else "known")
        )
    return tuple(made)


def verl(words: Mapping[str, Any] | None = None, system: str = "verl") -> Facts:
    """Return the facts of a verl launch on Megatron with these overrides."""
    command = Command("verl.trainer.main_ppo", settings_of({**MEGATRON, **(words or {})}))
    return walk(Document("train.sh", "shell", ((command,),), {"train.sh": b""}), ToldFacts(system=system))[0]


def nobody() -> Facts:
    """Return the facts of a run of which nothing is known."""
    return walk(None, ToldFacts())[0]


def rule(name: str = "bad-thing", when: str | None = None, **how: Any) -> Rule:
    """Return a rule; ``on`` holds triggers whose conditions are texts."""
    told: dict[str, Any] = {
        "id": name, "phase": "train", "severity": "error", "title": "bad", "explanation": "because",
        "references": ("here",), "family": "config", "verdict": "config", "on": (trigger("config"),),
    }  # fmt: skip
    return Rule(**{**told, "when": expr.compile(when) if when else None, **how})


def trigger(kind: str, when: str | None = None, **how: Any) -> Trigger:
    """Return a trigger with its condition compiled."""
    return Trigger(kind, expr.compile(when) if when else None, **how)  # type: ignore[arg-type]


def line(number: int, text: str, rank: int | None = None, time: float | None = None) -> LogLine:
    """Return a line of run.log."""
    return LogLine("run.log", number, text, Identity(rank=rank), time)


class Reading(SimpleNamespace):
    """What the matcher reads of a log, its windows cut from the lines given."""

    def took_another_way(self, at: LogLine) -> bool:
        """Say that no line is a warning that tells what is done instead."""
        return False

    def went_on(self, at: LogLine) -> bool:
        """Say whether a step line follows."""
        return any(step.number > at.number for step in self.progress)

    @property
    def series(self) -> Any:
        """Return the samples of each metric."""
        return by_metric(self.samples)

    def window(self, at: LogLine, lines: int, same: str) -> tuple[LogLine, ...]:
        """Return the lines around one."""
        near = (each for each in self.lines if abs(each.number - at.number) <= lines)
        return tuple(each for each in near if same == "run" or each.who == at.who)


def reading(*lines: LogLine, find: tuple[str, ...] = (), steps: tuple[int, ...] = (), **more: Any) -> Any:
    """Return what was read of some lines: hits by literal; ``steps`` are the numbers of step lines."""
    hits = {key: tuple(each for each in lines if key in each.text) for key in find}
    progress = tuple(each for each in lines if each.number in steps)
    empty = {"events": (), "samples": (), "failures": (), "subjects": ("run.log",)}
    return Reading(lines=lines, hits=hits, progress=progress, **{**empty, **more})


def index_of(*rules: Rule) -> Index:
    """Return the index of some rules."""
    return Index.of(rules)
