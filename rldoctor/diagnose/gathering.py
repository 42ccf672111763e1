"""Logs and what lies beside them as one reading: dumps complete what the logs tell of the same happening."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from time import time
from typing import Any, Final

from msgspec.structs import replace

from rldoctor import dialects, dumps, logs
from rldoctor.diagnose.writers import are_written
from rldoctor.dumps import DumpReading
from rldoctor.logs import LogReading, PrintedConfig, phases
from rldoctor.types import Document, Event, LogLine, RLDoctorError

MOST_LINES: Final = 12
SHARED: Final = frozenset({"vllm", "sglang", "megatron", "ray", "torchrun", "trl"})
"""Systems that others stand on: a log that tells of one may be anybody's."""
SCRIPTS: Final = (".sh", ".bash", ".slurm", ".sbatch", ".py", ".yaml", ".yml")
FRESH: Final = 120.0  # seconds since a log has grown in which it counts as alive
WHOLE_VIEW: Final = ("ranks_missing", "ranks_waiting", "mismatch", "other", "other_op", "missing_last")
FAILED: Final = ("collective_timeout", "hang", "exception", "process_death", "worker_died", "out_of_memory")


def refuse_empty(paths: Sequence[str]) -> None:
    """Raise where all logs are empty files; only one that is followed may be empty still."""
    if all(Path(path).is_file() and not Path(path).stat().st_size for path in paths):
        raise RLDoctorError(f"{', '.join(paths)}: the log is empty", hint="Nothing can be said of it.")


def refuse_nothing(paths: Sequence[str], reading: LogReading) -> None:
    """Raise where there was not one line to read and nothing says why."""
    if not reading.total_lines and not reading.events and not reading.notes:
        raise RLDoctorError(f"{', '.join(paths)}: the log is empty", hint="Nothing can be said of it.")


def refuse_scripts(paths: Sequence[str], reading: LogReading) -> None:
    """Raise where what was named is launch scripts or configurations, in which nothing is a log's."""
    named = [path for path in paths if path.lower().endswith(SCRIPTS) and Path(path).is_file()]
    if len(named) < len(paths) or reading.events or reading.failures or reading.progress:
        return
    message = "this is a launch script or a configuration, and nothing in it is a log's"
    raise RLDoctorError(message, file=named[0], hint=f"rldoctor check {' '.join(named)}")


def gather(paths: Sequence[str], patterns: Collection[str]) -> LogReading:
    """Read logs, and the dumps and configurations among and below the paths."""
    found, rest = dumps.split(paths)
    beside = dumps.read(found)
    return with_dumps(_without_life(_read_logs(rest, patterns, beside)), beside)


def _without_life(reading: LogReading) -> LogReading:
    """Leave out that a log ends under way where it has just grown and a process still writes to it."""
    files = {event.lines[0].file for event in reading.events if event.kind == "standstill"}
    fresh = {file for file in files if Path(file).is_file() and time() - Path(file).stat().st_mtime < FRESH}
    if not fresh or not are_written(fresh):
        return reading
    kept = (e for e in reading.events if e.kind != "standstill" or e.lines[0].file not in fresh)
    return replace(reading, events=tuple(kept))


def _read_logs(paths: Sequence[str], patterns: Collection[str], beside: DumpReading) -> LogReading:
    """Read the logs; with dumps at hand there may be none."""
    if not paths and beside.notes:
        return LogReading((), {}, {})
    try:
        return logs.read(paths, patterns)
    except RLDoctorError as error:
        if beside.events and error.message.startswith("no log found"):
            return LogReading((), {}, {}, notes=("there is no log beside the dumps",))
        raise


def with_dumps(reading: LogReading, beside: DumpReading) -> LogReading:
    """Return a reading with what dumps say: folded into the event that they are about, else as one more."""
    stacks = any(event.kind == "hang" for event in beside.events)
    pasted = ("stacks",) if stacks else ()
    events = [event for event in reading.events if event.fields.get("last_event") not in pasted]
    reading = replace(reading, events=tuple(events))
    notes = list(beside.notes)
    for event in map(_placed, beside.events):
        at = _same(events, event)
        if at is not None:
            events[at] = _completed(events[at], event)
        elif _ended_something(event, reading):
            events.append(event)
        else:
            notes.append("; ".join(line.text for line in event.lines[:3]))
    known = {config.document.path for config in reading.configs}
    strange = {doc.path: other for doc, _ in beside.configs if (other := _other_system(doc, reading))}
    configs = (
        PrintedConfig(document, LogLine(document.path, 1, document.path), form)
        for document, form in beside.configs
        if document.path not in known and document.path not in strange
    )
    notes = [note for note in notes if not any(note.startswith(f"{path} was taken") for path in strange)]
    notes += [f"{path} was left out: it is for {other}" for path, other in strange.items()]
    return replace(
        reading,
        subjects=(*reading.subjects, *(name for name in beside.subjects if name not in reading.subjects)),
        events=tuple(events),
        configs=(*reading.configs, *configs),
        notes=(*reading.notes, *notes),
    )


def _other_system(document: Document, reading: LogReading) -> str:
    """Return whose configuration lies beside a log that plainly tells of another trainer, else nothing."""
    wanted = {each.system for each in dialects.detect(document)}
    told = set(reading.systems) - SHARED
    if not told or wanted & told or not wanted - SHARED:
        return ""
    return f"{' or '.join(sorted(wanted))}, the log tells of {' and '.join(sorted(told))}"


def _placed(event: Event) -> Event:
    """Return an event with the phase that its stack tells."""
    frames = event.fields.get("frames") or ()
    phase = event.phase or phases.of_text([str(frame) for frame in reversed(frames)])
    return replace(event, phase=phase, fields={**event.fields, "phase": phase}) if phase else event


def _same(events: Sequence[Event], event: Event) -> int | None:
    """Return which event of the logs a dump is about."""
    alike = [number for number, other in enumerate(events) if _is_same(other, event)]
    mine = [number for number in alike if event.who.rank in {who.rank for who in events[number].spread}]
    return next(iter(mine or alike), None)


def _is_same(one: Event, other: Event) -> bool:
    if one.kind == "collective_timeout" and other.kind == "hang":
        return True  # stacks tell where each rank stood when the time was over
    if one.kind != other.kind or not one.lines:
        return False
    if one.kind == "collective_timeout":
        names = (
            ("seq", "op")
            if one.fields.get("group") in (None, other.fields.get("group"))
            else ("seq", "op", "group")
        )
        return all(one.fields.get(name) in (None, other.fields.get(name)) for name in names)
    return one.kind != "out_of_memory" or one.fields.get("device") == "gpu"


def _completed(told: Event, dump: Event) -> Event:
    """Return the log's event with what the dump adds; who was missing only all dumps together can say."""
    fields: dict[str, Any] = {**dump.fields, **told.fields}
    if told.kind == dump.kind:
        fields |= {name: dump.fields[name] for name in WHOLE_VIEW if name in dump.fields}
        fields |= {"flight_recorder": True} if "flight_recorder" in dump.fields else {}
    else:
        fields = {**told.fields, "frames": told.fields.get("frames") or dump.fields.get("frames")}
    lines = (*told.lines[:1], *dump.lines, *told.lines[1:])[:MOST_LINES]
    spread = tuple(dict.fromkeys((*told.spread, *dump.spread)))
    phase = told.phase or dump.phase
    return replace(
        told, fields={**fields, "phase": phase} if phase else fields, lines=lines, spread=spread, phase=phase
    )


def _ended_something(event: Event, reading: LogReading) -> bool:
    """Say whether a dump alone shows a failure: dumps are also written of runs that are well."""
    if event.kind == "collective_timeout":
        return bool(event.fields.get("ranks_missing") or event.fields.get("mismatch")) or not reading.progress
    if event.kind == "out_of_memory":
        return "bytes_asked" in event.fields
    failed = any(
        one.kind in FAILED and not (one.lines and reading.went_on(one.lines[-1])) for one in reading.events
    )
    return event.kind != "hang" or not failed
