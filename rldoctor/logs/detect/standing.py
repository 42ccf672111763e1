"""Logs that end while something is under way: set up, capture, load, sync, a first step that never comes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor.logs.detect import halts, pasted_stacks, stages
from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.pasted import end_of
from rldoctor.logs.persons import FENCE, is_printed, is_prose, spoken_lines
from rldoctor.logs.seen import Seen
from rldoctor.logs.survival import SERVERS
from rldoctor.types import LogLine

MOST_LOGS: Final = 16
RAYS_OWN: Final = (  # what Ray itself does, not the run
    r"(?:^|/)(?:python-core-|raylet\.|gcs_server\.|dashboard|log_monitor|monitor\.|runtime_env_|debug_state|event_[A-Z])"
)
HEARTBEAT: Final = (
    r"\"GET /(?:health|metrics|get_model_info|server_info|v1/models)|Running: \d+ reqs?, (?:Swapped|Waiting)"
    r"|#running-req: \d+|Resource usage"
    r"|have not registered within the timeout|Still waiting|still waiting"
)
STATUS: Final = r"generation throughput: (?P<made>[\d.]+) tokens/s, Running: (?P<running>\d+) reqs?"
STANDING: Final = 3  # states of an engine in a row in which it makes nothing of the requests that it runs
UP: Final = r"Uvicorn running on |Application startup complete|server is fired up and ready"
ENGINE_LINES: Final = 60
BAR_LINES: Final = 20
FULL: Final = r"(?P<of>[^|%]{1,60}?):? +100%\|"
OPEN: Final = r"(?P<of>[^|%]{1,60}?):? +\d{1,2}%\|"
PACE: Final = (
    r"(?P<of>[^|%]{1,60}?):? +(?P<done>\d{1,3})%\|.{0,160}\| ?(?P<at>\d{1,9})/\d{1,9} "
    r"\[(?P<clock>[\d:]{4,9})<"
)
READY: Final = r"init engine \(|startup complete|fired up and ready|Starting vLLM (?:API )?server"
NOTHING: Final = r"[\s`.…~=*>_-]*|\^C.*|.*(?:flashinfer\.jit|Loading JIT ops|Warning: |warnings\.warn\().*"
CLOSED: Final = (  # by peers that have ended
    r"NCCL INFO (?:\[Service thread\] Connection closed|comm 0x.{0,120} (?:Abort|Destroy) COMPLETE)"
)
ELAPSED: Final = r"\b0/\d{1,9} \[(?:(\d{1,3}):)?(\d{1,2}):(\d\d)<\?"
BEGUN: Final = r"\b0/\d{1,9} \[00:00<\?"  # a bar of answers that is a moment old
MOVES: Final = (  # a bar of an evaluation that has moved
    r"(?i)(?:eval\w*|scoring|judging):? +\d{1,3}%\|.{0,120}\| ?(?:[2-9]|[1-9]\d{1,8})/\d{1,9} \["
)
NEAR: Final = 4  # lines before the last one in which what is under way may have been said
EDGE: Final = 3  # lines at the beginning and at the end of a text in which a person speaks
FINISHED: Final = r"train_runtime|[Tt]raining (?:completed?|finished|done)|100%\|"
ANEW: Final = r"will restart worker group|restart_count=[1-9]"  # after steps a start again
LONG: Final = 300.0  # seconds of heartbeats alone after which whatever was said before stands still


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield what each log was about when it ended; where anything failed, that is what ended it."""
    if any(not (failure.ignored or failure.recovered) for failure in seen.failures):
        return
    logs = [at for at, log in enumerate(seen.text.logs) if not re.search(RAYS_OWN, log.name)]
    for log in logs[:MOST_LOGS]:
        lines = list(end_of(seen.text, log))
        yield from pasted_stacks.detect(lines, seen)
        yield from _end(lines, seen.text.logs[log].name in seen.main)


def _end(lines: Sequence[LogLine], started: bool) -> Iterator[Sighting]:
    """Yield what is under way at the last line that is no mere sign of life."""
    said = [line for line in _fenced(lines) if not re.fullmatch(NOTHING, line.text)]
    alive = [
        line for line in said if re.search(HEARTBEAT, line.text) and not halts.is_said_to_stand(line.text)
    ]
    living = {line.number for line in alive}
    said = [line for line in said if line.number not in living]
    idle = _idle(alive)
    if idle is not None:
        yield sighting("standstill", idle, {"what": "rollout", "phase": "rollout"}, ("rollout", idle.file))
        return
    if not said:
        return
    words = [line for line in spoken_lines(said, EDGE) if halts.is_said_to_stand(line.text)]
    words = [line for line in words if line.time is None and line.who.pid is None]
    spoken = words[-1].number if words and words[-1] in said[-EDGE:] else None
    said = [line for line in said if not _is_of_person(line, words, spoken)] or _newest(alive) or said
    said = list(_before_closing(said))
    last, seconds = said[-1], _seconds(said[-1], alive)
    what, phase = stages.begun(last.text)
    if words and _generates(last.text):
        what, phase = "rollout", "rollout"
    if not words and (_moves(last.text, what, seconds) or _keeps_pace(said)):
        return
    begun: LogLine | None = last
    if words:
        last, begun = _spoken_of(words, said, what)
        what, phase = (
            stages.begun(begun.text) if begun is not None and begun is not said[-1] else (what, phase)
        )
    if what is None and _is_of_engine(last, said):
        what, phase = "engine", "start"
    begun_anew = any(re.search(ANEW, line.text) for line in said[-ENGINE_LINES:])
    if what is None or (started and what in stages.AT_START and not begun_anew):
        points = any(line.text.rstrip().endswith((":", "：")) for line in words)  # at what follows
        after = points or (spoken is not None and spoken > last.number)
        told = words and (after or not re.search(FINISHED, last.text) or _has_open_bar(said))
        if not told and (seconds is None or seconds < LONG):
            return
        what, phase = halts.named_phase([*words, last])
    fields = {"what": what, "phase": phase, "seconds": None if words else seconds}
    one = sighting("standstill", last, fields, (what, last.file))
    shown = [line for line in (last, begun, *words[-1:]) if line is not None]
    yield replace(one, event=replace(one.event, lines=tuple(dict.fromkeys(shown))))


def _newest(alive: list[LogLine]) -> list[LogLine]:
    """Return the newest sign of life that tells an engine's state, else the newest at all."""
    return [line for line in alive if re.search(STATUS, line.text)][-1:] or alive[-1:]


def _spoken_of(
    words: Sequence[LogLine], said: Sequence[LogLine], what: str | None
) -> tuple[LogLine, LogLine | None]:
    """Return the line at which it stands, as a person says, and the one that tells what had begun."""
    named = halts.named(words, said)
    if named is not None:
        return named, named
    if what is not None:
        return said[-1], said[-1]
    bar = None if _is_of_engine(said[-1], said) else _open_bar(said)
    return (bar, bar) if bar is not None else (said[-1], _begun_before(said))


def _is_of_engine(last: LogLine, said: Sequence[LogLine]) -> bool:
    """Say whether a line is of an engine that starts, or has started as a worker and not been asked."""
    up = re.search(UP, last.text) and last.who.pid is not None and last.who.actor not in SERVERS
    return bool(up) or (stages.OF_ENGINE.search(last.text) is not None and _engine_starts(said))


def _begun_before(said: Sequence[LogLine]) -> LogLine | None:
    """Return the newest of the last lines that says that something has begun."""
    return next((line for line in reversed(said[-NEAR:]) if stages.begun(line.text)[0] is not None), None)


def _moves(text: str, what: str | None, seconds: float | None) -> bool:
    """Say whether a bar of answers is a moment old, or one of an evaluation has come on."""
    begun = what == "rollout" and re.search(BEGUN, text) is not None
    return begun or ((seconds is None or seconds < LONG) and re.search(MOVES, text) is not None)


def _keeps_pace(said: Sequence[LogLine]) -> bool:
    """Say whether the last line is a bar that has moved, within the time that one before it took to fill."""
    now = re.match(PACE, said[-1].text)
    full = [
        bar for line in said[:-1] if (bar := re.match(PACE, line.text)) is not None and bar["done"] == "100"
    ]
    usual = [_clock(bar["clock"]) for bar in full if now is not None and bar["of"] == now["of"]]
    return now is not None and now["at"] != "0" and bool(usual) and _clock(now["clock"]) <= 2 * max(usual)


def _clock(text: str) -> int:
    """Return the seconds of hours, minutes and seconds."""
    parts = [int(part) for part in text.split(":")]
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))


def _fenced(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """Return the lines within a page's fences and what a person says beside them of a halt; else all."""
    fences = sum(FENCE.match(line.text) is not None for line in lines)
    inside = fences % 2 == 1  # the first was opened before these lines
    kept = []
    for line in lines if fences else ():
        if FENCE.match(line.text):
            inside = not inside
        elif inside or halts.is_said_to_stand(line.text):
            kept.append(line)
    return kept or lines


def _before_closing(said: Sequence[LogLine]) -> Sequence[LogLine]:
    """Return the lines without those of connections that closed, where something was under way before."""
    count = next((n for n, line in enumerate(reversed(said)) if not re.search(CLOSED, line.text)), len(said))
    before = said[: len(said) - count]
    return before if before and stages.begun(before[-1].text)[0] not in (None, "nccl") else said


def _is_of_person(line: LogLine, words: Sequence[LogLine], spoken: int | None) -> bool:
    """Say whether a person wrote a line; ``spoken`` is the line of their words at the end, if any."""
    bare = line.time is None and line.who.pid is None and not is_printed(line.text)
    after = spoken is not None and line.number > spoken and bare
    return line in words or after or is_prose(line.text)


def _engine_starts(said: Sequence[LogLine]) -> bool:
    """Say whether an engine began to load and has not said since that it is ready."""
    whats = [stages.begun(line.text)[0] for line in said[-ENGINE_LINES:]]
    return "engine" in whats and not any(re.search(READY, line.text) for line in said[-ENGINE_LINES:])


def _open_bar(said: Sequence[LogLine]) -> LogLine | None:
    """Return the newest bar among the last lines where it tells what is under way."""
    bars = [line for line in said[-BAR_LINES:] if "%|" in line.text]
    return bars[-1] if bars and stages.begun(bars[-1].text)[0] is not None else None


def _has_open_bar(said: Sequence[LogLine]) -> bool:
    """Say whether the last line's full bar is a part of another one's step, which is not full."""
    full = re.match(FULL, said[-1].text)
    bars = [found for line in said[-BAR_LINES:] if (found := re.match(OPEN, line.text)) is not None]
    return full is not None and bool(bars) and bars[-1]["of"] != full["of"]


def _generates(text: str) -> bool:
    """Say whether a line is the state of an engine that has requests."""
    found = re.search(STATUS, text)
    return found is not None and found["running"] != "0"


def _idle(alive: Sequence[LogLine]) -> LogLine | None:
    """Return the line from which on an engine has requests to the end and makes no token of them."""
    states = [(line, found) for line in alive if (found := re.search(STATUS, line.text)) is not None]
    first = next(
        (n for n, (_, s) in enumerate(reversed(states)) if float(s["made"]) or s["running"] == "0"), -1
    )
    idle = states[len(states) - first :] if first >= 0 else states
    return idle[0][0] if len(idle) >= STANDING else None


def _seconds(last: LogLine, alive: Sequence[LogLine]) -> float | None:
    """Return for how long nothing but signs of life came, by a bar's own clock or by the lines' times."""
    bar = re.search(ELAPSED, last.text)
    if bar is not None and any(int(part or 0) for part in bar.groups()):
        hours, minutes, seconds = (int(part or 0) for part in bar.groups())
        return float(hours * 3600 + minutes * 60 + seconds)
    times = [line.time for line in alive if line.time is not None and line.number > last.number]
    return max(times) - last.time if times and last.time is not None else None
