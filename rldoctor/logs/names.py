"""Whose log a file is, where its name tells: one file per rank, process or node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from rldoctor.logs.anatomy import NOBODY
from rldoctor.types import Identity

RANK: Final = re.compile(r"(?:^|[/_.-])rank[_.-]?(\d{1,6})(?=[/_.-]|$)", re.IGNORECASE)
ELASTIC: Final = re.compile(r"/attempt_\d+/(\d{1,5})/std(?:out|err)")
RAY_WORKER: Final = re.compile(
    r"/(?:worker-[0-9a-f]{8,}-[0-9a-f]+-|python-core-(?:worker|driver)-[0-9a-f]+_)(\d{1,10})\."
)
ACTOR: Final = re.compile(rb"(?m)^:actor_name:([A-Za-z_][\w.]{0,120})")
HEAD: Final = 1024
NUMBER: Final = re.compile(r"(?<!\d)\d{1,5}(?!\d)")
STREAM: Final = re.compile(r"(?:[./](?:log|out|err|txt|stdout|stderr))+$")
NODE: Final = re.compile(r"(?:^|[/_.-])(node[_-]?\d{1,6})(?=[/_.-]|$)")


@cache
def writer(path: str) -> Identity:
    """Return the rank, process or node that a log's path names."""
    rank, elastic, pid, node = (shape.search(path) for shape in (RANK, ELASTIC, RAY_WORKER, NODE))
    if not (rank or elastic or pid or node):
        return NOBODY
    number = rank or elastic
    return Identity(
        node[1] if node else None,
        int(number[1]) if number else None,
        int(pid[1]) if pid else None,
        _actor(Path(path)) if pid else None,
    )


def numbered(paths: Iterable[str], told: Mapping[str, int]) -> dict[str, int]:
    """Return the rank of each of several files whose names differ in a number that is the rank.

    That it is one (and not a run, a node or a step) is told by their lines: no file's rank is another
    number than its name's, and of at least half of the numbers one file tells the rank.
    """
    groups: dict[str, dict[int, list[str]]] = {}
    for path in paths:
        for shape, number in _shapes(path):
            groups.setdefault(shape, {}).setdefault(number, []).append(path)
    found: dict[str, int] = {}
    for members in groups.values():
        says = {number: {told[path] for path in mine if path in told} for number, mine in members.items()}
        agree = sum(ranks == {number} for number, ranks in says.items())
        strange = any(ranks - {number} for number, ranks in says.items())
        counted = len(members) > 1 and set(members) == set(range(len(members)))
        if counted and not strange and 2 * agree >= len(members):
            found |= {path: number for number, mine in members.items() for path in mine}
    return found


def placed(named: Mapping[str, int], told: Mapping[str, int]) -> dict[str, int]:
    """Return the ranks of logs whose names tell them, where a node's may be counted from its first one.

    Logs of one folder whose lines tell ranks are all as far off as those; where some are, nothing is known
    of two logs for one rank of different nodes.
    """
    off: dict[str, set[int]] = {}
    for path, rank in named.items():
        if path in told:
            off.setdefault(_folder(path), set()).add(told[path] - rank)
    if not any(any(numbers) for numbers in off.values()):
        return dict(named)
    found = {path: rank + min(off.get(_folder(path), {0})) for path, rank in named.items()}
    homes: dict[int, set[str]] = {}
    for path, rank in found.items():
        homes.setdefault(rank, set()).add(_folder(path))
    return {path: rank for path, rank in found.items() if path in told or len(homes[rank]) == 1}


def _folder(path: str) -> str:
    """Return where the logs of one node's ranks lie together."""
    found = ELASTIC.search(path) or RANK.search(path)
    return path[: found.start()] if found else ""


def _shapes(path: str) -> Iterator[tuple[str, int]]:
    """Yield a path without the stream it keeps, each of its numbers taken out once."""
    stem = STREAM.sub("", path)
    for number in NUMBER.finditer(stem):
        yield f"{stem[: number.start()]}#{stem[number.end() :]}", int(number[0])


def _actor(path: Path) -> str | None:
    """Return the class of the actor that a Ray worker's own log names in its first lines."""
    try:
        with path.open("rb") as file:
            found = ACTOR.search(file.read(HEAD))
    except OSError:  # removed meanwhile: the path still tells the process
        return None
    return found[1].decode() if found else None
