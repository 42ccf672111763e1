"""Rules: what a rule file may say, the strict loader for authors, the compiled index for everybody else."""

from rldoctor.rules.index import Entry, Index, index
from rldoctor.rules.schema import Rule, RuleTest, Rung, Trigger

__all__ = ["Entry", "Index", "Rule", "RuleTest", "Rung", "Trigger", "index"]
