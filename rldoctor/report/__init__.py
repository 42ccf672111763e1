"""One report value, several renderings."""

from rldoctor.report.structured import as_dict, as_json
from rldoctor.report.text import as_text

__all__ = ["as_dict", "as_json", "as_text"]
