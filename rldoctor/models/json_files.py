"""JSON files of strangers: bounded, and never trusted to be what their name says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from rldoctor.types import RLDoctorError

BYTE_LIMIT: Final = 64 * 2**20


def read_object(path: Path) -> dict[str, Any]:
    """Return the object a JSON file holds; RLDoctorError where there is none."""
    try:
        size = path.stat().st_size
        text = path.read_bytes() if size <= BYTE_LIMIT else b""
    except OSError as error:
        raise RLDoctorError(f"cannot be read: {error.strerror}", file=str(path)) from error
    if size > BYTE_LIMIT:
        raise RLDoctorError(f"{size} bytes are too large for {path.name}", file=str(path))
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg}"
        raise RLDoctorError(message, file=str(path), line=error.lineno, column=error.colno) from error
    except (ValueError, RecursionError) as error:
        raise RLDoctorError(f"not valid JSON: {type(error).__name__}", file=str(path)) from error
    if not isinstance(found, dict):
        raise RLDoctorError("not a JSON object", file=str(path), line=1)
    return found
