"""Edits of the user's own files: splice, show as a diff, apply atomically."""

from rldoctor.edits.apply import Applied, apply
from rldoctor.edits.diff import diff
from rldoctor.edits.splice import by_file, splice

__all__ = ["Applied", "apply", "by_file", "diff", "splice"]
