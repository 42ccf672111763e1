"""What can be told of a model from its folder or its name, without loading it."""

from rldoctor.models import parameters
from rldoctor.models.checkpoints import Markers, markers
from rldoctor.models.nouns import MLA, Gated, Shape, Stored
from rldoctor.models.shapes import shape
from rldoctor.models.tokens import StopTokens, stop_token_ids

__all__ = [
    "MLA",
    "Gated",
    "Markers",
    "Shape",
    "StopTokens",
    "Stored",
    "markers",
    "parameters",
    "shape",
    "stop_token_ids",
]
