"""The story of ``rldoctor diagnose``: log → what was seen → facts → causes → remedies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor import causes, dialects, facts, remedies, sources
from rldoctor.diagnose import losses, next_run, relatives, unfinished, verdicts
from rldoctor.diagnose.gathering import gather, refuse_nothing, refuse_scripts
from rldoctor.diagnose.timeline import timeline
from rldoctor.facts import Facts, ToldFacts
from rldoctor.logs import LogReading, PrintedConfig
from rldoctor.matching import examine_config, examine_log
from rldoctor.rules import Index, index
from rldoctor.types import Finding, LogLine, Match, Report

MOST_HINTS: Final = 20
LITTLE: Final = 100  # lines that may be too few to show a failure


def diagnose(
    paths: Sequence[str],
    config: str | None,
    told: ToldFacts,
    since: float | None = None,
    against: str | None = None,
) -> Report:
    """Return what went wrong in a log, the root first, with what to change in the user's own words.

    With ``since``, seconds since the epoch, what carries an earlier time belongs to another attempt.
    ``against`` names the log of a run that went well; what is different in it is a hint.
    """
    began, rules = time.perf_counter(), index()
    reading = _since(gather(paths, rules.patterns), since)
    world, notes = known_facts(reading, config, told)
    refuse_scripts(paths, reading)
    if since is None:
        refuse_nothing(paths, reading)
    seen = examine_log(reading, world, rules)
    matches = seen.matches
    findings = causes.explain(matches, reading, world)
    if any(finding.part == "root" for finding in findings):
        matches += _hints_of_the_config(seen.matches, world, rules)
        findings = causes.explain(matches, reading, world)
    findings = _with_remedies(findings, matches, world, rules)[:MOST_HINTS]
    findings = relatives.with_relatives(causes.with_settings(findings, reading, world), world, rules)
    findings = causes.with_libraries(findings, reading)
    difference = _difference((reading, world), against, told)
    more = (next_run.hint(findings, reading, world, rules), difference)
    findings += tuple(finding for finding in more if finding is not None)
    ending = verdicts.sentence(findings, {match.finding.id: match for match in matches}, reading)
    said = (
        *(notes if any(finding.part == "root" for finding in findings) else ()),
        *_lost(findings, reading),
        *seen.broken,
        *((f"nothing that is compared is different in {against}",) if against and not difference else ()),
        *(note for note in reading.notes if note not in _said_by(notes)),
    )
    return Report(
        command="diagnose",
        subjects=reading.subjects,
        verdict=verdicts.verdict(findings),
        summary=summary(findings, reading),
        findings=findings,
        facts=tuple(fact for fact in world.all() if fact.value is not None),
        timings={"seconds": round(time.perf_counter() - began, 4)},
        notes=(*said, f"verdict: {ending}") if ending else said,
        timeline=timeline(reading) if findings else (),
        versions={**reading.versions, **told.versions},
    )


def _said_by(notes: Sequence[str]) -> set[str]:
    """Return what the note on the configuration says already."""
    begin = "the configuration is "
    beside = (note.removeprefix(begin).partition(" (") for note in notes if note.startswith(begin))
    return {f"{path} was taken into account ({form}" for path, _, form in beside}


def _lost(findings: Sequence[Finding], reading: LogReading) -> tuple[str, ...]:
    """Return what a run that ended lost."""
    lost = losses.lost(reading) if any(finding.part == "root" for finding in findings) else ""
    return (lost,) if lost else ()


def _difference(bad: tuple[LogReading, Facts], against: str | None, told: ToldFacts) -> Finding | None:
    """Return what is different in a run that went well."""
    if against is None:
        return None
    from rldoctor.diagnose import against as comparing

    good = gather([against], index().patterns)
    return comparing.compare(bad, (good, known_facts(good, None, told)[0]), against)


def _since(reading: LogReading, since: float | None) -> LogReading:
    if since is None:
        return reading
    return replace(
        reading,
        events=tuple(event for event in reading.events if event.time is None or event.time >= since),
        samples=tuple(s for s in reading.samples if s.line.time is None or s.line.time >= since),
        steps=tuple(s for s in reading.steps if s.line.time is None or s.line.time >= since),
    )


def known_facts(reading: LogReading, config: str | None, told: ToldFacts) -> tuple[Facts, tuple[str, ...]]:
    """Return the facts of the config given, else of the nearest one in the log, else of defaults."""
    versions = {**reading.versions, **told.versions}
    told = replace(told, versions=versions)
    if config is not None:
        document = sources.read(config, sources.told_of(told.env, told.args, told.set))
        return facts.walk_known(document, told)[0], ()
    printed = nearest_config(reading)
    worlds = facts.walk(printed.document, told) if printed is not None else ()
    if printed is not None and worlds:
        if printed.line.text == printed.document.path:  # it lies beside the log
            return worlds[0], (f"the configuration is {printed.document.path} ({printed.form})",)
        place = f"{printed.line.file}:{printed.line.number}"
        return worlds[0], (f"the configuration is the one that the log prints at {place} ({printed.form})",)
    spoken = (system for system in reading.systems if system in dialects.NAMES)
    system = told.system or next(spoken, None)
    return facts.walk(None, replace(told, system=system))[0], _no_config_note(system)


def _no_config_note(system: str | None) -> tuple[str, ...]:
    if system is None:
        return ("no configuration was found in the log; --config FILE tells it, --system NAME the system",)
    return (f"no configuration was found in the log ({system}); --config FILE tells it",)


def nearest_config(reading: LogReading) -> PrintedConfig | None:
    """Return the printed configuration nearest above the first failure that has one above it."""
    nearest = [reading.config_for(line) for line in _failing_lines(reading)]
    lines = _failing_lines(reading)
    above = (found for found, line in zip(nearest, lines, strict=True) if found and _is_above(found, line))
    return next(above, next(iter(nearest or reading.configs), None))


def _is_above(printed: PrintedConfig, line: LogLine) -> bool:
    return printed.line.file == line.file and printed.line.number <= line.number


def _failing_lines(reading: LogReading) -> list[LogLine]:
    lines = [event.lines[0] for event in reading.events if event.lines]
    lines += [failure.line for failure in reading.failures if not failure.recovered]
    return sorted(lines, key=lambda line: line.number)


def _hints_of_the_config(matches: Sequence[Match], world: Facts, rules: Index) -> tuple[Match, ...]:
    """Return what check would say of the config, but for the rules that the log has already shown."""
    shown = {(match.finding.rule, match.finding.role) for match in matches}
    found = examine_config(world, rules).matches
    return tuple(match for match in found if (match.finding.rule, match.finding.role) not in shown)


def _with_remedies(
    findings: Sequence[Finding], matches: Sequence[Match], world: Facts, rules: Index
) -> tuple[Finding, ...]:
    """Return the findings, those that are no mere consequence with their ladders."""
    by_id = {match.finding.id: match for match in matches}
    return tuple(
        replace(finding, remedies=remedies.ladder(rules.rule(finding.rule), by_id[finding.id], world, rules))
        if finding.id in by_id and finding.part != "consequence"
        else finding
        for finding in findings
    )


def summary(findings: Sequence[Finding], reading: LogReading) -> str:
    """Return one sentence on what happened."""
    roots = [finding for finding in findings if finding.part == "root"]
    if not roots and not reading.total_lines and any("what could be read" in note for note in reading.notes):
        return "Nothing could be read, so nothing can be said: the notes tell why."
    if not roots:
        lines = reading.total_lines
        told = f"Nothing wrong found in {lines} line{'s' * (lines != 1)}"
        if reading.progress or lines > LITTLE:
            return f"{told}{unfinished.told(reading)}."
        return f"{told}, but no finished step either: is this the log of the run?"
    follow = sum(finding.explained_by == roots[0].id for finding in findings)
    told = f"Most likely root cause: {roots[0].title.rstrip('.')}"
    if roots[0].severity == "hint":
        told = f"Nothing failed for certain; what stands out: {roots[0].title.rstrip('.')}"
    elif roots[0].rule == causes.UNRECOGNISED:
        told = roots[0].title.rstrip(".")
    more = (
        f"; {follow} other finding{'s' * (follow != 1)} follow{'s' * (follow == 1)} from it" if follow else ""
    )
    others = f"; {len(roots) - 1} more root{'s' * (len(roots) > 2)}" if len(roots) > 1 else ""
    return f"{told}{more}{others}."
