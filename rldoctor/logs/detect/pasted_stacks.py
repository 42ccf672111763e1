"""Stacks pasted of processes that stand still: py-spy's and faulthandler's, without what begins them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.failures import Frame
from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

PROCESS: Final = r"Process \d{1,10}: "
THREAD: Final = r'Thread (?:\d+|0x[0-9a-fA-F]+) \((?P<state>[\w+ ]{1,30})\)(?:: "(?P<name>[^"]{0,100})")?'
SPY: Final = (
    r"\s{1,16}(?P<name>[A-Za-z_<][\w.<>]{0,200}) \((?P<file>[^()\s]{1,400}\.py):(?P<line>\d{1,7})\)\s*$"
)
FAULT: Final = r'\s*File "(?P<file>[^"]{1,400})", line (?P<line>\d{1,7}) in (?P<name>[\w<>.]{1,200})\s*$'
PRINTED: Final = r"[-#\s]{0,8}(?i:thread ?id): ?\d{1,20}\b[\s-]{0,8}$"  # a signal's handler printed it
CALLED: Final = r'\s*File "(?P<file>[^"]{1,400})", line (?P<line>\d{1,7}), in (?P<name>[\w<>.]{1,200})\s*$'
GDB_THREAD: Final = r"\s*Thread \d{1,6} \((?:Thread|LWP) ?[\w ()]{0,60}\)"
GDB: Final = (
    r"\s*#\d{1,4} +(?:0x[0-9a-f]{4,20} in )?(?P<name>[A-Za-z_~][^ (]{0,300}) ?\(.{0,3000}?"
    r"(?:\) ?(?:from|at) (?P<file>[^\s:]{1,400})(?::(?P<line>\d{1,7}))?)?\s*$"
)
GDB_IDLE: Final = (
    r"(?:poll|ppoll|select|epoll_wait|accept4?|read|recv|nanosleep|start_thread|clone3?|_?_?libc_start\w*|_start"
    r"|pthread_cond_(?:timed)?wait\S*|event_base_loop|futex_\S+|_?_?lll_lock_wait|do_futex_wait\S*|sem_wait\S*)$"
)
OTHERS: Final = re.compile(
    r"Fatal Python error|Timeout \(\d|received signal SIG|SIG(?:SEGV|ABRT|BUS|FPE)"
    r"|\bin (?:raise|abort|gsignal) \("
)  # stacks that other detectors read, and those of crashes
IDLE: Final = (
    "threading.py",
    "selectors.py",
    "concurrent/futures",
    "queue.py",
    "tqdm/_monitor",
    "gc_collect",
    "zmq/",
    "redis/",
    "ray/profiling",
)
SHOWN: Final = 3  # frames that are shown of a stack, the innermost first
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
    def is_main(self) -> bool:
        """Return whether it is called so, or runs the script itself."""
        return self.main or (bool(self.frames) and self.inward[-1][1].function == "<module>")

    @property
    def place(self) -> tuple[LogLine, Frame] | None:
        """Return the innermost frame that is not mere waiting in a library."""
        told = (one for one in self.inward if not _waits(one[1]))
        return next(told, None)


def _waits(frame: Frame) -> bool:
    return any(word in frame.file for word in IDLE) or (
        not frame.line and re.match(GDB_IDLE, frame.function) is not None
    )


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
            "frame": str(place) if place.line else f"{place.function} ({place.file})",
            "phase": seen.phase(line, outward),
        }
        one = sighting("hang", line, fields, (str(place),))
        yield replace(one, event=replace(one.event, lines=_shown(thread, line)))


def _shown(thread: _Thread, line: LogLine) -> tuple[LogLine, ...]:
    """Return the line where a thread stands and those of the calls that led there."""
    lines = [told for told, _ in thread.inward]
    return tuple(lines[lines.index(line) :][:SHOWN])


def _processes(lines: Sequence[LogLine]) -> Iterator[list[_Thread]]:
    """Yield the threads of each process, in the order of the text."""
    threads: list[_Thread] = []
    bare = _Thread()
    for line in lines:
        opened = _opened(line.text)
        if re.match(PROCESS, line.text) or (
            opened and opened.main and any(thread.main for thread in threads)
        ):
            yield threads
            threads = []
        if opened:
            threads.append(opened)
            continue
        told = _frame(line.text, threads, bare)
        if told:
            told[1].frames.append((line, told[0]))
        elif len(bare.frames) < LEAST:
            bare = _Thread()
    yield threads
    if len(bare.frames) >= LEAST:
        yield [bare]


def _opened(text: str) -> _Thread | None:
    """Return the thread whose stack begins behind a line."""
    head = re.match(THREAD, text)
    if head:
        return _Thread(head["state"], head["name"] == "MainThread")
    if re.match(PRINTED, text):
        return _Thread(printed=True)
    return _Thread() if re.match(GDB_THREAD, text) else None


def _frame(text: str, threads: Sequence[_Thread], bare: _Thread) -> tuple[Frame, _Thread] | None:
    """Return the frame that a line shows, and the thread to which it belongs."""
    last = threads[-1] if threads else None
    called = re.match(CALLED, text) if last is not None and last.printed else None
    spy = re.match(SPY, text)
    found = called or spy or re.match(FAULT, text)
    if found:
        return Frame(found["file"], int(found["line"]), found["name"]), (
            last if last is not None and (called or spy) else bare
        )
    native = re.match(GDB, text) if last is not None else None
    if native is None or last is None:
        return None
    return Frame(native["file"] or "", int(native["line"] or 0), native["name"]), last


def _telling(threads: Sequence[_Thread]) -> _Thread | None:
    """Return the thread at work, else the main one, else any that does not merely wait."""
    told = [thread for thread in threads if thread.place]
    active = [thread.state.startswith("active") for thread in threads]
    busy = [thread for thread in told if thread.state.startswith("active") and not thread.is_main]
    busy = busy if not all(active) else []  # an old release of py-spy calls all of them so
    main = [thread for thread in told if thread.is_main]
    return next(iter([*busy[:1], *main, *told]), None)
