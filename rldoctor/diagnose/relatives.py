"""What cures the known failure that an unknown one is most like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor import remedies
from rldoctor.causes import SEARCH, UNRECOGNISED
from rldoctor.facts import Facts
from rldoctor.rules import Index
from rldoctor.types import Finding, Match, Remedy

ALONE: Final = 0.4  # likeness from which a relative's cures are worth telling where nothing else is advised
BESIDE: Final = 0.5  # the same where the exception itself says something
MOST: Final = 2  # cures that are lent
LENT: Final = "Try what cures a failure much like it"
COMPARED: Final = 4  # pieces of evidence whose words count
_UNFILLED: Final = ("?", "{")


def with_relatives(findings: Iterable[Finding], facts: Facts, rules: Index) -> tuple[Finding, ...]:
    """Return the findings; an unknown root with what cures the known failure that is most like it."""
    return tuple(
        _with_relative(finding, facts, rules)
        if finding.rule == UNRECOGNISED and finding.part == "root"
        else finding
        for finding in findings
    )


def _with_relative(finding: Finding, facts: Facts, rules: Index) -> Finding:
    *own, search = finding.remedies
    said = " ".join((finding.title.partition(": ")[2], *(e.text for e in finding.evidence[1:COMPARED])))
    like = rules.likeness.nearest(said)
    if like is None or like.share < (BESIDE if own else ALONE) or not search.title.startswith(SEARCH):
        return finding
    cures = list(_cures(like.rule, finding, facts, rules))
    return replace(finding, remedies=(*_joined(own, cures), search)) if cures else finding


def _cures(name: str, finding: Finding, facts: Facts, rules: Index) -> Iterator[Remedy]:
    """Yield a rule's cures, as advice to a person, but those that hang on what only its own lines tell."""
    for cure in remedies.ladder(rules.rule(name), Match(finding), facts):
        if not any(mark in cure.title for mark in _UNFILLED):
            title = f"{LENT} ({name}): {cure.title}"
            yield Remedy(title, "manual", command=cure.command)


def _joined(own: Sequence[Remedy], lent: Sequence[Remedy]) -> tuple[Remedy, ...]:
    """Return what is advised with what is lent: two cures where there was nothing, else one as the second."""
    if not own:
        return tuple(lent[:MOST])
    if len(own) == 1:
        return (*own, lent[0])
    title = f"{own[1].title}; or {lent[0].title[0].lower()}{lent[0].title[1:]}"
    return (own[0], replace(own[1], title=title, command=own[1].command or lent[0].command), *own[2:])
