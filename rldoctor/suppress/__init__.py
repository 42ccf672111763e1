"""Findings that the user has answered are kept apart, with the reason; what was not asked for is left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date

from msgspec import Struct

from rldoctor.suppress import inline
from rldoctor.suppress.choice import Choice
from rldoctor.suppress.inline import Comment
from rldoctor.suppress.project import Entry, Project
from rldoctor.types import Evidence, Finding, Suppressed
from rldoctor.vocabulary import unknown_word

RULE = "suppression"


class Sifted(Struct, frozen=True):
    """Findings that stay, those that are answered, and what is to be said about the answers themselves."""

    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...] = ()
    notes: tuple[str, ...] = ()


def sift(
    path: str,
    findings: Iterable[Finding],
    files: Mapping[str, bytes],
    project: Project | None,
    known: Collection[str],
    today: date | None = None,
) -> Sifted:
    """Return the findings of one checked file, those that a comment or the project answers kept apart.

    A comment of a sourced file may serve the other scripts that read it: only the file's own are judged.
    """
    comments = [each for name, data in files.items() for each in inline.comments(name, data)]
    valid = [each for each in comments if each.reason and each.rules]
    used: set[tuple[Comment, str]] = set()
    stay: list[Finding] = []
    answered: list[Suppressed] = []
    notes: list[str] = []
    for finding in findings:
        comment = next((each for each in valid if each.covers(finding)), None)
        entry = project.entry_for(finding, today or date.today()) if project is not None else None
        if comment is not None:
            used.add((comment, finding.rule))
            answered.append(Suppressed(finding, comment.reason, comment.file, comment.line))
        elif entry is not None and project is not None and not entry.expired(today or date.today()):
            answered.append(Suppressed(finding, entry.reason, project.file, entry.line, entry.until))
        else:
            stay.append(finding)
            notes += [_expired(entry, project)] if entry is not None and project is not None else []
    own = [each for each in comments if each.file == path]
    return Sifted((*stay, *_told(own, used, known)), tuple(answered), tuple(dict.fromkeys(notes)))


def chosen(findings: Sequence[Finding], choice: Choice) -> tuple[Finding, ...]:
    """Return the findings that were asked for; a comment without use counts only where all was asked for."""
    return tuple(each for each in findings if choice.takes(each) and not (choice and each.rule == RULE))


def _expired(entry: Entry, project: Project) -> str:
    return f"{project.file}:{entry.line}: the suppression of {entry.rule} ended on {entry.until}"


def _told(
    comments: Iterable[Comment], used: Collection[tuple[Comment, str]], known: Collection[str]
) -> Iterator[Finding]:
    """Yield a hint for each comment that does nothing."""
    for comment in comments:
        if not comment.rules:
            yield _hint(comment, "An ignore names its rule: # rldoctor: ignore[rule] reason")
        elif not comment.reason:
            yield _hint(comment, f"An ignore needs a reason: # rldoctor: ignore[{comment.rules[0]}] reason")
        for rule in comment.rules:
            if rule not in known:
                yield _hint(comment, unknown_word("rule", rule, known).capitalize())
            elif comment.reason and (comment, rule) not in used:
                yield _hint(comment, f"Nothing to ignore here: {rule} does not hold")


def _hint(comment: Comment, title: str) -> Finding:
    return Finding(
        id=RULE,
        rule=RULE,
        subject=comment.file,
        title=title,
        severity="hint",
        confidence="certain",
        explanation="A comment that silences nothing hides what it was written for.",
        evidence=(Evidence(comment.text, comment.file, comment.line),),
        part="hint",
        verdict="config",
    )
