"""What is told at the end: what was changed and why, and where everything is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from rldoctor import edits, sources
from rldoctor.exits import OK
from rldoctor.run.history import Change
from rldoctor.run.session import Session
from rldoctor.run.watch import End
from rldoctor.types import Edit, Report

TUNED: Final = "tuned.yaml"
BATCH: Final = {
    "prompts_per_step": "batch.prompts_per_step",
    "samples_per_prompt": "batch.n_samples",
    "global_batch": "batch.global",
    "learning_rate": "optim.lr",
    "token_budget": "batch.max_tokens_per_gpu",
    "micro_batch": "batch.micro",
    "ulysses": "train.ulysses_sp",
    "ranks": "train.gpus",
}


def note_batch(session: Session, when: str) -> None:
    """Write the batch arithmetic into the journal: what is learned must be the same before and after."""
    found = session.facts()
    if found is None:
        return
    values = {name: found.value(concept) for name, concept in BATCH.items()}
    known = {name: value for name, value in values.items() if isinstance(value, int | float)}
    session.note("batch", when=when, **known)


def micro_batch_tokens(session: Session) -> int | None:
    """Return the tokens that the largest micro-batch can have had, by the configuration."""
    found = session.facts()
    if found is None:
        return None
    names = ("batch.max_tokens_per_gpu", "batch.samples_per_rollout", "batch.longest_sample", "train.dp")
    budget, samples, longest, ranks = (found.value(name) for name in names)
    if not isinstance(budget, int):
        return None
    if isinstance(samples, int) and isinstance(longest, int) and isinstance(ranks, int) and ranks > 0:
        return min(budget, -(-samples * longest // ranks))
    return budget


def least_budget(session: Session) -> int:
    """Return the token budget that the longest sample needs, 1 where it is not known."""
    found = session.facts()
    least = found.value("batch.min_tokens_per_gpu") if found is not None else None
    return least if isinstance(least, int) else 1


def last_change(session: Session) -> str:
    """Return the last change for the progress line."""
    changes = session.history.changes
    return f"{changes[-1].key} {changes[-1].old} → {changes[-1].new}" if changes else ""


def moment(session: Session, end: End) -> str:
    """Return when a run ended, in its own steps; a foreign command tells of none."""
    return f" in step {end.step} ({end.phase})" if session.config is not None else ""


def finish(session: Session, end: End) -> int:
    """Tell of a run that is finished, and leave the tuned configuration; return the exit code."""
    note_batch(session, "after")
    tuned = _write_tuned(session)
    session.note("finished", status="done", step=end.step, reason=end.last.get("reason"), reward=end.reward)
    reason = {"reward": "the reward that was wanted is reached", "steps": "all steps are done"}
    why = reason.get(str(end.last.get("reason")), "the command ended well")
    at = f" at step {end.step}" if session.config is not None else ""
    at += f", mean reward of the last steps {end.reward:.3f}" if end.reward is not None else ""
    session.screen.tell(f"finished{at}: {why}.")
    _tell(session)
    if tuned is not None:
        session.screen.tell(f"tuned configuration: {tuned}")
    if session.options.write and session.source is not None:
        _write_back(session)
    return OK


def stop(session: Session, end: End, report: Report, why: str) -> None:
    """Tell of a run that cannot go on."""
    session.note("finished", status="stopped", step=end.step, reason=why, verdict=report.verdict)
    session.screen.tell("")
    session.screen.tell(f"stopped{moment(session, end)}: {why}.")
    _tell(session)
    session.screen.tell(f"after a change by hand go on with: rldoctor run --resume {session.folder}")


def _tell(session: Session) -> None:
    lines = list(_changes(session.history.changes))
    if lines:
        session.screen.tell("what was changed, and why:")
        for line in lines:
            session.screen.tell(f"  {line}")
    failures = session.history.failures
    lost = session.history.lost_steps
    if failures > 1 or lost:
        session.screen.tell(f"failures: {failures}; finished steps that had to be done again: {lost}")
    session.screen.tell(f"run folder: {session.folder}")


def _changes(changes: list[Change]) -> Iterator[str]:
    """Yield a line for each setting and reason; an experiment that was taken back shows both ways."""
    for (key, why), several in groupby(changes, lambda change: (change.key, change.why)):
        ways = list(several)
        steps = " → ".join(str(value) for value in [ways[0].old, *(change.new for change in ways)])
        yield f"{key}: {steps}: {why}"


def final(session: Session) -> dict[str, Change]:
    """Return each setting that is not as at the beginning: first value, last value, last reason."""
    last: dict[str, Change] = {}
    for change in session.history.changes:
        first = last[change.key].old if change.key in last else change.old
        last[change.key] = Change(change.key, first, change.new, change.why, change.by)
    return {key: change for key, change in last.items() if change.old != change.new}


def _write_tuned(session: Session) -> Path | None:
    """Write the configuration that was reached, with a reason on each line that was changed."""
    if session.config is None:
        return None
    wanted = final(session)
    text = session.config.known
    lines = text.data.decode("utf-8", "replace").splitlines()
    for command in text.document.worlds[0]:
        for setting in command.settings:
            change = wanted.get(setting.key)
            if change is not None and setting.place is not None:
                at = setting.place.line - 1
                lines[at] = (
                    f"{lines[at].split('  #')[0].rstrip()}  # rldoctor: was {change.old}: {change.why}"
                )
    path = session.folder / TUNED
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _write_back(session: Session) -> None:
    """Carry what was changed into the user's own file; the text before stays beside it as a backup."""
    assert session.source is not None
    name, wanted = str(session.source), final(session)
    document = sources.read(name)
    settings = {setting.key: setting for setting in document.worlds[0][0].settings}
    made: list[Edit] = []
    for key, change in wanted.items():
        if key in settings:
            made += sources.replace(document, settings[key], change.new)
        elif change.new is not None:
            made += sources.insert(document, document.worlds[0][0], key, change.new, "yaml")
    for applied in edits.apply(made, document.files):
        session.screen.tell(f"changed {applied.file} (before: {applied.backup})")
