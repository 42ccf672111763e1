"""Parts of verl's values that rows name: the two betas of Adam stand in one list."""

from __future__ import annotations

import json
from typing import Any, Final

from rldoctor.types import UNKNOWN, RLDoctorError

PLACES: Final = {"first": 0, "second": 1}


def read(name: str, text: str) -> Any:
    """Return an item of a list of two, UNKNOWN where the text is none."""
    items = _items(text)
    return UNKNOWN if items is None else items[PLACES[name]]


def write(name: str, text: str, value: Any) -> str:
    """Return the list with one item changed; RLDoctorError where the text is no list of two."""
    items = _items(text)
    if items is None:
        raise RLDoctorError(f"{text} is no list of two numbers")
    items[PLACES[name]] = value
    return f"[{items[0]},{items[1]}]"


def _items(text: str) -> list[Any] | None:
    try:
        items = json.loads(text.replace("(", "[").replace(")", "]"))
    except ValueError:
        return None
    return items if isinstance(items, list) and len(items) == len(PLACES) else None
