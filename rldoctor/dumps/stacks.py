"""Stacks as faulthandler and py-spy write them: where each process stands, by its main thread."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any, Final

from msgspec import Struct

from rldoctor.dumps.nouns import line, ranks
from rldoctor.types import Event, Identity

FAULT_THREAD: Final = re.compile(
    r"(?P<current>Current thread|Thread) 0x[0-9a-f]{1,20}.{0,80}\(most recent call"
)
FAULT_FRAME: Final = re.compile(
    r'\s{0,8}File "(?P<file>[^"]{1,400})", line (?P<line>\d{1,7}|\?\?\?) in (?P<name>.{1,200})'
)
SPY_PROCESS: Final = re.compile(r"Process (?P<pid>\d{1,10}): ")
SPY_THREAD: Final = re.compile(
    r'Thread (?:\d+|0x[0-9a-fA-F]+) \((?P<state>[\w+ ]{1,30})\)(?:: "(?P<name>[^"]{0,100})")?'
)
SPY_FRAME: Final = re.compile(
    r"\s{1,8}(?P<name>[\w.<>$:~ ,*&()\[\]-]{1,200}?) \((?P<file>[^()]{1,400}?)(?::(?P<line>\d{1,7}))?\)\s*$"
)
WHO: Final = re.compile(r"(?:rank|worker|pid)[_.-]?(\d{1,10})", re.IGNORECASE)
IDLE: Final = ("threading.py", "selectors.py", "concurrent/futures", "queue.py", "multiprocessing/")
MOST_LINES: Final = 400_000
DEEPEST: Final = 200


class Stack(Struct):
    """One thread: frames innermost first."""

    main: bool
    state: str = ""
    pid: int | None = None
    frames: list[str] = []


def parse(lines: Iterable[str]) -> list[Stack]:
    """Return the threads of a dump; of several dumps in one file the last one of each process."""
    found: list[Stack] = []
    pid: int | None = None
    for number, text in enumerate(lines):
        if number > MOST_LINES:
            break
        process = SPY_PROCESS.match(text)
        fault, spy = FAULT_THREAD.match(text), SPY_THREAD.match(text)
        if process:
            pid = int(process["pid"])
        elif fault:
            found.append(Stack(fault["current"] == "Current thread", pid=pid, frames=[]))
        elif spy:
            found.append(Stack(spy["name"] == "MainThread", spy["state"], pid, []))
        elif found and len(found[-1].frames) < DEEPEST:
            _add(found[-1], text)
    return [stack for stack in found if stack.frames]


def _add(stack: Stack, text: str) -> None:
    frame = FAULT_FRAME.match(text) or SPY_FRAME.match(text)
    if frame is not None:
        stack.frames.append(f"{frame['name'].strip()} ({frame['file']}:{frame['line'] or 0})")


def main_stack(stacks: Sequence[Stack]) -> Stack | None:
    """Return the main thread: named so, else the last one that starts a module, else the deepest."""
    named = [stack for stack in stacks if stack.main]
    modules = [stack for stack in stacks if "<module>" in stack.frames[-1]]
    return next(iter([*named[-1:], *modules[-1:], *sorted(stacks, key=lambda s: -len(s.frames))]), None)


def event(dumps: Sequence[tuple[str, Sequence[Stack]]]) -> Event | None:
    """Return a hang with where each process stands; a place that few stand at comes first."""
    where: list[tuple[str, Identity, Stack]] = []
    for file, stacks in dumps:
        main = main_stack(stacks)
        if main is not None:
            where.append((file, _who(file, main), main))
    if not where:
        return None
    places = Counter(_place(stack) for _, _, stack in where)
    where.sort(key=lambda one: (places[_place(one[2])], one[1].rank or 0))
    lines = []
    for place in dict.fromkeys(_place(stack) for _, _, stack in where):
        at = [(file, who, stack) for file, who, stack in where if _place(stack) == place]
        lines.append(
            line(at[0][0], f"{_names([who for _, who, _ in at])} at {_path(at[0][2])}", at[0][1].rank)
        )
    told = sorted({who.rank for _, who, _ in where if who.rank is not None})
    frames = list(reversed(where[0][2].frames[:24]))
    fields: dict[str, Any] = {"last_event": "stacks", "frames": frames, "frame": _place(where[0][2])}
    fields |= {"ranks": told} if told else {}
    return Event("hang", fields, where[0][1], None, None, tuple(lines[:12]), tuple(w for _, w, _ in where))


def _who(file: str, stack: Stack) -> Identity:
    name = PurePath(file).name
    found = WHO.search(name)
    if found is not None and not found[0].lower().startswith("pid"):
        return Identity(rank=int(found[1]), pid=stack.pid)
    return Identity(pid=int(found[1]) if found is not None else stack.pid)


def _names(whose: Sequence[Identity]) -> str:
    numbers = sorted({who.rank for who in whose if who.rank is not None})
    if numbers:
        return ranks(numbers)
    pids = [str(who.pid) for who in whose if who.pid is not None]
    return f"process {', '.join(pids[:4])}" if pids else f"{len(whose)} process{'es' * (len(whose) > 1)}"


def _place(stack: Stack) -> str:
    """Return the innermost frame that is not mere waiting in Python's own library."""
    told = (frame for frame in stack.frames if not any(word in frame for word in IDLE))
    return next(told, stack.frames[0])


def _path(stack: Stack) -> str:
    """Return where a thread stands and the user's frame that led there."""
    place = _place(stack)
    own = next(
        (f for f in stack.frames if "site-packages" not in f and "/lib/python" not in f and f != place), None
    )
    return f"{place} < {own}" if own else place
