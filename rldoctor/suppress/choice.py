"""``--select`` and ``--ignore``: rules, phases and severities by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from msgspec import Struct

from rldoctor.types import Finding, RLDoctorError
from rldoctor.vocabulary import load, unknown_word

SEVERITIES: Final = ("error", "warning", "hint")
NO_PHASE: Final = "cluster"


class Choice(Struct, frozen=True):
    """Words that a finding must have one of, and words that it must have none of."""

    select: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.select or self.ignore)

    def takes(self, finding: Finding) -> bool:
        """Say whether a finding is asked for."""
        phase = finding.phase or NO_PHASE
        words = {finding.rule, finding.severity, phase, phase.partition(".")[0]}
        return (not self.select or bool(words & self.select)) and not words & self.ignore


def choice(select: Iterable[str], ignore: Iterable[str], rules: Collection[str]) -> Choice:
    """Return what was asked for; RLDoctorError with the nearest word for one that names nothing."""
    known = (*SEVERITIES, *load().phases, NO_PHASE, *rules)
    return Choice(_words("--select", select, known), _words("--ignore", ignore, known))


def _words(option: str, given: Iterable[str], known: Collection[str]) -> frozenset[str]:
    words = frozenset(word.strip() for text in given for word in text.split(",") if word.strip())
    for word in sorted(words):
        if word not in known:
            message = unknown_word("rule, phase or severity", word, known)
            raise RLDoctorError(f"{option}: {message}", hint="`rldoctor rules` lists rules and phases")
    return words
