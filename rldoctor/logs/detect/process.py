"""Processes and Ray workers that ended: who, by which signal or exit code, as far as a launcher tells."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace

from rldoctor.logs.detect.absent import last_lines, logged_ranks
from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.detect.stalled import main_thread
from rldoctor.logs.failures import Failure
from rldoctor.logs.seen import Seen
from rldoctor.types import Identity, LogLine

TABLE: Final = "Root Cause (first observed failure):"
ELASTIC: Final = "/failed \\(exitcode: -?\\d+\\) local_rank: \\d+/"
FATAL: Final = "Fatal Python error: "
STACK_LINES: Final = 200
STACK_SHOWN: Final = 3  # innermost frames of the thread that ran the program
CRASHED: Final = (
    FATAL,
    "/Segmentation fault(?: \\(core dumped\\))?/",
    "terminate called after throwing an instance of",
    "/(?:srun|slurmstepd): error: .{0,120}(?:Killed|Segmentation|Aborted|Exited with exit code)/",
    "/process \\d+ terminated with signal SIG\\w+/",
    "/^(?:Killed|Aborted|Bus error|Illegal instruction|Floating point exception)"
    "(?: *\\(core dumped\\)| {2,}[^( ]| *$)/",
    "/: line \\d{1,6}: +\\d{1,9} (?:Killed|Aborted|Bus error|Illegal instruction|Floating point exception)"
    "(?: *\\(core dumped\\)| *[^( ]| *$)/",
    "/\\*\\*\\* SIG(?:SEGV|BUS|ILL) received at time=/",
    "/\\d(?:it\\/s|s\\/it).{0,99}\\](?:Killed|Aborted|Bus error|Segmentation fault)\\b.{0,16}$/",
    "/received signal SIG(?:ILL|SEGV|FPE|BUS|ABRT), /",
    "/(?:died|exited) unexpectedly/",
    "Received sigquit from a child process",
    "/(?:mpi\\w+|prterun|orterun) noticed that process .{0,120}exited on signal \\d+/",
    "/exits with return code = -\\d+/",
    "/(?:got signal: \\d+|Received (?:Signals\\.)?\\w+ death signal)/",
)
RAY: Final = (
    "/(?:Actor|Worker)DiedError|WorkerCrashedError/",
    "/The actor died (?:unexpectedly|because of an error)/",
    "/A worker died or was killed while executing a task by an unexpected system error/",
    "The actor is dead because its worker process has died",
    "EngineDeadError",
)
CODE_IS: Final = (
    r"(?i:\b(?:exit|return)[ _]?(?:code|status)(?: (?:is|was|of))?|\bexited(?: with)?)[\]:=(< ]{1,4}"
)
BY_CODE: Final = (
    rf"/{CODE_IS}(?:-(?:[4-9]|1[15])|13[2-9]|143)\b/",
    r"/(?:terminated|killed|interrupted|died) (?:by|with) "
    r"(?:<Signals\.|signal )?(?:SIG[A-Z]|[4-9]\b|1[15]\b)/",
)  # what a shell, a container's runtime or a wrapper says of a signal
ENDED: Final = (
    r"/(?i)\b(?:job|script|container|training|task|process|\w+\.(?:py|sh))\b.{0,60}\b(?:completed|exited|failed"
    r"|finished|ended|terminated) with (?:a )?(?:non-?zero )?(?:exit )?(?:code|status):? {0,2}"
    r"(?:\(exit code )?[1-9]/",
    r"/[Mm]ain process exited, code=\w+, status=[1-9]/",
)  # a failure's code, which says something only as a log's last words
LAST: Final = 12  # lines that may follow those
RETRIED: Final = "/Will resubmit task after|on actor, state: RESTARTING,/"
DEATHS: Final = (TABLE, ELASTIC, *CRASHED, *BY_CODE, *ENDED, *RAY)
PATTERNS: Final = (*DEATHS, RETRIED)

ELASTIC_LINE: Final = (
    r"failed \(exitcode: (?P<code>-?\d{1,5})\) local_rank: (?P<rank>\d{1,5}) \(pid: (?P<pid>\d{1,10})\)"
)
ROW: Final = r"\s*(?P<key>time|host|rank|exitcode|error_file|traceback)\s*: (?P<value>.*)"
BY_LAUNCHER: Final = r"\s*exitcode\s*:|.{0,200}\blocal_rank: \d"  # torchrun's own table tells more
RANK: Final = r"(\d{1,6})(?: \(local_rank: (\d{1,5})\))?"
CODE: Final = r"(-?\d{1,5}) +\(pid: (\d{1,10})\)"
SIGNAL: Final = (
    r"\b(SIG(?:KILL|TERM|SEGV|ABRT|BUS|INT|QUIT|HUP|ILL|FPE|PIPE|USR[12]))\b"
    r"|\b(?:[Ss]ignal:?|Received) (\d{1,2})\b"
    r"|(?i:(sigquit|sigterm|sigkill))(?!_handler)"
    rf"|{CODE_IS}(-\d{{1,2}}|1[34]\d)\b"
)
LEFT: Final = rf"{CODE_IS}(\d{{1,3}})\b"
LOST: Final = (
    r"(?i)connection (?:was )?(?:closed|reset) by (?:remote )?peer|remote process exited|broken pipe"
    r"|ncclRemoteError"
)
WAITED: Final = r"Timed out waiting \d{1,12}ms"
EXIT_TYPE: Final = r"Worker exit type: (?P<type>\w+)(?: Worker exit detail: (?P<detail>.{0,300}))?"
HELPER: Final = (
    r": line \d+: +\d+ Killed .*\b(?:vllm serve|api_server|launch_server|http\.server|ray start|tensorboard"
    r"|nvidia-smi|sleep|tail|watch|top)\b|Subprocess \w{1,40} \(pid=\d{1,10}\) crashed with exit code -15\b"
)  # what a script itself ends when it needs it no more, and what a server's end takes with it
EXIT_CODE: Final = r"with an? exit code (-?\d{1,5})\b"
RAYS_OWN: Final = (  # what Ray keeps a record of, at the end of good runs too
    r"\[[\d-]+ [\d:,]+ [DI] \d+ \d+\] |\s*(?:serialized_exception|formatted_exception_string): "
)
RAYLETS_EVENTS: Final = r"(?:^|/)event_RAYLET\.log$"  # what a raylet keeps of each death
CLASS_NAME: Final = r"class_name: (\w+)"
PID: Final = r"\bpid: ?(\d{1,10})"
LEAST_SIGNAL: Final = 128  # shells add a signal's number to it
WORDS: Final = {
    "Killed": "SIGKILL",
    "Segmentation": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL",
    "Floating point exception": "SIGFPE",
    "terminate called": "SIGABRT",
}


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield each sighting of a process or worker that is gone."""
    deaths = [one for line in seen.lines(ELASTIC) for one in _elastic(seen, line)]
    killed = any("signal" in one.event.fields for one in deaths)
    deaths += [one for line in seen.lines(TABLE) for one in _table(seen, line, killed)]
    yield from deaths or _silent(seen)
    workers = {(line.file, line.number) for line in seen.lines(*RAY)}
    ended = [line for line in seen.lines(*ENDED) if _is_last(seen, line)]
    coded = [line for line in seen.lines(*BY_CODE) if not re.match(BY_LAUNCHER, line.text)]
    own = [line for line in ended if line not in coded]  # those after it were stopped for it
    coded = [line for line in coded if not any(_precedes(first, line) for first in own)]
    ended = [line for line in ended if line in own or line in coded]
    for line in dict.fromkeys((*seen.lines(*CRASHED), *coded, *ended)):
        spared = "[shutdown]" in line.text or re.search(HELPER, line.text)
        if (line.file, line.number) not in workers and not spared:
            yield _crashed(seen, line)
    told = [line for line in seen.lines(*RAY) if not re.match(RAYS_OWN, seen.text.whole(line))]
    kept = [line for line in told if re.search(RAYLETS_EVENTS, line.file)]
    retried = kept if len(kept) <= sum(1 for _ in seen.lines(RETRIED)) else []
    yield from (_worker(seen, line) for line in told if line not in retried)


def _precedes(first: LogLine, line: LogLine) -> bool:
    """Say whether a process failed by itself before another one was stopped in the same log."""
    return first.file == line.file and first.number < line.number


def _table(seen: Seen, line: LogLine, killed: bool) -> Iterator[Sighting]:
    """Read the first failure of torchrun's table; where one was killed a mere code tells nothing."""
    rows: dict[str, tuple[str, LogLine]] = {}
    for other in seen.after(line, 10):
        found = re.match(ROW, other.text)
        if found is not None:
            rows.setdefault(found["key"], (found["value"].strip(), other))
        elif "=====" in other.text:
            break
    code = re.match(CODE, rows["exitcode"][0]) if "exitcode" in rows else None
    found = re.match(RANK, rows["rank"][0]) if "rank" in rows else None
    rank = int(found[1]) if found else None
    silent = rank is not None and not killed and _is_silent(seen, rank)
    if code is None or (_is_told(seen, line, int(code[1])) and not silent):
        return
    who = Identity(rows["host"][0] if "host" in rows else None, rank, int(code[2]))
    fields = {**_ending(int(code[1])), "phase": seen.phase(line)}
    if silent and 0 < int(code[1]) < LEAST_SIGNAL:
        fields |= {"silent": True, "rank": rank}
    yield sighting("process_death", rows["exitcode"][1], fields, (who.pid,), who)


def _is_silent(seen: Seen, rank: int) -> bool:
    """Say whether all that failed are other ranks, as far as each failure tells its own."""
    failed = {
        one.who.rank for one in seen.failures if not (one.ignored or one.recovered or _is_of_launcher(one))
    }
    others = [one for one in seen.failures if one.who.rank in failed]
    reports = all(re.search(LOST, one.message) or re.search(WAITED, one.message) for one in others)
    return bool(failed) and None not in failed and rank not in failed and reports


def _silent(seen: Seen) -> Iterator[Sighting]:
    """Yield a sighting for each rank whose own log ends without a word while the others lost a peer."""
    failed = [one for one in seen.failures if not (one.ignored or one.recovered or _is_of_launcher(one))]
    ranks = {one.who.rank for one in failed}
    quiet = sorted(logged_ranks(seen) - ranks)
    if not quiet or len(quiet) > len(ranks) or not all(re.search(LOST, one.message) for one in failed):
        return
    for line in last_lines(seen, quiet):
        rank = seen.ranks_of_logs[line.file]
        fields = {"silent": True, "rank": rank, "reason": line.text.strip()[:300], "step": seen.step(line)}
        yield sighting("process_death", line, fields, (rank,), Identity(rank=rank))


def _is_of_launcher(failure: Failure) -> bool:
    return failure.exception.endswith("ChildFailedError")


def _elastic(seen: Seen, line: LogLine) -> Iterator[Sighting]:
    found = re.search(ELASTIC_LINE, line.text)
    if found is not None and not _is_told(seen, line, int(found["code"])):
        fields = {**_ending(int(found["code"])), "phase": seen.phase(line)}
        who = Identity(pid=int(found["pid"]))
        yield sighting("process_death", line, fields, (who.pid,), who)


def _is_last(seen: Seen, line: LogLine) -> bool:
    """Say whether next to nothing follows a line in its log."""
    return seen.text.scan.lines[seen.text.index[line.file]] - line.number <= LAST


def _is_told(seen: Seen, line: LogLine, code: int) -> bool:
    """Say whether an exit code only says that an exception, which the log tells, ended the process."""
    if not 0 < code < LEAST_SIGNAL:
        return False
    return any(
        not (failure.recovered or failure.ignored) and not _is_of_launcher(failure)
        for failure in seen.failures
    )


def _ending(code: int) -> dict[str, Any]:
    name = _signal_name(-code) if code < 0 else _signal_name(code - 128) if code > 128 else None
    return {"exit_code": code, "signal": name}


def _signal_name(number: int) -> str | None:
    try:
        return signal.Signals(number).name
    except ValueError:
        return None


def _crashed(seen: Seen, line: LogLine) -> Sighting:
    found = re.search(SIGNAL, line.text)
    name = None
    if found is not None:
        name = _of_number(found[2] or found[4]) or (found[1] or found[3] or "").upper() or None
    name = name or next((signal for word, signal in WORDS.items() if word in line.text), None)
    code = re.search(LEFT, line.text) if name is None else None
    stack = main_thread(seen.after(line, STACK_LINES), line) if FATAL in line.text else []
    fields = {
        "signal": name,
        "exit_code": int(code[1]) if code and int(code[1]) < LEAST_SIGNAL else None,
        "reason": line.text.strip()[:300],
        "phase": seen.phase(line, [frame for _, frame in reversed(stack)]),
        "step": seen.step(line),
    }
    one = sighting("process_death", line, fields, (name, line.who.pid))
    shown = (line, *(told for told, _ in stack[:STACK_SHOWN]))
    return replace(one, event=replace(one.event, lines=shown))


def _of_number(text: str | None) -> str | None:
    """Return the signal of a number as printed: its own, one below zero, or a shell's above 128."""
    number = abs(int(text or 0))
    return _signal_name(number - LEAST_SIGNAL if number > LEAST_SIGNAL else number) if number else None


def _worker(seen: Seen, line: LogLine) -> Sighting:
    """Read what Ray says about an actor that died, on this line and those that follow."""
    text = "\n".join([line.text, *(other.text for other in seen.after(line, 8))])
    actor, pid, ending = re.search(CLASS_NAME, text), re.search(PID, text), re.search(EXIT_TYPE, text)
    failure = seen.failure_at(line)
    reason = f"{ending['type']} {ending['detail'] or ''}".strip() if ending else line.text.strip()[:300]
    fields = {
        "actor": actor[1] if actor else None,
        "reason": reason,
        "signal": "SIGKILL" if "SIGKILL" in reason and "potential" not in reason else None,
        "exit_code": int(code[1]) if (code := re.search(EXIT_CODE, reason)) else None,
        "phase": seen.phase(line, failure.frames if failure else ()),
        "step": seen.step(line),
    }
    who = Identity(pid=int(pid[1]) if pid else None, actor=actor[1] if actor else None)
    return sighting("worker_died", line, fields, (), who)
