"""Following ``events.jsonl`` while it grows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

LiveEvent = Mapping[str, Any]


class Tail(Struct):
    """Reads what was appended since the last look; half a line waits for its rest."""

    path: Path
    offset: int = 0

    def new(self) -> Iterator[LiveEvent]:
        """Yield the events that are whole by now."""
        if not self.path.exists() or self.path.stat().st_size <= self.offset:
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self.offset += whole
        for line in data[:whole].splitlines():
            event = _event(line)
            if event is not None:
                yield event


def _event(line: bytes) -> LiveEvent | None:
    try:
        event = json.loads(line)
    except ValueError:  # a line that a killed trainer left half
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None
