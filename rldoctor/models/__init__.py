"""What can be told of a model from its folder or its name, without loading it."""

from rldoctor.models import parameters
from rldoctor.models.nouns import MLA, Gated, Shape, Stored
from rldoctor.models.shapes import shape

__all__ = [
    "MLA",
    "Gated",
    "Shape",
    "Stored",
    "parameters",
    "shape",
]
