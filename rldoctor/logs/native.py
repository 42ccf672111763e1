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
UNCAUGHT: Final = "/terminating (?:due to|with) uncaught exception of type /"
CHECK: Final = "/[Cc]heck failed: \\S/"
LAST_WORDS: Final[Mapping[str, tuple[str, int]]] = {
    "/\\w\\.py: error: \\S/": ("arguments refused", 600),
    "/: command not found|\\b(?:sh|slurm_script): (?:line )?\\d+: .{1,120}: not found/": ("not found", 60),
    "/(?:: line \\d+|^(?:\\S{1,60}\\/)?(?:ba|da|z|k)?sh): .{1,200}: "
    "(?:No such file or directory|Permission denied|cannot execute)/": ("not run", 60),
    "/: line \\d+: (?:.{1,200}: unbound variable|syntax error )/": ("mistake in the script", 60),
    "/\\S: \\d+: (?:\\S{1,200}: )?(?:Syntax error: \\S|Bad substitution$|set: Illegal option )/": (
        "mistake in the script",
        60,
    ),
    "/python[\\d.]*: can't open file /": ("not found", 60),
    "/python[\\d.]*: (?:No module named|Error while finding module specification)/": ("not found", 60),
    "/: Assertion [`'].{1,300}' failed/": ("failed assertion", 200),
    "/^(?:double free or corruption|(?:free|malloc|realloc|munmap_chunk)\\(\\): )/": ("spoilt memory", 200),
    "/^(?:corrupted (?:size vs|double-linked)|\\*\\*\\* (?:stack smashing|buffer overflow) detected)/": (
        "spoilt memory",
        200,
    ),
}  # what a program says last: what it means, and how many lines may follow it
PATTERNS: Final = (UNHANDLED, TERMINATE, UNCAUGHT, CHECK, *LAST_WORDS)

RAYS: Final = re.compile(
    r"Unhandled exception: (?P<name>\w{1,200})\. what\(\): (?P<message>.{0,500}?)(?= /\S+\.so|$)"
)
OF_TYPE: Final = re.compile(r"uncaught exception of type (?P<name>[\w:<>, ]{1,200}?)(?:: (?P<message>.*))?$")
ON_ONE_LINE: Final = {UNHANDLED: RAYS, UNCAUGHT: OF_TYPE}
INSTANCE: Final = re.compile(r"instance of '(?P<name>[^']{1,200})'")
WHAT: Final = re.compile(r"\s*what\(\):\s*(?P<message>.*)")
FAILED: Final = re.compile(r"[Cc]heck failed: (?P<message>.{1,1000})")
MANGLED: Final = re.compile(r"St\d{1,3}(\w{1,100})")
TOLD_BEFORE: Final = ("c10::DistBackendError",)  # the watchdog has said why before it
NEXT: Final = 4  # lines after which the words of an exception stand


def read_native(text: Text, hits: Mapping[str, tuple[LogLine, ...]]) -> Iterator[Failure]:
    """Yield the failures of C++ code that lines tell."""
    for key, shape in ON_ONE_LINE.items():
        for line in hits.get(key, ()):
            found = shape.search(line.text)
            if found is not None:
                yield _failure(_plain(found["name"]), found["message"] or "", line)
    for line in hits.get(TERMINATE, ()):
        found = INSTANCE.search(line.text)
        message, told = _what(text, line)
        if message or found is None or found["name"] not in TOLD_BEFORE:
            yield _failure(found["name"] if found else "C++ exception", message, told, line)
    for line in hits.get(CHECK, ()):
        found = FAILED.search(line.text)
        if found is not None:
            yield _failure("check failed", found["message"], line)
    yield from _last_words(text, hits)


def _last_words(text: Text, hits: Mapping[str, tuple[LogLine, ...]]) -> Iterator[Failure]:
    """Yield what shells and programs say at the end of a log."""
    for pattern, (meaning, most) in LAST_WORDS.items():
        for line in hits.get(pattern, ()):
            if text.scan.lines[text.index[line.file]] - line.number <= most:
                before = text.between(text.index[line.file], line.number - 1, line.number - 1)
                yield _failure(
                    meaning, line.text, line, next(iter(before), None) if line.number > 1 else None
                )


def _what(text: Text, line: LogLine) -> tuple[str, LogLine]:
    """Return the words of an exception and where they stand: on one of the next lines of the same process."""
    for other in text.between(text.index[line.file], line.number + 1, line.number + NEXT):
        found = WHAT.match(other.text)
        if found is not None and other.who == line.who:
            return found["message"].strip(), other
    return "", line


def _plain(name: str) -> str:
    """Return the name of a standard exception as people write it."""
    found = MANGLED.fullmatch(name)
    return f"std::{found[1]}" if found else name


def _failure(name: str, message: str, line: LogLine, start: LogLine | None = None) -> Failure:
    return Failure((Link(name, message.strip(), line),), line.who, start or line)
