"""Comments that answer a finding where it stands: ``# rldoctor: ignore[rule] reason``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from rldoctor.types import Finding

MARK: Final = b"rldoctor:"
_COMMENT: Final = re.compile(r"#\s*rldoctor:\s*ignore\b(?:\[(?P<rules>[^\]]*)\])?[ \t:]*(?P<reason>.*)")


class Comment(Struct, frozen=True):
    """An ignore comment at ``line`` of a file, for lines ``first`` to ``last``, counted from 1."""

    file: str
    line: int
    text: str
    rules: tuple[str, ...]
    reason: str
    first: int
    last: int

    def covers(self, finding: Finding) -> bool:
        """Say whether a finding is of these rules and shows a line here, or has no line anywhere."""
        if finding.rule not in self.rules:
            return False
        places = [(piece.file, piece.line) for piece in finding.evidence if piece.file and piece.line]
        here = any(file == self.file and self.first <= (line or 0) <= self.last for file, line in places)
        return here or (not places and finding.subject == self.file)


def comments(file: str, data: bytes) -> Iterator[Comment]:
    """Yield the ignore comments of a script or YAML file."""
    if MARK not in data:
        return
    lines = data.decode("utf-8", "replace").split("\n")
    for number, line in enumerate(lines, start=1):
        found = _COMMENT.search(line)
        if found is None:
            continue
        rules = tuple(word.strip() for word in (found["rules"] or "").split(",") if word.strip())
        alone = not line[: found.start()].strip()
        first, last = _reach(lines, _next(lines, number) if alone else number)
        yield Comment(file, number, found[0].strip(), rules, found["reason"].strip(), first, last)


def _next(lines: list[str], number: int) -> int:
    """Return the first line below a comment that is neither blank nor a comment."""
    for below in range(number + 1, len(lines) + 1):
        text = lines[below - 1].strip()
        if text and not text.startswith("#"):
            return below
    return number


def _reach(lines: list[str], number: int) -> tuple[int, int]:
    """Return the first and last line of the command that a line belongs to, by its continuations."""
    first = last = number
    while first > 1 and _goes_on(lines[first - 2]):
        first -= 1
    while last < len(lines) and _goes_on(lines[last - 1]):
        last += 1
    return first, last


def _goes_on(line: str) -> bool:
    text = line.rstrip("\r")
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1
