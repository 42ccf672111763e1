"""Lines that prove a cause though no rule claims them: inner exceptions, the last words of a program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from rldoctor.logs import enclosed
from rldoctor.types import Evidence, Finding, LogLine, Match

if TYPE_CHECKING:
    from rldoctor.logs import LogReading
    from rldoctor.logs.failures import Failure

CUT: Final = "Traceback without its exception"  # as the reading of tracebacks calls it
RAISES: Final = r"raise\s+([A-Z]\w*(?:\.\w+)*)\(|(assert)\b"
BY_RAY: Final = "RayTaskError("
LONGEST_TEXT: Final = 1000
LOOK_BACK: Final = 80
LOUD: Final = (
    r"\b(?:ERROR|FATAL|CRITICAL)\b|^(?:[Ff]atal|[Ee]rror|ERR)\b.{0,20}[:!]|\b(?:[Ff]atal error|[Ee]rror): \S"
    r"|\b(?:[Aa]n|[Ii]nternal) error occurred\b|: command not found$|^terminate called|what\(\):  \S"
    r"|(?:^|^ ?\d{1,5}: )\[Errno \d+\] [A-Z]"
)
SHORT: Final = 200  # lines of a text that is an excerpt, not a log
END: Final = 25
FATAL: Final = re.compile(
    r"\b(?:FATAL|[Ff]atal|panic|[Aa]bort(?:ed|ing)(?! request)|exiting|CRITICAL|ERROR)\b"
    r"|\b(?:[Ee]rror|ERR): \S|[a-z](?:Error|Exception): \S"
    r"|(?:^|[\s)])(?:Exception|[a-z][\w.]*\.BrokenProcessPool): \S"
    r"|NVRM: .{0,80}(?:[Tt]imed out|[Ff]ailed|ERROR)|NCCL WARN .{0,80}(?:[Ff]ailed|[Ee]rror|[Mm]ismatch)"
    r"|\d [CF] \d+ \d+\] |^F\d{4} \d\d:|(?:错误|失败)[:：]|异常退出"
)
GAVE_UP: Final = r"(?:[\w.-]{1,40}: )?(?:Failed|Unable|Cannot|Can not|Could not|Can't|Couldn't) (?:to )?[a-z]"
LAST: Final = 2  # lines at the end that such words must be among
CALM: Final = r"(?:^|[\s)\]m])INFO\b(?!.{0,80}(?i:exit|terminat|shut))"
GOES_ON: Final = 4  # lines of a logger in its usual voice behind a loud one
NAMED: Final = re.compile(r"\b(?:ERROR|CRITICAL|FATAL)\b.{0,20}?\b[A-Z]\w*(?:Error|Exception): \S")
"""An exception that a logger tells without its traceback says more than the state logged before it."""
WRAPPED: Final = re.compile(
    r"\b(?:subprocess-exited-with-error|metadata-generation-failed|failed-wheel-build)|wheels? for "
)
"""What pip says of a build whose own words it shows."""
MILD: Final = (
    r"\b(?:INFO|(?<!NCCL )WARN(?:ING)?|DEBUG|warning)\b|\[W\d|\b(?:[Nn]o|0) errors?\b"
    r"|[Rr]etr(?:y|ied)(?! count)|step[:=]|loss|pip's dependency resolver does not currently"
)
LAUNCHERS: Final = re.compile(
    r"torch[./]distributed|elastic|exitcode|exit code|return code|local_rank|ChildFailed|sigkill_handler"
    r"|Sending process|closing signal|^\s*(?:File \"|raise |at::|frame #)"
    r"|^srun: (?!error: .{0,40}(?:Unable|Invalid|failed: ))|^slurmstepd:|raysubmit"
    r"|Error executing job with overrides|HYDRA_FULL_ERROR|\[repeated |error_file|retry(?! count)|[Rr]etrying"
    r"|[=#*-]{4,}\s*$"
)


def quoted(line: LogLine) -> Evidence:
    """Return a line of a log as evidence."""
    number, who = line.number or None, line.who
    text = enclosed.told(line.text)[:LONGEST_TEXT]
    return Evidence(text, line.file, number, None, who.rank, line.time)


def with_inner(finding: Finding, match: Match, failures: Sequence[Failure]) -> Finding:
    """Return a root with the innermost exception behind a mere wrapper, or a wordless one's code."""
    finding = _spoken_first(finding)
    for failure in failures if match.lines else ():
        places = [_at(link.line) for link in failure.chain]
        if _at(match.lines[0]) in places[1:]:
            return _inner_ahead(finding, quoted(failure.line))
        if _at(match.lines[0]) == places[0] and (check := tuple(bare_check(failure))):
            return replace(finding, evidence=(*finding.evidence[:1], *check, *finding.evidence[1:]))
    return finding


def _inner_ahead(finding: Finding, inner: Evidence) -> Finding:
    """Return a finding with the innermost exception next to its first line, before one that only wraps it."""
    first, *rest = finding.evidence or (inner,)
    others = [each for each in rest if (each.file, each.line) != (inner.file, inner.line)]
    ahead = dict.fromkeys((inner, first) if BY_RAY in first.text else (first, inner))
    return replace(finding, evidence=(*ahead, *others))


def _spoken_first(finding: Finding) -> Finding:
    """Return a finding whose exception's own line comes before the code that raised it."""
    code, *told = finding.evidence[:2] or (Evidence(""),)
    if not told or not code.text.startswith("raise ") or told[0].text.startswith(("raise ", "File ")):
        return finding
    return replace(finding, evidence=(told[0], code, *finding.evidence[2:]))


def last_words(reading: LogReading, report: LogLine) -> LogLine | None:
    """Return the last line before a launcher's report in which a program itself speaks of an error."""
    if reading.text is None:
        return None
    window = reading.window(report, LOOK_BACK, "run")
    said = [line for line in window if _at(line) < _at(report) and _is_loud(reading.text.whole(line))]
    last = next(reversed(said), None)
    return next((line for line in said if last is not None and line.text == last.text), None)


def loud_end(reading: LogReading) -> LogLine | None:
    """Return the first loud line at the end of a short text without any step: a paste of C++ or a kernel."""
    if reading.text is None or reading.progress or len(reading.text.logs) != 1:
        return None
    total = reading.text.scan.lines[0]
    if total > SHORT:
        return None
    lines = list(reading.text.between(0, max(1, total - END), total))
    whole = [reading.text.whole(line) for line in lines]
    caught = [(each.start.number, each.line.number) for each in reading.failures if each.ignored]
    passed = [
        reading.went_on(line) or any(first <= line.number <= last for first, last in caught) for line in lines
    ]
    ended = [line.number for line in lines if line.text.strip()][-LAST:]
    loud = [
        not over and (_is_fatal(text) or (line.number in ended and _gave_up(line, text)))
        for line, text, over in zip(lines, whole, passed, strict=True)
    ]
    if True not in loud or any(line.time is not None for line in _quiet_after(lines, loud)):
        return None
    if sum(re.search(CALM, text) is not None for text in whole[loud.index(True) :]) >= GOES_ON:
        return None
    named = [is_loud and NAMED.search(text) is not None for text, is_loud in zip(whole, loud, strict=True)]
    own = [is_loud and WRAPPED.search(text) is None for text, is_loud in zip(whole, loud, strict=True)]
    return lines[next((told for told in (named, own) if True in told), loud).index(True)]


def _quiet_after(lines: Sequence[LogLine], loud: Sequence[bool]) -> Iterator[LogLine]:
    """Yield what is said behind the first loud line by those who go on: launchers only clear up."""
    first = loud.index(True)
    for line, is_loud in zip(lines[first + 1 :], loud[first + 1 :], strict=True):
        if not is_loud and LAUNCHERS.search(line.text) is None and line.time != lines[first].time:
            yield line


def completed(failure: Failure) -> Failure:
    """Return a failure whose last line is missing with the exception that its innermost code raises."""
    frame = next(iter(failure.chain[0].frames[-1:]), None)
    raised = re.match(RAISES, frame.code) if frame is not None and failure.exception == CUT else None
    if raised is None:
        return failure
    name = raised[1] or "AssertionError"
    return replace(failure, chain=(replace(failure.chain[0], name=name, message=""), *failure.chain[1:]))


def bare_check(failure: Failure) -> Iterator[Evidence]:
    """Yield the source line that raised an exception without words, which says more than its name."""
    frame = next(iter(failure.chain[0].frames[-1:]), None)
    wordless = not failure.message.strip() or failure.exception == CUT
    if frame is not None and frame.code and wordless:
        yield Evidence(text=f"{frame.code} in {frame}"[:LONGEST_TEXT])


def _is_fatal(text: str) -> bool:
    return FATAL.search(text) is not None and re.search(MILD, text) is None and LAUNCHERS.search(text) is None


def _gave_up(line: LogLine, text: str) -> bool:
    return re.match(GAVE_UP, line.text) is not None and re.search(MILD, text) is None


def _is_loud(text: str) -> bool:
    return re.search(LOUD, text) is not None and not any(seen.search(text) for seen in (LAUNCHERS, WRAPPED))


def _at(line: LogLine) -> tuple[str, int]:
    return line.file, line.number
