"""From a document to facts, the one way: settings, dialect, model, formulas, what follows, what exists."""

from rldoctor.facts.told import ToldFacts
from rldoctor.facts.walk import Facts, UnknownSystemError, walk, walk_known

__all__ = ["Facts", "ToldFacts", "UnknownSystemError", "walk", "walk_known"]
