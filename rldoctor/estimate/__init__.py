"""The story of ``rldoctor estimate``: files → facts → setup → phases, with what fits and what would."""

from rldoctor.estimate.story import Ask, estimate

__all__ = ["Ask", "estimate"]
