"""What a failure cost: the last step that was finished against the last checkpoint that was saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldoctor.types import Event, Sample

if TYPE_CHECKING:
    from rldoctor.logs import LogReading


def lost(reading: LogReading) -> str:
    """Return what was lost, nothing where no step was told."""
    last = _last_step(reading)
    if last is None or last.step is None:
        return ""
    saved = _last_checkpoint(reading)
    place = f"{last.line.file}:{last.line.number}"
    if saved is None:
        return f"the last finished step is {last.step} ({place}); no saved checkpoint is told"
    step, line = int(saved.fields["step"]), saved.lines[0]
    steps = last.step - step
    where = f"{line.file}:{line.number}"
    if steps <= 0:
        return f"nothing is lost: the checkpoint of step {step} ({where}) is as new as the last finished step"
    return (
        f"{steps} step{'s' * (steps != 1)} after the checkpoint of step {step} ({where}) "
        f"{'are' if steps != 1 else 'is'} lost; the last finished step is {last.step} ({place})"
    )


def _last_step(reading: LogReading) -> Sample | None:
    main = max(reading.moves.moves.values(), key=len, default=())
    return main[-1] if main else None


def _last_checkpoint(reading: LogReading) -> Event | None:
    saved = [
        event
        for event in reading.events
        if event.kind == "checkpoint_saved" and isinstance(event.fields.get("step"), int) and event.lines
    ]
    return max(saved, key=lambda event: int(event.fields["step"]), default=None)
