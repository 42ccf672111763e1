"""Ranks that stood still: the stacks that faulthandler wrote into their logs when its time was over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.failures import Frame
from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

OVER: Final = "/Timeout \\(\\d+:\\d\\d:\\d\\d(?:\\.\\d+)?\\)!/"
PATTERNS: Final = (OVER,)

TIME: Final = re.compile(r"Timeout \((\d{1,4}):(\d\d):(\d\d)")
THREAD: Final = re.compile(r"\s*(?:Current thread|Thread) 0x[0-9a-f]{1,20}.{0,80}\(most recent call first\):")
FRAME: Final = re.compile(r'\s*File "(?P<file>[^"]{1,400})", line (?P<line>\d{1,7}) in (?P<name>.{1,200})')
WAITS: Final = ("torch/distributed/", "ray/_private/worker.py", "torch/cuda/")  # for others, or the GPU
MOST_LINES: Final = 400


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield the last stack of each process that did not merely wait for others when its time was over."""
    last = {(line.file, line.who): line for line in seen.lines(OVER)}
    for line in last.values():
        stack = main_thread(seen.after(line, MOST_LINES), line)
        frames = tuple(frame for _, frame in stack)
        if not frames or any(word in frame.file for frame in frames for word in WAITS):
            continue
        outward = tuple(reversed(frames))
        fields = {
            "last_event": "stacks",
            "seconds": _seconds(line),
            "frames": [str(frame) for frame in outward],
            "frame": str(frames[0]),
            "ranks": [line.who.rank] if line.who.rank is not None else None,
            "phase": seen.phase(line, outward),
            "step": seen.step(line),
        }
        yield sighting("hang", stack[0][0], fields, (str(frames[0]),), line.who)


def main_thread(lines: Sequence[LogLine], head: LogLine) -> list[tuple[LogLine, Frame]]:
    """Return the frames of the thread that runs the program, innermost first; else those of the last one."""
    threads: list[list[tuple[LogLine, Frame]]] = []
    for line in lines:
        if line.who != head.who or not line.text.strip():
            continue
        frame = FRAME.match(line.text)
        if THREAD.match(line.text):
            threads.append([])
        elif frame is None or not threads:
            break
        else:
            threads[-1].append((line, Frame(frame["file"], int(frame["line"]), frame["name"].strip())))
    started = [thread for thread in threads if thread and thread[-1][1].function == "<module>"]
    return next(iter([*reversed(started), *reversed(threads)]), [])


def _seconds(line: LogLine) -> float | None:
    found = TIME.search(line.text)
    return float(int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])) if found else None
