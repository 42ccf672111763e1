"""The machine that a launch script tells in its own comments or scheduler lines, where nothing else does."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

USUAL_NODE: Final = 8
LINES: Final = 200
_NAMES: Final = r"(?:GPUs?|[HABL]\d{2,3}\w*|GB\d{3}|MI\d{3}\w*|910[BC]\w*|NPUs?)"
_PRODUCT: Final = re.compile(rf"\b(\d{{1,4}})\s*[x×*]\s*{_NAMES}\b")
_NODES: Final = re.compile(
    rf"\b(\d{{1,4}})\s*(?:nodes?\s*)?[x×*]\s*(\d{{1,2}})\s*[x×*]?\s*{_NAMES}\b", re.IGNORECASE
)
_SBATCH_NODES: Final = re.compile(r"^#SBATCH\s+(?:--nodes[= ]|-N\s*)(\d{1,4})\b")
_SBATCH_GPUS: Final = re.compile(
    r"^#SBATCH\s+--(?:gres[= ]gpu|gpus-per-node[= ]?)(?:[:=]?[A-Za-z]\w*)?:?(\d{1,2})\b"
)


class Machine(Struct, frozen=True):
    """GPUs of a node and nodes, with the line that says so."""

    gpus: int
    nodes: int
    line: int
    text: str


def told_in(data: bytes) -> Machine | None:
    """Return the machine that the head of a script tells; of two that differ, none."""
    lines = data.decode("utf-8", "replace").splitlines()[:LINES]
    comments = [
        (number, line.strip()) for number, line in enumerate(lines, 1) if line.lstrip().startswith("#")
    ]
    asked = _scheduled(comments)
    if asked is not None:
        return asked
    found = [machine for number, line in comments if (machine := _said(number, line)) is not None]
    return found[0] if len({(each.gpus, each.nodes) for each in found}) == 1 else None


def _scheduled(comments: list[tuple[int, str]]) -> Machine | None:
    """Return what is asked of Slurm: nodes, and GPUs of each."""
    gpus = next(((n, line, int(m[1])) for n, line in comments if (m := _SBATCH_GPUS.match(line))), None)
    nodes = next((int(m[1]) for _, line in comments if (m := _SBATCH_NODES.match(line))), 1)
    return Machine(gpus[2], nodes, gpus[0], gpus[1]) if gpus is not None and gpus[2] and nodes else None


def _said(number: int, line: str) -> Machine | None:
    """Return the machine of a comment such as ``Tested on 8xH20``; of 32 GPUs each node has eight."""
    both = _NODES.search(line)
    if both is not None and int(both[1]) and int(both[2]):
        return Machine(int(both[2]), int(both[1]), number, line)
    found = _PRODUCT.search(line)
    count = int(found[1]) if found is not None else 0
    if not count:
        return None
    if count <= USUAL_NODE:
        return Machine(count, 1, number, line)
    return Machine(USUAL_NODE, count // USUAL_NODE, number, line) if count % USUAL_NODE == 0 else None
