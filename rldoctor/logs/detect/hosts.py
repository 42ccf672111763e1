"""What the kernel and Slurm say about a host: killed processes, with the process that was killed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.seen import Seen
from rldoctor.types import Identity

KILLED: Final = "/Killed process \\d+ \\(/"
PATTERNS: Final = (KILLED,)
LINE: Final = re.compile(r"Killed process (?P<pid>\d{1,10}) \((?P<name>[^)]{1,60})\)")


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield the death of each process that the kernel killed."""
    for line in seen.lines(KILLED):
        found = LINE.search(line.text)
        if found is not None:
            fields = {"signal": "SIGKILL", "process": found["name"], "reason": "oom-killer"}
            yield sighting(
                "process_death", line, fields, (int(found["pid"]),), Identity(pid=int(found["pid"]))
            )
