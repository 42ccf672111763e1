"""Whose log a file is, where its name tells: one file per rank, process or node."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from rldoctor.logs.anatomy import NOBODY
from rldoctor.types import Identity

RANK: Final = re.compile(r"(?:^|[/_.-])rank[_.-]?(\d{1,6})(?=[/_.-]|$)", re.IGNORECASE)
ELASTIC: Final = re.compile(r"/attempt_\d+/(\d{1,5})/std(?:out|err)")
RAY_WORKER: Final = re.compile(
    r"/(?:worker-[0-9a-f]{8,}-[0-9a-f]+-|python-core-(?:worker|driver)-[0-9a-f]+_)(\d{1,10})\."
)
NODE: Final = re.compile(r"(?:^|[/_.-])(node[_-]?\d{1,6})(?=[/_.-]|$)")


@cache
def writer(path: str) -> Identity:
    """Return the rank, process or node that a log's path names."""
    rank, elastic, pid, node = (shape.search(path) for shape in (RANK, ELASTIC, RAY_WORKER, NODE))
    if not (rank or elastic or pid or node):
        return NOBODY
    number = rank or elastic
    return Identity(
        node[1] if node else None, int(number[1]) if number else None, int(pid[1]) if pid else None
    )
