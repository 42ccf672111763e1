"""The failure that no rule knows: which of what ended the run came first, and what to look for."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor import vocabulary
from rldoctor.causes import endings, firsts, shells, words
from rldoctor.causes.advice import advise
from rldoctor.types import Event, Evidence, Finding, Identity, LogLine, Match, Remedy, Verdict

if TYPE_CHECKING:
    from rldoctor.facts import Facts
    from rldoctor.logs import LogReading
    from rldoctor.logs.failures import Failure, Frame

UNRECOGNISED: Final = "unrecognised"
SEARCH: Final = "Search the issues of the project for:"

FIRST: Final = "It is the first failure that nothing else explains"
REST: Final = (
    "Look for the end of this traceback: the exception's own line stands further below in the whole log, "
    "on the other stream (stderr), or in the process's own file"
)
SHOWN_FRAMES: Final = 5
_BARE: Final = r":$|^\d{1,3}%\|"  # headings and progress bars say nothing of a failure
_HEAD: Final = (
    r"(?:\[[^\]]{0,80}\]:? ?|[EFCW]?\d{4} [\d:.]{8,20} +\d+ |\d{4}-\d\d-\d\d[ T][\d:.,]+ "
    r"|[\w./+-]{1,120}\.(?:cc?|cpp|cxx|cuh?|h|hpp|py|go|rs):\d+[\]:]? "
    r"|(?:NCCL )?(?:FATAL|ERROR|CRITICAL|WARN)\b[:!]? ?)+"
)
"""What a logger writes before a message: time, place in its own source, level."""
_DOTTED: Final = r"[A-Za-z_][\w.]*"
LONGEST_SEARCH: Final = 120
LONGEST_TITLE: Final = 300
LONGEST_TEXT: Final = 1000

WARNING: Final = r"\s*WARN(?:ING)?\b"
CAUSE, KILLED, FOLLOWS, REPORTS = range(4)
"""How likely something is what began it: a cause, a death by signal, an effect on peers, a mere report."""
FOLLOW: Final = (
    ("process_death", "connection_lost", "collective_timeout", "stall"),
    ("connection_lost", "collective_timeout", "stall"),
    ("connection_lost",),
    (),
)
"""What each of them explains: less, the less likely it began it."""

EVENTS: Final = {
    "out_of_memory": CAUSE,
    "disk_full": CAUSE,
    "hardware_error": CAUSE,
    "gpu_error": CAUSE,
    "checkpoint_failed": CAUSE,
    "checkpoint_missing": CAUSE,
    "engine_failed": CAUSE,
    "port_in_use": CAUSE,
    "resources_missing": CAUSE,
    "process_death": KILLED,
    "hang": FOLLOWS,
    "collective_timeout": FOLLOWS,
    "worker_died": REPORTS,
    "connection_lost": REPORTS,
}
ABORTED: Final = "(SIGABRT)"  # how a process ends itself that has told why
_ENDED_BY_OTHERS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGABRT")
_REPORTS = (
    r"(ChildFailedError|ActorDiedError|RayActorError|ActorUnavailableError|WorkerCrashedError|OwnerDiedError"
    r"|EngineDeadError|SignalException|NodeDiedError|CalledProcessError|BrokenProcessPool|KeyboardInterrupt"
    r"|GetTimeoutError)$"
)
_STANDARD = r"/lib/python3\.\d+/(?!site-packages|dist-packages)"
_REPORTED = (
    r"(?i)\b(?:sub|child |worker |rollout )?process\b.{0,60}\b(?:exited|failed|died|terminated|crashed)\b"
    r"|\bthread (?:has died|is dead|died)\b|\bsee (?:the )?(?:chained|above|original|previous|root cause"
    r"|(?:its|their|the worker's|worker|child) logs?)\b|\bfailed with exit ?code\b|failed on all \d+ workers"
    r"|^(?:worker|child|subprocess|engine|actor)s? .{0,40}\b(?:died|dead|crashed|exited)\b"
)
_FOLLOWS = (
    r"(?i)connection (reset|closed|refused|aborted)|broken pipe|socket (closed|timeout)|gloo/transport"
    r"|watchdog|remote process exited|ncclremoteerror|store.{0,40}(timed out|timeout)|\bcancelled\b"
)


class Candidate(Struct, frozen=True):
    """Something that ended a run or a part of it; the lower its rank, the likelier it began it."""

    rank: int
    title: str
    lines: tuple[LogLine, ...]
    who: tuple[Identity, ...]
    phase: str | None
    time: float | None
    failure: Failure | None = None


def unrecognised(reading: LogReading, matches: Sequence[Match], facts: Facts | None = None) -> Match | None:
    """Return the first failure that no rule claims and the run did not survive, None if there is none."""
    claimed = [line for match in matches for line in match.lines]
    causes = {(line.file, line.number) for match in matches if not match.symptom for line in match.lines}
    found = [*_exceptions(reading, claimed, causes), *_events(reading, claimed)]
    files = {name: number for number, name in enumerate(reading.subjects)}
    if not found:
        end = None if any(_is_told(match) for match in matches) else words.loud_end(reading)
        if end is None or (end.file, end.number) in {(line.file, line.number) for line in claimed}:
            return None
        rank = CAUSE if words.NAMED.search(end.text) else REPORTS
        found = [Candidate(rank, end.text, (end,), (end.who,), None, end.time)]
    by_clock = all(candidate.time is not None for candidate in found)
    named = firsts.first_ranks(reading)
    first = min(
        found,
        key=lambda candidate: (
            candidate.rank,
            _goes_on(candidate.failure),
            firsts.stepped_after(reading, candidate.lines[0]),
            named.isdisjoint(who.rank for who in candidate.who),
            *_position(candidate, files, by_clock),
        ),
    )
    first = _with_stack(_with_words(first, reading), reading)
    if (
        first.rank == REPORTS
        and (first.failure is not None or ABORTED in first.title)
        and any(_tells_more(first, m) for m in matches)
    ):
        return None  # a symptom says more than the mere report that something ended
    return Match(
        _finding(first, facts), first.lines, conditions=1, explains=FOLLOW[first.rank], spread=first.who
    )


def _goes_on(failure: Failure | None) -> bool:
    """Say whether a shell lacked a command, behind which its script goes on unless it was told to stop."""
    return failure is not None and failure.exception in shells.PASSED_OVER


def _tells_more(first: Candidate, match: Match) -> bool:
    """Say whether a symptom says more than a report: of an abort only one that may have led to it."""
    led = first.failure is not None or "process_death" in match.explains
    return _is_told(match) and match.symptom and not match.recovered and led


def _with_stack(first: Candidate, reading: LogReading) -> Candidate:
    """Return a candidate without frames with the stack that another rank shows of the same exception."""
    bare = first.failure
    if bare is None or bare.frames:
        return first
    same = (bare.exception, bare.message)
    alike = (each for each in reading.failures if (each.exception, each.message) == same and each.frames)
    return replace(first, failure=next(alike, bare))


def _is_told(match: Match) -> bool:
    return match.finding.severity in ("error", "warning")


def _with_words(first: Candidate, reading: LogReading) -> Candidate:
    """Return a candidate that only reports an end together with what the program said before it."""
    said = words.last_words(reading, first.lines[0]) if first.rank == REPORTS else None
    if said is None:
        return first
    lines = (said, *first.lines)
    return replace(first, title=said.text, lines=lines, who=(said.who, *first.who), failure=None)


def _position(candidate: Candidate, files: dict[str, int], by_clock: bool) -> tuple[float, int, int]:
    first = candidate.lines[0]
    when = candidate.time if by_clock and candidate.time is not None else 0.0
    return when, files.get(first.file, len(files)), first.number


def _exceptions(
    reading: LogReading, claimed: Sequence[LogLine], causes: Collection[tuple[str, int]]
) -> Iterator[Candidate]:
    outlived = (one for one in reading.failures if one.recovered and not reading.moves.began_anew(one.line))
    survived = {kind for failure in outlived for kind in _kinds(failure)}
    for failure in reading.failures:
        if failure.recovered or failure.ignored or survived & _kinds(failure):
            continue
        if any(_within(line, failure) or _continues(line, failure) for line in claimed):
            continue
        if (_rank(failure) == FOLLOWS or _wordless(failure)) and _grew_into(failure, causes):
            continue
        lines = tuple(dict.fromkeys((failure.line, failure.start)))
        whole = words.completed(failure)
        message = _first_line(whole.message)
        title = f"{whole.exception}: {message}" if message else whole.exception
        rank = _rank(failure) if whole is failure else FOLLOWS
        yield Candidate(rank, title, lines, (failure.who,), failure.phase, failure.time, whole)


def _wordless(failure: Failure) -> bool:
    """Say whether an exception has no words of its own, so that what wraps it says what was waited for."""
    return not failure.message.strip() and not failure.exception.endswith("AssertionError")


def _grew_into(failure: Failure, causes: Collection[tuple[str, int]]) -> bool:
    """Say whether a rule knows what an exception grew into, which says whose connection it was."""
    return any((link.line.file, link.line.number) in causes for link in failure.chain)


def _kinds(failure: Failure) -> set[tuple[str, str]]:
    """Return what makes two failures the same: a run that survived one survives the other.

    One that grew into another exception, or that nothing caught, is not the same.
    """
    frame = failure.user_frame or failure.library_frame
    how = f"{failure.exception} {failure.outermost}"
    return {(how, word) for word in (_first_line(failure.message), str(frame or "")) if word}


def _first_line(message: str) -> str:
    return next(iter(message.strip().splitlines()), "").lstrip(": ^~")  # marks that torn lines leave


def _rank(failure: Failure) -> int:
    if failure.exception == words.CUT or re.search(_REPORTS, failure.exception) or _reports(failure.message):
        return REPORTS
    if _is_of_helper(failure):
        return REPORTS
    return FOLLOWS if re.search(_FOLLOWS, failure.message) else CAUSE


def _is_of_helper(failure: Failure) -> bool:
    """Say whether a few lines of Python inside of a script raised it: the script may go on without."""
    outer, *inner = [frame.file for frame in failure.frames] or [""]
    return outer == "<stdin>" and all(re.search(_STANDARD, file) for file in inner)


def _reports(message: str) -> bool:
    """Say whether an exception's words only tell that another part has ended."""
    return re.search(_REPORTED, _first_line(message)[:LONGEST_TITLE]) is not None


def _within(line: LogLine, failure: Failure) -> bool:
    """Say whether a line is one of those that told a failure."""
    begin = failure.start if failure.frames else failure.line  # a shell's word has nothing before it
    first, last = sorted((begin.number, failure.line.number))
    return line.file == failure.line.file and first <= line.number <= last


def _continues(line: LogLine, failure: Failure) -> bool:
    """Say whether a line is one of the further lines of an exception's own message."""
    more = line.number - failure.line.number
    return (
        line.file == failure.line.file and 0 < more <= failure.message.count("\n") and line.who == failure.who
    )


def _events(reading: LogReading, claimed: Sequence[LogLine]) -> Iterator[Candidate]:
    taken = {(line.file, line.number) for line in claimed}
    for event in reading.events:
        if event.kind not in EVENTS or not event.lines or all(map(reading.went_on, event.lines)):
            continue
        if event.kind == "checkpoint_missing" and re.match(WARNING, event.lines[0].text):
            continue  # the program goes on without
        if not any((line.file, line.number) in taken for line in event.lines):
            yield Candidate(
                _rank_of_event(event), _title(event), event.lines, event.spread or (event.who,), event.phase,
                event.time,
            )  # fmt: skip


def _rank_of_event(event: Event) -> int:
    if event.kind != "process_death":
        return EVENTS[event.kind]
    signal = event.fields.get("signal")
    return REPORTS if signal is None or signal in _ENDED_BY_OTHERS else KILLED


def _title(event: Event) -> str:
    signal = event.fields.get("signal")
    meaning = vocabulary.load().events[event.kind].meaning
    return f"{meaning} ({signal}): {event.lines[0].text}" if signal else f"{meaning}: {event.lines[0].text}"


def _finding(first: Candidate, facts: Facts | None) -> Finding:
    failure = first.failure
    frames = [str(frame) for frame in reversed(failure.frames)][:SHOWN_FRAMES] if failure else []
    evidence = [
        words.quoted(first.lines[0]),
        *(_further(failure) if failure else ()),
        *(words.bare_check(failure) if failure else ()),
        *map(words.quoted, first.lines[1:6]),
        *(Evidence(text=frame) for frame in frames),
    ]
    title = " ".join(first.title.split())[:LONGEST_TITLE]
    return Finding(
        id=UNRECOGNISED,
        rule=UNRECOGNISED,
        subject=first.lines[0].file,
        title=f"No rule knows this failure: {title}",
        severity="error",
        confidence="possible",
        explanation=f"{FIRST}{_whose(first)}. {_where(failure)}".strip(),
        evidence=tuple(evidence),
        remedies=_remedies(failure, title, facts),
        phase=first.phase,
        verdict=_verdict(failure),
        family="process_death" if failure is None else "code",
        fingerprint=f"{zlib.crc32(_words(title).encode()):08x}",
    )


def _remedies(failure: Failure | None, title: str, facts: Facts | None) -> tuple[Remedy, ...]:
    if failure is not None and failure.exception == words.CUT:
        return (Remedy(REST, "manual"),)
    known = endings.advise(title) if failure is None else ()
    return (
        *known,
        *advise(failure, facts),
        Remedy(f"{SEARCH} {_words(title)}", "manual"),
    )


def _further(failure: Failure) -> Iterator[Evidence]:
    """Yield the next lines of a long message, but for rules and headings, from its first words on."""
    lines = failure.message.strip().splitlines()
    begun = bool(lines) and lines[0].strip() in failure.line.text
    inside = takewhile(lambda text: not text.lstrip().startswith("```"), lines[begun : begun + 4])
    texts = [text.strip() for text in inside]
    told = [text[:LONGEST_TEXT] for text in texts if text.strip(' =-*"') and not re.search(_BARE, text)]
    yield from (Evidence(text=text) for text in told[:2])


def _whose(first: Candidate) -> str:
    """Return which process failed first, as far as it is told."""
    who = next((each for each in (*first.who, first.lines[0].who) if each != Identity()), None)
    if who is None:
        return ""
    parts = (
        f"rank {who.rank}" if who.rank is not None else None,
        who.actor,
        f"process {who.pid}" if who.pid is not None else None,
        f"node {who.node}" if who.node and not who.node.isdigit() else None,
    )
    return f"; {', '.join(part for part in parts if part)} failed first"


def _where(failure: Failure | None) -> str:
    if failure is None:
        return ""
    user, library = failure.user_frame, _raised_in(failure)
    told = f"Your own code is in it: {user}. " if user else ""
    return told + (f"The library raised it in {library}." if library else "")


def _raised_in(failure: Failure) -> Frame | None:
    """Return the innermost frame of a library below the user's own code; nothing where that raised it."""
    frames = failure.chain[0].frames
    own = max((at for at, frame in enumerate(frames) if not frame.is_library), default=-1)
    below = frames[own + 1 :]
    packaged = (frame for frame in reversed(below) if not frame.is_standard)
    return next(packaged, below[-1] if below else None) if frames else failure.library_frame


def _verdict(failure: Failure | None) -> Verdict:
    """Return ``code`` where the user's own code raised it."""
    if failure is None or failure.user_frame is None:
        return "unsure"
    return "code" if failure.frames and failure.user_frame == failure.frames[-1] else "unsure"


def _words(title: str) -> str:
    """Return what to search for: an exception's short name and its message's start, no logger's head."""
    said = title[head.end() :] if (head := re.match(_HEAD, title)) and head.end() < len(title) else title
    name, colon, message = said.partition(": ")
    if not re.fullmatch(_DOTTED, name):
        return said[:LONGEST_SEARCH].strip()
    return f"{name.rsplit('.', 1)[-1]} {message[:80]}".strip() if colon else name
