"""Rules × evidence → matches: over facts, and over what was read in a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldoctor.facts import Facts
from rldoctor.matching.config import Outcome, Silent, examine_config, match_config
from rldoctor.matching.scope import Scope
from rldoctor.rules import Index
from rldoctor.types import Match

if TYPE_CHECKING:
    from rldoctor.logs import LogReading

__all__ = ["Outcome", "Scope", "Silent", "examine_config", "examine_log", "match_config", "match_log"]


def examine_log(reading: LogReading, facts: Facts, index: Index) -> Outcome:
    """Evaluate the triggers that a log can hold; what reads logs is loaded here, not for a check."""
    from rldoctor.matching import evidenced

    return evidenced.examine_log(reading, facts, index)


def match_log(reading: LogReading, facts: Facts, index: Index) -> tuple[Match, ...]:
    """Return the matches of all triggers that a log can hold, one a rule and role."""
    return examine_log(reading, facts, index).matches
