"""From a document to facts, the one way: settings, dialect, model, formulas, what follows, what exists."""

from rldoctor.facts.told import ToldFacts
from rldoctor.facts.walk import Facts, walk, walk_known

__all__ = ["Facts", "ToldFacts", "walk", "walk_known"]
