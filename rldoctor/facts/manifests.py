"""Files of job managers (RayJob, SkyPilot, compose, dstack), which hold the command of a launch as a text."""

from __future__ import annotations

import re
from typing import Final

from rldoctor.types import Document

_KEYS: Final = ("run", "entrypoint", "command", "commands", "args", "script", "cmd")
_STARTS: Final = (
    r"\b(?:python3?|torchrun|ray job submit|accelerate launch|vllm serve|bash)\b.*\s--?\w|\bpython3? -m \w"
)


def started_by(document: Document) -> str | None:
    """Return the key of the text that starts something, None where a file of settings holds none."""
    settings = [each for world in document.worlds for command in world for each in command.settings]
    named = (each for each in settings if re.sub(r"\[\d+\]|\.\d+$", "", each.key).rpartition(".")[2] in _KEYS)
    return next((each.key for each in named if re.search(_STARTS, str(each.value))), None)
