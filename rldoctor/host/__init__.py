"""``rldoctor host``: the machine as a run will find it, one status a line. It looks and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import to_builtins

from rldoctor.host import clock, disks, facts, gpus, kernel, limits, network, versions
from rldoctor.host.lines import Asked, Line
from rldoctor.report.redact import redact, redact_all

VERSION: Final = 1
LOUD: Final = ("error", "warning")


def examine(asked: Asked) -> tuple[Line, ...]:
    """Return what there is to say of this machine, in the order of what it is made of."""
    cards = tuple(gpus.lines())
    cuda = next((str(each.values["cuda"]) for each in cards if "cuda" in each.values), None)
    parts: Sequence[Iterable[Line]] = (
        cards,
        kernel.lines(),
        limits.lines(),
        disks.lines(asked.checkpoints),
        network.lines(asked.ports),
        clock.lines(),
        versions.lines(cuda),
    )
    return tuple(line for part in parts for line in part)


def as_text(lines: Sequence[Line]) -> str:
    """Return one status a line, what to do below it, and a last line that counts."""
    return redact("\n".join(_told(lines)) + "\n")


def _told(lines: Sequence[Line]) -> Iterator[str]:
    for line in lines:
        yield f"{line.status:<8} {line.topic}: {line.text}"
        if line.hint and line.status != "ok":
            yield f"{'':<8}   {line.hint}"
    yield summary(lines)


def summary(lines: Sequence[Line]) -> str:
    """Return one sentence on the machine."""
    counts = {word: sum(line.status == word for line in lines) for word in LOUD}
    told = [f"{count} {word}{'s' * (count != 1)}" for word, count in counts.items() if count]
    return f"{', '.join(told)}." if told else "Nothing stands in the way of a run here."


def as_json(lines: Sequence[Line]) -> str:
    """Return the report of the machine as docs/contracts/host.md says."""
    report: dict[str, Any] = {
        "version": VERSION,
        "command": "host",
        "summary": summary(lines),
        "lines": [to_builtins(each) for each in lines],
        "facts": facts.of_lines(lines),
    }
    return json.dumps(redact_all(report), ensure_ascii=False, indent=2)


def is_loud(lines: Iterable[Line]) -> bool:
    """Say whether anything stands in the way of a run."""
    return any(line.status in LOUD for line in lines)
