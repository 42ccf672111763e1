"""From matches to causes: which incident is the root, which only follow from it, which are a hint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from rldoctor.causes import firsts, owners, words
from rldoctor.causes.advice import name_settings
from rldoctor.causes.unrecognised import CAUSE, FOLLOW, SEARCH, UNRECOGNISED, unrecognised
from rldoctor.types import Finding, LogLine, Match, Part, Severity

if TYPE_CHECKING:
    from rldoctor.facts import Facts
    from rldoctor.logs import LogReading

__all__ = ["SEARCH", "SEVERITIES", "UNRECOGNISED", "explain", "with_libraries", "with_settings"]

CLOCK_SKEW: Final = 5.0  # seconds that the clocks of two nodes may differ
MESSAGE: Final = 5  # lines that one message of an exception has, "Last error:" and what it was among them
LINE_SKEW: Final = 50  # lines by which buffered output of two processes may be out of order
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "hint", "harmless")
NOT_A_NUMBER: Final = re.compile(r"(?i)\bnan\b|\binf\b")
ILLNESS: Final = 4
EXCERPT: Final = 400  # lines that somebody has picked out of a log
LATER: Final = {"process_death": 1, "connection_lost": 2, "stall": 2, "collective_timeout": 3}


def explain(matches: Sequence[Match], reading: LogReading, facts: Facts | None = None) -> tuple[Finding, ...]:
    """Return the findings with their parts, the root first; an unknown first failure is one of them.

    With ``facts``, its advice names the user's own settings.
    """
    loud = [_as_illness(match, reading) for match in _without_harmless(matches)]
    stranger = unrecognised(reading, [match for match in matches if not _is_vacuous(match)], facts)
    loud = _with_helpers(loud, stranger, reading)
    known = [match for match in loud if _is_cause(match) and not match.ill]
    if stranger is not None:
        loud, known = _with_survivors(loud, known, stranger, reading)
        known = [match for match in known if not (_lists(stranger, match) and not _before(match, stranger))]
    if stranger is not None and known and stranger.explains == FOLLOW[CAUSE]:
        end = stranger.lines[0]
        known = [match for match in known if not firsts.launched_between(reading, end, match.lines[0])]
    if stranger is not None and known:
        told = any(_not_later(match, stranger) for match in known)
        stranger = None if told else _as_hint(stranger)
    judged = _judge([*loud, *([stranger] if stranger else [])], _order_of_files(reading))
    if _is_excerpt(reading):
        judged = _with_standing_out(judged, {match.finding.id for match in loud if match.recovered})
    by_id = {match.finding.id: match for match in loud}
    return tuple(
        words.with_inner(finding, by_id[finding.id], reading.failures)
        if finding.part == "root" and finding.id in by_id
        else finding
        for finding in judged
    )


def with_settings(findings: Iterable[Finding], reading: LogReading, facts: Facts) -> tuple[Finding, ...]:
    """Return the findings; where a root's rule names no setting of the user's, with those of its failure."""
    return tuple(name_settings(finding, reading.failures, facts) for finding in findings)


def with_libraries(findings: Iterable[Finding], reading: LogReading) -> tuple[Finding, ...]:
    """Return the findings with the packages of their failures named where a rule's remedies ask for them."""
    return tuple(owners.named(finding, reading.failures) for finding in findings)


def _with_survivors(
    loud: list[Match], known: list[Match], stranger: Match, reading: LogReading
) -> tuple[list[Match], list[Match]]:
    """Mark known causes as survived if a step was finished behind them, but none behind a strange one."""
    if stranger.explains != FOLLOW[CAUSE] or firsts.stepped_after(reading, stranger.lines[0]):
        return loud, known
    told = [match for match in loud if match.lines and _is_serious(match)]
    survived = {m.finding.id for m in told if all(firsts.stepped_after(reading, line) for line in m.lines)}
    marked = [replace(match, recovered=True) if match.finding.id in survived else match for match in loud]
    return marked, [match for match in known if match.finding.id not in survived]


def _with_helpers(loud: Sequence[Match], stranger: Match | None, reading: LogReading) -> list[Match]:
    """Mark as survived what stands before all that the ranks say, where one of them failed later on."""
    causes = (match for match in (*loud, stranger) if match is not None and _is_cause(match))
    ends = [match.lines[0] for match in causes if match.lines[0].who.rank is not None]
    return [
        replace(match, recovered=True)
        if _is_serious(match) and any(_is_before_ranks(match, end, reading) for end in ends)
        else match
        for match in loud
    ]


def _is_before_ranks(match: Match, end: LogLine, reading: LogReading) -> bool:
    return all(firsts.before_ranks(reading, line, end) for line in match.lines)


def _as_illness(match: Match, reading: LogReading) -> Match:
    """Mark what only step lines show: the run went on, ill; but NaN is what further failures come from."""
    steps = {_at(line) for line in reading.progress} if match.finding.family == "numeric" else set()
    ill = bool(match.lines) and all(_at(line) in steps for line in match.lines)
    told = ill and any(NOT_A_NUMBER.search(line.text) for line in match.lines)
    return replace(match, ill=True) if ill and not told else match


def _without_harmless(matches: Iterable[Match]) -> list[Match]:
    """Drop harmless matches, and symptoms all of whose lines a harmless one has taken away."""
    quiet = {_at(line) for match in matches if _is_harmless(match) for line in match.lines}
    loud = (match for match in matches if not _is_harmless(match))
    return [m for m in loud if not (m.symptom and m.lines and all(_at(line) in quiet for line in m.lines))]


def _judge(matches: list[Match], files: dict[str, int]) -> tuple[Finding, ...]:
    ranked = sorted(matches, key=lambda match: _claim(match, files))
    losers = {match.finding.id: winner for match, winner in _losers(ranked)}
    ranked = [m for m in ranked if not (m.finding.id in losers and _is_vacuous(m))]
    serious = [match for match in ranked if _is_serious(match) and match.finding.id not in losers]
    explained = _explained(sorted(serious, key=lambda match: _importance(match, files)))
    causes = [m for m in serious if m.finding.id not in explained and not m.symptom]
    tellers = [m for m in serious if m.explains]  # what explains nothing only reports that others failed
    beaten = losers.keys() | _doubtful(serious, explained)
    judged = []
    for match in sorted(ranked, key=lambda match: _importance(match, files)):
        by = explained.get(match.finding.id)
        part = _part(match, by, match.finding.id in beaten, bool(causes or (tellers and not match.explains)))
        judged.append(_settle(match, part, by))
    order: tuple[Part, ...] = ("root", "consequence", "hint")
    return tuple(sorted(judged, key=lambda finding: order.index(finding.part)))


def _is_excerpt(reading: LogReading) -> bool:
    """Say whether these are a few lines that somebody has picked out, and not a run that got on."""
    return 0 < reading.total_lines <= EXCERPT and not reading.moves.moves


def _with_standing_out(judged: tuple[Finding, ...], recovered: set[str]) -> tuple[Finding, ...]:
    """Return the findings; where all are hints, the first is what the lines were picked out for."""
    if any(finding.part != "hint" for finding in judged):
        return judged
    first = next((one for one in judged if one.evidence and one.id not in recovered), None)
    about = () if first is None else (replace(first, part="root", verdict="unsure"),)
    return (*about, *(finding for finding in judged if finding is not first))


def _doubtful(serious: Sequence[Match], explained: Mapping[str, str]) -> set[str]:
    """Return the mere possibilities about lines that something certain already explains."""
    certain = {match.finding.id for match in serious if match.finding.confidence == "certain"}
    settled = {_at(line) for m in serious if explained.get(m.finding.id) in certain for line in m.lines[:1]}
    roots = (m for m in serious if m.finding.id not in explained and m.finding.confidence == "possible")
    return {match.finding.id for match in roots if match.lines and _at(match.lines[0]) in settled}


def _part(match: Match, explained_by: str | None, lost: bool, has_cause: bool) -> Part:
    if lost or not _is_serious(match):
        return "hint"
    if explained_by is not None:
        return "consequence"
    return "hint" if match.symptom and has_cause else "root"


def _settle(match: Match, part: Part, explained_by: str | None) -> Finding:
    severity: Severity = "hint" if part == "hint" else match.finding.severity
    told = match.finding.explanation
    if part == "consequence":
        told = _extent(match)
    elif match.recovered:
        told = f"The run went on after it. {told}"
    return replace(match.finding, part=part, explained_by=explained_by, severity=severity, explanation=told)


def _extent(match: Match) -> str:
    """Return how many lines on how many ranks a match claims."""
    lines = sum(line.repeated for line in match.lines)
    ranks = max(len({who.rank for who in match.spread if who.rank is not None}), 1)
    return f"{lines} line{'s' * (lines != 1)} on {ranks} rank{'s' * (ranks != 1)}"


def _losers(ranked: Sequence[Match]) -> list[tuple[Match, Match]]:
    """Pair each match with the better one that claims one of its lines; who is explained does not lose."""
    lost: list[tuple[Match, Match]] = []
    winners: list[Match] = []
    for match in ranked:
        mine = {_at(line) for line in match.lines}
        better = next((w for w in winners if mine & {_at(line) for line in w.lines}), None)
        related = better is not None and (_lists(better, match) or _is_told_by(match, better))
        if better is None or (related and not (_is_vacuous(match) or _is_vacuous(better))):
            winners.append(match)
        else:
            lost.append((match, better))
    return lost


def _is_told_by(cause: Match, effect: Match) -> bool:
    """Say whether one may explain what claims its line: a mere possibility explains no certain cause."""
    doubtful = cause.finding.confidence == "possible" and effect.finding.confidence == "certain"
    return _lists(cause, effect) and (effect.symptom or not doubtful)


def _is_vacuous(match: Match) -> bool:
    """Say whether a match holds only because nothing is known that could contradict it."""
    return match.finding.confidence == "possible" and not match.conditions


def _explained(serious: Sequence[Match]) -> dict[str, str]:
    """Return who is explained by which root; where several explain each other the earliest is the cause."""
    cause_of: dict[str, str] = {}
    for effect in reversed(serious):
        for cause in serious:
            if cause is effect or not _lists(cause, effect) or not _not_later(cause, effect):
                continue
            if _root(cause_of, cause.finding.id) != effect.finding.id and not _reversed(cause, effect):
                cause_of[effect.finding.id] = cause.finding.id
                break
    return {effect: _root(cause_of, effect) for effect in cause_of}


def _reversed(cause: Match, effect: Match) -> bool:
    """Say whether two list each other and the effect came first; a name tells more than a family."""
    if not _lists(effect, cause):
        return False
    names, named = effect.finding.rule in cause.explains, cause.finding.rule in effect.explains
    if names == named:
        return _before(effect, cause)
    return not _long_before(cause, effect) if named else _long_before(effect, cause)


def _long_before(one: Match, other: Match) -> bool:
    """Say whether one came before the other and not in the same message, whose last line tells most."""
    first, second = _first(one), _first(other)
    apart = second.number - first.number if first and second and first.file == second.file else MESSAGE
    return _before(one, other) and apart >= MESSAGE


def _root(cause_of: dict[str, str], who: str) -> str:
    seen = {who}
    while who in cause_of and cause_of[who] not in seen:
        who = cause_of[who]
        seen.add(who)
    return who


def _lists(cause: Match, effect: Match) -> bool:
    return effect.finding.rule in cause.explains or effect.finding.family in cause.explains


def _not_later(one: Match, other: Match) -> bool:
    first, second = _first(one), _first(other)
    if first is None or second is None:
        return True
    if first.time is not None and second.time is not None:
        return first.time <= second.time + CLOCK_SKEW
    return first.file != second.file or first.number <= second.number + LINE_SKEW


def _before(one: Match, other: Match) -> bool:
    first, second = _first(one), _first(other)
    if first is None or second is None:
        return False
    if first.time is not None and second.time is not None and first.time != second.time:
        return first.time < second.time
    return (first.file == second.file) and first.number < second.number


def _first(match: Match) -> LogLine | None:
    return (
        min(match.lines, key=lambda line: line.number) if _one_file(match) else next(iter(match.lines), None)
    )


def _one_file(match: Match) -> bool:
    return len({line.file for line in match.lines}) == 1


def _claim(match: Match, files: dict[str, int]) -> tuple[object, ...]:
    finding = match.finding
    return (
        match.recovered,
        finding.confidence != "certain",
        match.symptom,
        -match.conditions,
        finding.rule,
        _position(match, files),
    )


def _importance(match: Match, files: dict[str, int]) -> tuple[object, ...]:
    finding = match.finding
    return (
        match.recovered,
        SEVERITIES.index(finding.severity),
        match.symptom,
        ILLNESS if match.ill else LATER.get(finding.family, 0),
        not match.lines,
        _position(match, files),
        finding.confidence != "certain",
        finding.rule,
    )


def _position(match: Match, files: dict[str, int]) -> tuple[int, int]:
    first = _first(match)
    return (files.get(first.file, len(files)), first.number) if first else (len(files), 0)


def _order_of_files(reading: LogReading) -> dict[str, int]:
    return {name: number for number, name in enumerate(reading.subjects)}


def _is_serious(match: Match) -> bool:
    return not match.recovered and match.finding.severity in ("error", "warning") and bool(match.lines)


def _is_cause(match: Match) -> bool:
    error = match.finding.severity == "error"
    return _is_serious(match) and error and not match.symptom and not _is_vacuous(match)


def _is_harmless(match: Match) -> bool:
    return match.finding.severity == "harmless"


def _as_hint(match: Match) -> Match:
    return replace(match, finding=replace(match.finding, severity="hint"))


def _at(line: LogLine) -> tuple[str, int]:
    return line.file, line.number
