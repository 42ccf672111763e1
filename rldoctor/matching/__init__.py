"""Rules × evidence → matches: over facts, and over what was read in a log."""

from rldoctor.matching.config import Outcome, Silent, examine_config, match_config
from rldoctor.matching.evidenced import examine_log, match_log
from rldoctor.matching.scope import Scope

__all__ = ["Outcome", "Scope", "Silent", "examine_config", "examine_log", "match_config", "match_log"]
