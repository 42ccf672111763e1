"""Python tracebacks put together again: prefixed, interleaved, chained, wrapped by Ray, on one line."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor.logs.anatomy import NOBODY, merge
from rldoctor.logs.boxes import PLAIN_HEAD, unboxed
from rldoctor.logs.enclosed import unfolded
from rldoctor.logs.failures import Failure, Frame, Link
from rldoctor.types import Identity, LogLine

HEAD: Final = PLAIN_HEAD
FRAME: Final = re.compile(
    r'File "(?P<file>[^"]{1,400})", line (?P<line>\d{1,7})(?:, in (?P<function><?[\w.]{1,200}>?))?'
)
NAME: Final = r"(?P<name>(?:[A-Za-z_]\w{0,80}\.){0,12}[A-Za-z_]\w{0,120})(?:\((?P<inner>[\w.]{1,200})\))?"
IN_CONTEXT: Final = re.compile(NAME + r"(?::\s?(?P<message>.*))?$", re.DOTALL)
STRICT: Final = re.compile(
    r"(?P<name>(?:[A-Za-z_]\w{0,80}\.){0,12}[A-Z]\w{0,120}(?:Error|Exception|Interrupt|SystemExit))"
    r"(?:\((?P<inner>[\w.]{1,200})\))?(?::\s?(?P<message>.*))?$",
    re.DOTALL,
)
ON_ONE_LINE: Final = re.compile(
    r"(?:^|\s)(?P<name>(?:[A-Za-z_]\w{0,80}\.){0,12}[A-Z]\w{0,120}(?:Error|Exception|Interrupt))"
    r"(?:\((?P<inner>[\w.]{1,200})\))?: (?P<message>.*)",
    re.DOTALL,
)
REMOTE: Final = re.compile(
    r"ray::(?P<call>[\w.<>:]{1,200})\(\) \(pid=(?P<pid>\d{1,10})(?:, ip=(?P<ip>[\w.:\[\]-]{1,80}))?"
)
CHAINS: Final = (
    "During handling of the above exception, another exception occurred",
    "The above exception was the direct cause of the following exception",
)
OF_ANOTHER: Final = re.compile(
    r"^-- Process \d{1,6} terminated with the following error|^(?:Base)?ExceptionGroup: |^\+-\+-"
)  # behind such a line of a message stands the traceback that it is about
OF_CALL: Final = "Traceback of where the remote call failed"  # as Monarch's actors tell it
IGNORED: Final = ("Exception ignored in", "--- Logging error ---", "Exception ignored while")
LAUNCHERS: Final = (
    "srun: ",
    "slurmstepd: ",
    "wandb: ",
    "failed (exitcode: ",
    "Set the environment variable HYDRA_FULL_ERROR",
)  # who reports that a process ended
PASSED_OVER: Final = re.compile(
    r"(?i)\b(?:fail|could not|couldn't|unable|error).{0,160}"
    r"\b(?:going on|continuing|skipping|ignoring|falling back)\b"
)  # what a program says before the traceback of something that it does without
LEVEL: Final = re.compile(r"\b(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
PROGRAM: Final = re.compile(
    r"[a-z_]+"
)  # whose own line stands between: an exception has a capital or a module
MOST_FRAMES: Final = 400  # of a deeper stack its ends are kept
LONGEST_CODE: Final = 200
LISTED: Final = re.compile(r"\d{1,6}(?:\s+\S|$)")  # a notebook's lines around the one that failed
MARKS: Final = re.compile(
    r"[\^~ ]+|\.\.\.<\d{1,5} lines?>\.\.\."
)  # below a line of code, or in place of some
LONGEST_MESSAGE: Final = 4000
MESSAGE_LINES: Final = 12
BARE_LINES: Final = 2
CUT: Final = "Traceback without its exception"
TORN: Final = (
    3  # lines behind its last frame with which a log may end inside of a traceback: code, marks, a torn frame
)
PATIENCE: Final = 120  # lines of its stream after which a traceback without an end is given up


class _Open(Struct):
    """A traceback that is being read."""

    start: LogLine
    frames: list[Frame] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    remote: Identity = NOBODY
    call: str | None = None
    causes: list[_Open] = field(default_factory=list)
    chained: bool = False
    ignored: bool = False
    in_message: bool = False
    nested: bool = False
    column: int = 1
    used: int = 0
    last: int = 0  # number of the line with the last frame
    stamped: bool = False  # each line has a time, which a collector has put before it


def assemble(lines: Iterable[LogLine], end: int = 0) -> list[Failure]:
    """Return the exceptions that lines (in order, of one log) tell, each with its chain, innermost first.

    A traceback whose frames reach the log's last line, of number ``end``, counts although it is cut off.
    """
    streams: dict[Identity, _Stream] = {}
    done: list[Failure] = []
    told: list[tuple[int, float]] = []
    for line in (part for whole in lines for part in unfolded(whole)):
        if line.time is not None:
            told.append((line.number, line.time))
        stream = streams.setdefault(line.who, _Stream())
        done.extend(stream.feed(line))
    for stream in streams.values():
        done.extend(stream.close(end))
    dated = (_dated(failure, told) for failure in done)
    return sorted(dated, key=lambda failure: failure.line.number)


def _dated(failure: Failure, told: Sequence[tuple[int, float]]) -> Failure:
    """Return a failure that no line of its own dates with the last time that was told before it."""
    if failure.time is not None:
        return failure
    at = bisect_left(told, (failure.line.number, 0.0))
    return replace(failure, about=told[at - 1][1]) if at else failure


class _Stream:
    """The lines of one process: at most one traceback is open at a time."""

    def __init__(self) -> None:
        self.open: _Open | None = None
        self.before = ""

    def feed(self, line: LogLine) -> Iterator[Failure]:
        """Take the next line of the process; yield what it completes."""
        text = unboxed(line.text)
        stripped = text.strip()
        if HEAD in text:
            if self.open is not None and self.open.links and self._is_inner_head(stripped):
                self.open.nested = True
            else:
                yield from self._start(line)
            self._one_line(line, text[text.index(HEAD) + len(HEAD) :])
        elif stripped.startswith(OF_CALL):
            if self.open is not None and self.open.links:
                self.open.nested = True
        elif not stripped:
            if self.open is not None and (not self.open.links or self.open.links[-1].message.strip()):
                self.open.in_message = False
        elif stripped.startswith(CHAINS):
            if self.open is not None and self.open.links:
                self.open.chained = True
        else:
            yield from self._content(line, text, stripped)
        if stripped:
            self.before = stripped

    def _is_inner_head(self, text: str) -> bool:
        """Say whether a traceback is told inside of a message: of a data worker, of a process."""
        if text.startswith("Original Traceback") or HEAD + " (RANK" in text:
            return True
        announced = self.before.endswith(":") and STRICT.match(self.before) is not None
        return announced or bool(OF_ANOTHER.search(self.before)) or self.before == '"""'

    def close(self, end: int = 0) -> Iterator[Failure]:
        """Yield the traceback that is open, if it came to an exception or is cut off at the log's end."""
        opened, self.open = self.open, None
        if opened is not None and opened.last >= end - TORN > 0 and HEAD in unboxed(opened.start.text):
            _cut_off(opened)
        if opened is not None and (opened.links or any(cause.links for cause in opened.causes)):
            yield _failure(opened)

    def _start(self, line: LogLine) -> Iterator[Failure]:
        new = _Open(line, ignored=self.before.startswith(IGNORED) or bool(PASSED_OVER.search(self.before)))
        if self.open is not None and self.open.chained:
            new.causes = [*self.open.causes, self.open]
            new.ignored = self.open.ignored
        else:
            yield from self.close()
        self.open = new

    def _content(self, line: LogLine, text: str, stripped: str) -> Iterator[Failure]:
        if FRAME.match(stripped):
            if self.open is None or (self.open.links and not _leads(self.open)):
                yield from self._start(line)
            self._one_line(line, stripped)
            assert self.open is not None
            self.open.last = line.number
            self.open.stamped = line.time is not None
            self._set_column(len(text) - len(text.lstrip()))
        elif self.open is None or (self.open.links and not self.open.frames):
            yield from self._loose(line, stripped)
        elif _is_error(self.open, stripped, len(text) - len(text.lstrip())):
            _add_link(self.open, line, stripped)
        else:
            _add_code(self.open, stripped, inside=len(text) - len(text.lstrip()) > self.open.column)
            self.open.used += 1
            if self.open.used > PATIENCE:
                yield from self.close()

    def _loose(self, line: LogLine, stripped: str) -> Iterator[Failure]:
        """Read a line where no frame waits for its exception: one told on its own, or more of a message."""
        found = STRICT.match(stripped)
        if found is not None and (found["message"] or found["inner"]):
            if self.open is None or not (_announces(self.open) and self.open.in_message):
                yield from self._start(line)
            assert self.open is not None
            _add_link(self.open, line, stripped)
        elif self.open is not None and not OF_ANOTHER.search(stripped):
            self.open.used += 1
            longest = MESSAGE_LINES if self.open.links[-1].frames else BARE_LINES
            if self.open.in_message and self.open.used <= longest and not _is_next(self.open, line):
                _lengthen(self.open, stripped)
            elif self.open.used > PATIENCE or not self.open.chained:
                yield from self.close()

    def _set_column(self, column: int) -> None:
        if self.open is not None:
            self.open.column = column

    def _one_line(self, line: LogLine, text: str) -> None:
        """Read the frames on a line, and the exception behind them where a paste has put all on one line."""
        assert self.open is not None
        frames, end = _frames(text)
        self.open.frames.extend(frames)
        if len(self.open.frames) > MOST_FRAMES:
            del self.open.frames[MOST_FRAMES // 4 : -MOST_FRAMES // 4]
        self.open.in_message = False
        error = ON_ONE_LINE.search(text[end:]) if frames else None
        if error is not None:
            _add_link(self.open, line, error[0].strip())
            self.open.in_message = False


def _is_nested(opened: _Open) -> bool:
    """Say whether the last exception wraps a remote one, whose frames follow."""
    last = opened.links[-1]
    return opened.nested or "ray::" in last.message or last.name.endswith("RayTaskError")


def _leads(opened: _Open) -> bool:
    """Say whether the frames behind the last exception are those of another one, which it wraps."""
    return _is_nested(opened) or opened.links[-1].message.rstrip().endswith(":")


def _announces(opened: _Open) -> bool:
    """Say whether the message of the last exception is another one, told on the next line."""
    message = opened.links[-1].message.strip()
    return _is_nested(opened) or not message or message.endswith(":")


def _is_error(opened: _Open, stripped: str, column: int) -> bool:
    if STRICT.match(stripped) is not None:
        return column <= opened.column or bool(opened.frames and opened.frames[-1].code)
    if column >= opened.column or not opened.frames or "%|" in stripped:
        return False
    found = IN_CONTEXT.match(stripped)
    if found is None or LEVEL.fullmatch(found["name"]) is not None or PROGRAM.fullmatch(found["name"]):
        return False
    return not (found["message"] or "").startswith("//")


def _is_next(opened: _Open, line: LogLine) -> bool:
    """Say whether a line is the next message of a log, not more of an exception's."""
    if line.text.lstrip().startswith((*IGNORED, *LAUNCHERS)) or " is deprecated" in line.text:
        return True
    times = (None, opened.links[-1].line.time)
    return (line.time not in times and not opened.stamped) or LEVEL.search(line.text[:80]) is not None


def _add_code(opened: _Open, text: str, inside: bool) -> None:
    """Take a line of code for the innermost frame, and the next ones of a call that it leaves open."""
    if not opened.frames or LISTED.match(text) or MARKS.fullmatch(text):
        return
    code = opened.frames[-1].code
    if not code:
        opened.frames[-1] = replace(opened.frames[-1], code=text[:LONGEST_CODE])
    elif inside and code.count("(") > code.count(")"):
        joint = "" if code.endswith("(") or text.startswith(")") else " "
        opened.frames[-1] = replace(opened.frames[-1], code=f"{code}{joint}{text}"[:LONGEST_CODE])


def _add_link(opened: _Open, line: LogLine, text: str) -> None:
    found = STRICT.match(text) or IN_CONTEXT.match(text)
    assert found is not None
    message = (found["message"] or "")[:LONGEST_MESSAGE]
    opened.links.append(Link(found["name"], message, line, tuple(opened.frames), found["inner"]))
    opened.frames, opened.in_message, opened.used = [], True, 0
    remote = REMOTE.search(message)
    if remote is not None:
        opened.call = remote["call"]
        actor = remote["call"].partition(".")[0]
        opened.remote = merge(Identity(remote["ip"], None, int(remote["pid"]), actor), opened.remote)


def _cut_off(opened: _Open) -> None:
    """Give a traceback that the log's end cuts off the innermost frame for its exception."""
    if opened.frames:
        message = f"the log ends inside of it, at {opened.frames[-1]}"
        opened.links.append(Link(CUT, message, opened.start, tuple(opened.frames)))
        opened.frames = []


def _lengthen(opened: _Open, text: str) -> None:
    last = opened.links[-1]
    if len(last.message) < LONGEST_MESSAGE:
        message = f"{last.message}\n{text}"[:LONGEST_MESSAGE]
        opened.links[-1] = replace(last, message=message)


def _frames(text: str) -> tuple[list[Frame], int]:
    """Return the frames on a line and where the last one ends."""
    found = list(FRAME.finditer(text))
    frames = [Frame(part["file"], int(part["line"]), part["function"] or "") for part in found]
    return frames, found[-1].end() if found else 0


def _failure(opened: _Open) -> Failure:
    """Return the chain innermost first: of "During handling …" the first told, of Ray's wrappers the last."""
    chain = [link for part in [*opened.causes, opened] for link in reversed(part.links)]
    innermost = next((part for part in [*opened.causes, opened] if part.links), opened)
    who = merge(innermost.remote, chain[0].line.who)
    start = next(part.start for part in [*opened.causes, opened])
    return Failure(tuple(chain), who, start, innermost.call, ignored=opened.ignored)
