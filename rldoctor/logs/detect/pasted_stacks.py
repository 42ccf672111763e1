"""Stacks pasted of processes that stand still: py-spy's and faulthandler's, without what begins them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.failures import Frame
from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

PROCESS: Final = re.compile(r"Process \d{1,10}: ")
THREAD: Final = re.compile(
    r'Thread (?:\d+|0x[0-9a-fA-F]+) \((?P<state>[\w+ ]{1,30})\)(?:: "(?P<name>[^"]{0,100})")?'
)
SPY: Final = re.compile(
    r"\s{1,16}(?P<name>[A-Za-z_<][\w.<>]{0,200}) \((?P<file>[^()\s]{1,400}\.py):(?P<line>\d{1,7})\)\s*$"
)
FAULT: Final = re.compile(
    r'\s*File "(?P<file>[^"]{1,400})", line (?P<line>\d{1,7}) in (?P<name>[\w<>.]{1,200})\s*$'
)
PRINTED: Final = re.compile(
    r"[-#\s]{0,8}(?i:thread ?id): ?\d{1,20}\b[\s-]{0,8}$"
)  # a signal's handler printed it
CALLED: Final = re.compile(
    r'\s*File "(?P<file>[^"]{1,400})", line (?P<line>\d{1,7}), in (?P<name>[\w<>.]{1,200})\s*$'
)
OTHERS: Final = re.compile(r"Fatal Python error|Timeout \(\d")  # stacks that other detectors read
IDLE: Final = (
    "threading.py",
    "selectors.py",
    "concurrent/futures",
    "queue.py",
    "tqdm/_monitor",
    "gc_collect",
)
LEAST: Final = 3  # frames of a stack that has no head


class _Thread(Struct):
    state: str = ""
    main: bool = False
    frames: list[tuple[LogLine, Frame]] = field(default_factory=list)
    printed: bool = False  # by a handler within the process, outermost frame first

    @property
    def inward(self) -> list[tuple[LogLine, Frame]]:
        """Return the frames, the innermost first."""
        return self.frames[::-1] if self.printed else self.frames

    @property
    def place(self) -> tuple[LogLine, Frame] | None:
        """Return the innermost frame that is not mere waiting in a library."""
        told = (one for one in self.inward if not any(word in one[1].file for word in IDLE))
        return next(told, None)


def detect(lines: Sequence[LogLine], seen: Seen) -> Iterator[Sighting]:
    """Yield where a process stands, of several processes that which stands where fewest do."""
    if any(OTHERS.search(line.text) for line in lines):
        return
    chosen = [best for threads in _processes(lines) if (best := _telling(threads)) is not None]
    places = Counter(str(thread.place[1]) for thread in chosen if thread.place)
    for thread in sorted(chosen, key=lambda thread: places[str(thread.place and thread.place[1])])[:1]:
        line, place = thread.place or thread.inward[0]
        outward = tuple(frame for _, frame in reversed(thread.inward))
        fields = {
            "last_event": "stacks",
            "frames": [str(frame) for frame in outward],
            "frame": str(place),
            "phase": seen.phase(line, outward),
        }
        yield sighting("hang", line, fields, (str(place),))


def _processes(lines: Sequence[LogLine]) -> Iterator[list[_Thread]]:
    """Yield the threads of each process, in the order of the text."""
    threads: list[_Thread] = []
    bare = _Thread()
    for line in lines:
        head, frame = THREAD.match(line.text), SPY.match(line.text) or FAULT.match(line.text)
        if PROCESS.match(line.text) or (
            head and head["name"] == "MainThread" and any(t.main for t in threads)
        ):
            yield threads
            threads = []
        if head:
            threads.append(_Thread(head["state"], head["name"] == "MainThread"))
        elif PRINTED.match(line.text):
            threads.append(_Thread(printed=True))
        elif threads and threads[-1].printed and (called := CALLED.match(line.text)):
            told = Frame(called["file"], int(called["line"]), called["name"])
            threads[-1].frames.append((line, told))
        elif frame:
            told = Frame(frame["file"], int(frame["line"]), frame["name"])
            (threads[-1] if threads and SPY.match(line.text) else bare).frames.append((line, told))
        elif len(bare.frames) < LEAST:
            bare = _Thread()
    yield threads
    if len(bare.frames) >= LEAST:
        yield [bare]


def _telling(threads: Sequence[_Thread]) -> _Thread | None:
    """Return the thread at work, else the main one, else any that does not merely wait."""
    told = [thread for thread in threads if thread.place]
    busy = [thread for thread in told if thread.state.startswith("active") and not thread.main]
    main = [thread for thread in told if thread.main]
    return next(iter([*busy[:1], *main, *told]), None)
