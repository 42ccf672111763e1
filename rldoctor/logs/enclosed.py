"""Stacks that stand within one line, escaped or not: of JSON, of a value that a program has printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from rldoctor.logs.boxes import START
from rldoctor.types import LogLine

BREAK: Final = r"\n"  # as it is written within quotes
CLOSES: Final = {'"': re.compile(r'(?<!\\)"'), "'": re.compile(r"(?<!\\)'(?=\s*(?:[,}\])]|$))")}
SAMPLE: Final = re.compile(
    r"(?i)\b(?:role|content|completions?|responses?|observation|prompt|answer|std(?:out|err)|output|result)['\"]?\s?[:=]"
)  # what a tool gave back to a model, as rows of data tell it
ESCAPE: Final = re.compile(r"\\(.)")
MEANT: Final = {"n": "\n", "t": "\t"}


def unfolded(line: LogLine) -> Iterator[LogLine]:
    """Yield the lines that a line holds, all of its number: more than itself only around a whole stack."""
    text = line.text
    if START in text and BREAK in text and "\n" not in text:
        at = text.index(START)
        is_told = BREAK in text[at:] and not SAMPLE.search(text[:at])
        text = f"{text[:at]}\n{_opened(text[at:])}" if is_told else text
    if "\n" not in text or START not in text:
        yield line
        return
    yield from (replace(line, text=part) for part in text.split("\n"))


def told(text: str) -> str:
    """Return the one line that a text of several is quoted by: the exception of a stack, else its first."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if len(lines) < 2:
        return text.strip()
    return lines[-1 if START in text else 0].strip()


def _opened(text: str) -> str:
    """Return a stack without its escapes, up to where the quotes end that hold it."""
    if text[text.index(BREAK) - 1] == "\\":  # quotes within quotes
        text = _plain(text)
    end = CLOSES["'" if 'File "' in text else '"'].search(text)
    return _plain(text[: end.start()] if end else text)


def _plain(text: str) -> str:
    return ESCAPE.sub(lambda found: MEANT.get(found[1], found[1]), text)
