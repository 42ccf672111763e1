"""The story of ``rldoctor check``: files → facts → rules → findings with edits, before any launch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor import dialects, facts, remedies, sources
from rldoctor.facts import Facts, ToldFacts, UnknownSystemError, cut
from rldoctor.matching import Outcome, Silent, examine_config
from rldoctor.matching.keys import examine_keys
from rldoctor.rules import Index, index
from rldoctor.types import (
    Document,
    Fact,
    Finding,
    Match,
    Report,
    RLDoctorError,
    Severity,
    Suppressed,
    Verdict,
)

if TYPE_CHECKING:
    from rldoctor.suppress.choice import Choice
    from rldoctor.suppress.project import Project

CUT_OFF: Final = "arguments-cut-off"  # what is missing behind a cut was not forgotten
DIES_OF: Final = (CUT_OFF, "no-micro-batch", "no-micro-batch-for-log-probabilities")
LAST: Final = 1 << 60
SHOWN: tuple[Severity, ...] = ("error", "warning", "hint")
PROJECT: Final = ".rldoctor.yaml"
MARK: Final = b"rldoctor:"


class Checked(Struct, frozen=True):
    """A report, what could not be read, and the bytes of every file as they were read."""

    report: Report
    errors: tuple[RLDoctorError, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    silent: tuple[Silent, ...] = ()


class _Part(Struct, frozen=True):
    """What one file gave."""

    findings: tuple[Finding, ...]
    worlds: tuple[Facts, ...]
    notes: tuple[str, ...]
    files: Mapping[str, bytes]
    silent: tuple[Silent, ...]
    suppressed: tuple[Suppressed, ...] = ()


def check(
    paths: Sequence[str], told: ToldFacts, choice: Choice | None = None, *, with_facts: bool = True
) -> Checked:
    """Return what the rules say about launch scripts and configurations; a bad file leaves the others.

    With ``choice`` only the findings that were asked for. Without ``with_facts`` the report has none: working
    out those too that no rule asks for takes a tenth of a check.
    """
    began, rules = time.perf_counter(), index()
    parts: list[_Part] = []
    errors: list[RLDoctorError] = []
    skipped: list[str] = []
    for path in paths:
        try:
            parts.append(_of_file(path, told, rules, choice))
        except UnknownSystemError as error:
            if len(paths) == 1:
                raise
            skipped.append(f"skipped {error}")
        except RLDoctorError as error:  # a bad file must not hide what is wrong with the others
            errors.append(error)
    findings = _numbered(finding for part in parts for finding in part.findings)
    suppressed = tuple(each for part in parts for each in part.suppressed)
    report = Report(
        command="check",
        subjects=tuple(paths),
        verdict=_verdict(findings),
        summary=summary(findings, len(parts), len(errors), len(suppressed)),
        findings=findings,
        facts=_shown_facts(part.worlds for part in parts) if with_facts else (),
        timings={"seconds": round(time.perf_counter() - began, 4)},
        notes=tuple(dict.fromkeys([*skipped, *(note for part in parts for note in part.notes)])),
        suppressed=suppressed,
    )
    files = {name: data for part in parts for name, data in part.files.items()}
    once = {str(error): error for error in errors}
    return Checked(report, tuple(once.values()), files, tuple(s for part in parts for s in part.silent))


def _of_file(path: str, told: ToldFacts, rules: Index, choice: Choice | None) -> _Part:
    project = _project(path, rules)
    told = project.told(told) if project is not None else told
    document = sources.read(path, sources.told_of(told.env, told.args, told.set))
    worlds = facts.walk_known(document, told)
    outcomes = [(world, _examined(world, rules)) for world in worlds]
    found = [(world, _findings(world, outcome, rules)) for world, outcome in outcomes]
    notes = [str(problem).replace("\n  ", "; ") for problem in document.problems]
    notes += [text for _, outcome in outcomes for text in outcome.broken]
    notes += _other_system(document, told.system)
    if told.args and document.kind == "yaml":
        notes.append(f"{path} takes no arguments: {' '.join(told.args)} counts for nothing")
    notes += [project.note()] if project is not None and project.note() else []
    part = _Part(
        findings=_of_worlds(found),
        worlds=worlds,
        notes=tuple(dict.fromkeys(notes)),
        files=_read_files(document, worlds),
        silent=tuple(dict.fromkeys(silent for _, outcome in outcomes for silent in outcome.silent)),
    )
    return _sifted(path, part, project, rules, choice)


def _read_files(document: Document, worlds: Sequence[Facts]) -> dict[str, bytes]:
    """Return the bytes of every file that settings came from: what they name may be edited, too."""
    files = dict(document.files)
    for world in worlds:
        files.update(world.document.files if world.document is not None else {})
    return files


def _other_system(document: Document, told: str | None) -> list[str]:
    """Return a note where the file plainly speaks another system than the one that was told."""
    found = dialects.detect(document) if told else ()
    spoken = {each.system for each in found if each.certainty == "certain" and not each.launcher}
    if not spoken or told in spoken:
        return []
    words = " and ".join(sorted(spoken))
    return [f"{document.path} speaks {words}; it was read as {told} because of --system"]


def _project(path: str, rules: Index) -> Project | None:
    """Return what the project says that a file belongs to, None where it says nothing."""
    at = Path(path).absolute().parent
    while not (at / PROJECT).is_file():
        if at.parent == at or (at / ".git").exists():
            return None
        at = at.parent
    from rldoctor.suppress import project

    return project.read(at, rules.ids)


def _sifted(path: str, part: _Part, project: Project | None, rules: Index, choice: Choice | None) -> _Part:
    """Return what is left of a file's findings, those that the user has answered apart."""
    marked = project is not None or any(MARK in data for data in part.files.values())
    if not marked and not choice:
        return part
    from rldoctor import suppress

    sifted = suppress.sift(path, part.findings, part.files, project, rules.ids)
    findings = suppress.chosen(sifted.findings, choice) if choice else sifted.findings
    left = len(sifted.findings) - len(findings)
    out = (f"{left} finding{'s' * (left != 1)} left out by --select and --ignore",) if left else ()
    notes = (*part.notes, *sifted.notes, *out)
    return replace(part, findings=findings, notes=notes, suppressed=sifted.suppressed)


def _examined(world: Facts, rules: Index) -> Outcome:
    """Return what the facts give, and what the system would not understand of the settings."""
    told, keys = examine_config(world, rules), examine_keys(world, rules)
    if any(match.finding.severity == "error" for match in keys.matches):
        from rldoctor.matching import releases

        keys = releases.settled(world, keys, rules)
    if any(match.bindings.get("event.nearest") is not None for match in keys.matches):
        from rldoctor.matching import slipped

        told, keys = slipped.without_consequences(world, told, keys, rules)
    return Outcome((*told.matches, *keys.matches), told.silent, (*told.broken, *keys.broken))


def _findings(world: Facts, outcome: Outcome, rules: Index) -> list[Finding]:
    told = [match for match in outcome.matches if not _is_the_authors(match.finding, world)]
    if any(match.finding.rule == CUT_OFF and match.finding.severity == "error" for match in told):
        behind = cut.lost(world)
        told = [each for each in told if _is_of_the_text(each) or _holds_beside(each.finding, behind)]
        return [_unedited(_finding(match, world, rules)) for match in told]
    return [_finding(match, world, rules) for match in told]


def _finding(match: Match, world: Facts, rules: Index) -> Finding:
    ladder = remedies.ladder(rules.rule(match.finding.rule), match, world, rules)
    finding, why = replace(match.finding, remedies=ladder), world.unproven
    if why is None or _is_of_the_text(match):
        return finding
    severity: Severity = "warning" if finding.severity == "error" else finding.severity
    return replace(finding, severity=severity, confidence="possible", assumes=(*finding.assumes, why))


def _holds_beside(finding: Finding, lost: frozenset[str]) -> bool:
    """Say whether a finding hangs on nothing that the command lost, or is what the cut command dies of."""
    return finding.rule in DIES_OF or lost.isdisjoint(piece.key for piece in finding.evidence)


def _unedited(finding: Finding) -> Finding:
    """Return a finding whose cures change nothing: what a command lacks stands behind its cut."""
    return replace(finding, remedies=tuple(replace(each, edits=()) for each in finding.remedies))


def _is_the_authors(finding: Finding, world: Facts) -> bool:
    """Say whether a finding is only about what the program brings along, and no more than a warning."""
    files = {piece.file for piece in finding.evidence if piece.file is not None}
    return bool(files) and files <= world.start.shipped and finding.severity != "error"


def _is_of_the_text(match: Match) -> bool:
    """Say whether a finding is about what is written, and no check of the launched program's."""
    return "event.written" in match.bindings and match.finding.rule != "refused-setting"


def _of_worlds(found: Sequence[tuple[Facts, Sequence[Finding]]]) -> tuple[Finding, ...]:
    """Return each finding once; one that only some branches of the script give is possible."""
    together: dict[tuple[str | None, str, int], list[Finding]] = {}
    for world, findings in found:
        times: Counter[str] = Counter()
        for finding in _by_setting(findings):
            times[finding.id] += 1
            together.setdefault((world.system, finding.id, times[finding.id]), []).append(finding)
    branches = Counter(
        world.system for world, _ in found if world.document and len(world.document.worlds) > 1
    )
    return tuple(
        several[0] if len(several) >= branches[system] else _only_sometimes(several[0])
        for (system, *_), several in together.items()
    )


def _by_setting(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings without those that another role only repeats: the same rule, the same settings."""
    policy = {(finding.rule, finding.fingerprint) for finding in findings if finding.role == "policy"}
    return [each for each in findings if each.role == "policy" or (each.rule, each.fingerprint) not in policy]


def _only_sometimes(finding: Finding) -> Finding:
    told = (*finding.assumes, "the branch of the script in which it holds")
    return replace(finding, confidence="possible", assumes=told)


def _shown_facts(parts: Iterable[tuple[Facts, ...]]) -> tuple[Fact, ...]:
    found: list[Fact] = []
    for worlds in parts:
        every = (fact for world in worlds for fact in world.all() if fact.value is not None)
        found += {(fact.role, fact.concept, repr(fact.value)): fact for fact in every}.values()
    return tuple(found)


def _numbered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings in order of importance, their ids made distinct over several files."""
    ordered = sorted(findings, key=lambda finding: (SHOWN.index(finding.severity), _first_line(finding)))
    seen: Counter[str] = Counter()
    named = []
    for finding in ordered:
        seen[finding.id] += 1
        times = seen[finding.id]
        named.append(finding if times == 1 else replace(finding, id=f"{finding.id}#{times}"))
    return tuple(named)


def _first_line(finding: Finding) -> tuple[str, int]:
    lines = [piece.line for piece in finding.evidence if piece.line]
    return finding.subject, lines[0] if lines else LAST  # what is missing may follow from what is there


def _verdict(findings: Sequence[Finding]) -> Verdict:
    return next((finding.verdict for finding in findings if finding.severity != "hint"), "nothing")


def summary(findings: Sequence[Finding], files: int, unread: int = 0, suppressed: int = 0) -> str:
    """Return one sentence on what was found."""
    if not files:
        return "Nothing could be checked."
    number = Counter(finding.severity for finding in findings)
    told = [f"{number[word]} {word}{'s' * (number[word] != 1)}" for word in SHOWN if number[word]]
    where = f"in {files} file{'s' * (files != 1)}"
    left = f"; {suppressed} suppressed" if suppressed else ""
    left += f"; {unread} could not be read" if unread else ""
    return f"{', '.join(told).capitalize() if told else 'Nothing wrong found'} {where}{left}."
