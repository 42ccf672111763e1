"""Exceptions and failed checks of C++ code, which print no Python traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from rldoctor.logs.failures import Failure, Link
from rldoctor.logs.rereading import Text
from rldoctor.types import LogLine

UNHANDLED: Final = "/Unhandled exception: \\w+\\. what\\(\\): /"
TERMINATE: Final = "terminate called after throwing an instance of"
CHECK: Final = "/[Cc]heck failed: \\S/"
PATTERNS: Final = (UNHANDLED, TERMINATE, CHECK)

RAYS: Final = re.compile(
    r"Unhandled exception: (?P<name>\w{1,200})\. what\(\): (?P<message>.{0,500}?)(?= /\S+\.so|$)"
)
INSTANCE: Final = re.compile(r"instance of '(?P<name>[^']{1,200})'")
WHAT: Final = re.compile(r"\s*what\(\):\s*(?P<message>.*)")
FAILED: Final = re.compile(r"[Cc]heck failed: (?P<message>.{1,1000})")
MANGLED: Final = re.compile(r"St\d{1,3}(\w{1,100})")
NEXT: Final = 4  # lines after which the words of an exception stand


def read_native(text: Text, hits: Mapping[str, tuple[LogLine, ...]]) -> Iterator[Failure]:
    """Yield the failures of C++ code that lines tell."""
    for line in hits.get(UNHANDLED, ()):
        found = RAYS.search(line.text)
        if found is not None:
            yield _failure(_plain(found["name"]), found["message"], line)
    for line in hits.get(TERMINATE, ()):
        found = INSTANCE.search(line.text)
        yield _failure(found["name"] if found else "C++ exception", _what(text, line), line)
    for line in hits.get(CHECK, ()):
        found = FAILED.search(line.text)
        if found is not None:
            yield _failure("check failed", found["message"], line)


def _what(text: Text, line: LogLine) -> str:
    """Return the words of an exception, which stand on one of the next lines of the same process."""
    for other in text.between(text.index[line.file], line.number + 1, line.number + NEXT):
        found = WHAT.match(other.text)
        if found is not None and other.who == line.who:
            return found["message"].strip()
    return ""


def _plain(name: str) -> str:
    """Return the name of a standard exception as people write it."""
    found = MANGLED.fullmatch(name)
    return f"std::{found[1]}" if found else name


def _failure(name: str, message: str, line: LogLine) -> Failure:
    return Failure((Link(name, message.strip(), line),), line.who, line)
