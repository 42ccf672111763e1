"""Signs of life where no steps are counted: servers that serve on, processes that raise the same again,
warnings that tell what is done instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor.logs.failures import Failure
from rldoctor.logs.rereading import Text
from rldoctor.types import LogLine

STARTED: Final = "/Application startup complete|The server is fired up and ready to roll/"
SERVED: Final = re.compile(
    r'"POST /(?:v1/\S{1,60}|generate) HTTP/1\.[01]" 2\d\d'
    r"|Avg generation throughput: (?:[1-9]|0\.0?[1-9])"
    r"|(?:Decode|Prefill) batch[,. ].{0,20}#"
)
REFUSED: Final = re.compile(r'"POST /\S{0,80} HTTP/1\.[01]" 4\d\d')
PATTERNS: Final = (STARTED,)
AFTER: Final = 200  # lines behind an error, and at the end of a log, in which a server shows that it works
SERVERS: Final = (None, "APIServer")  # who starts a server that is not part of a run

INSTEAD: Final = re.compile(
    r"\b(?:[Ff]alling back (?:to|on)|[Ff]alls? back to|[Uu]sing .{1,80} instead)\b"
    r"|^Ignore import error when loading "
    r"|Warning: (?:Failed|Unable|Could not|Cannot) (?:to )?(?:import|load) "
)
MILD: Final = re.compile(r"\b(?:DEBUG|INFO|WARN(?:ING)?|[A-Z]\w*Warning)\b|Ignore import error when loading ")

CAUGHT: Final = re.compile(
    r".{0,60}?\bW\d{4} [\d:.]{8,20} +\d{1,10} [\w./-]{1,120}\.py:\d{1,6}\] (?:\[[\w/]+\] )?"
    r"[\w.]{0,80}(?:Error|Exception)\b"
)  # an exception that a Python logger tells as a warning

TIMES: Final = 3  # that a process says it raised something until it is clear that it catches it
FATAL: Final = re.compile(
    r"(?:^|\.)(?:RuntimeError|SystemError|MemoryError|OSError|SystemExit)$|OutOfMemory|CUDA|Cuda|Accelerator|DistBackend|Dead|Died"
)


def served(
    text: Text,
    hits: Mapping[str, Sequence[LogLine]],
    regions: Iterable[tuple[int, int, int]],
    sign: re.Pattern[str],
) -> dict[str, tuple[int, ...]]:
    """Return for each log of a server of its own the lines that show it at work, in order.

    A server says so all the time: only what stands behind errors (log, first and last line) and at the end
    is looked at.
    """
    logs = {text.index[line.file] for line in hits.get(STARTED, ()) if line.who.actor in SERVERS}
    found: dict[str, set[int]] = {}
    ends = ((log, text.scan.lines[log] - AFTER, text.scan.lines[log]) for log in sorted(logs))
    for log, first, last in (*regions, *ends):
        for line in text.between(log, max(1, first), last + AFTER) if log in logs else ():
            if sign.search(line.text):
                found.setdefault(line.file, set()).add(line.number)
    return {file: tuple(sorted(numbers)) for file, numbers in found.items()}


def tells_another_way(line: LogLine, whole: str) -> bool:
    """Say whether a line is no more than a warning, and tells what is done instead."""
    instead = INSTEAD.search(line.text) is not None and MILD.search(whole) is not None
    return instead or CAUGHT.match(whole) is not None


def with_caught(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    """Mark as ignored what a process raised several times with other words or at other times: it lives.

    What one of several alike (an actor's class) is seen to catch, all of them catch.
    """
    told: dict[tuple[object, ...], dict[object, set[object]]] = {}
    for failure in failures:
        pids = told.setdefault(_kind(failure), {})
        pids.setdefault(failure.line.who.pid, set()).add(_occasion(failure))
    caught = {kind for kind, pids in told.items() if any(len(times) >= TIMES for times in pids.values())}
    return tuple(
        replace(failure, ignored=True) if _kind(failure) in caught and _may_be_caught(failure) else failure
        for failure in failures
    )


def _may_be_caught(failure: Failure) -> bool:
    return failure.line.who.pid is not None and not any(FATAL.search(link.name) for link in failure.chain)


def _kind(failure: Failure) -> tuple[object, ...]:
    who, frame = failure.line.who, next(iter(failure.frames[-1:]), None)
    place = (frame.file, frame.function) if frame else ()
    return failure.line.file, who.actor or who.pid, failure.exception, place


def _occasion(failure: Failure) -> object:
    """Return what tells one time from another: the second where it is known, else the words."""
    time = failure.line.time if failure.start.time is None else failure.start.time
    return failure.message.partition("\n")[0] if time is None else int(time)
