"""Signs that look like the shell's own and are others: dashes, quotes and spaces out of documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rldoctor.facts.slips import ARRAY, line_of, slip
from rldoctor.facts.walk import Facts
from rldoctor.types import Event

_DASH: Final = re.compile(r"(?:^|[\s(=])(-?[\u2010-\u2015\u2212\ufe58\uff0d][\u2010-\u2015\u2212-]?)[A-Za-z]")
_QUOTE: Final = re.compile(r"([\u201c-\u201f\u2018-\u201b])")
_SPACE: Final = re.compile(r"([\u00a0\u2000-\u200b\u202f\u3000])")
_WIDE: Final = re.compile(r"([\uff08\uff09\uff0c\uff1a\uff1b\uff1d])")
_ALIKE: Final = (
    (_DASH, "dash that is no hyphen"),
    (_QUOTE, "curly quote"),
    (_SPACE, "space that is none for bash"),
    (_WIDE, "full-width sign"),
)
_PLAIN: Final = str.maketrans(
    "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00a0\u202f\u3000\uff08\uff09\uff0c\uff1a\uff1b\uff1d",
    "\"\"\"\"''''   (),:;=",
)
_READ: Final = re.compile(rb"^[ \t]*(?:(?:export|declare|local|source|\.)[ \t]|\w+\+?=)[^\n]*", re.MULTILINE)
_QUOTED: Final = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|(?:(?<=\s)|^)#.*")


def look_alikes(path: str, data: bytes, facts: Facts) -> Iterator[Event]:
    """Yield the first line of each kind of sign that looks like one of the shell's own and is none."""
    places = [each.place for each in facts.world if each.place is not None and each.place.file == path]
    spans = [(place.start, place.end) for place in places]
    spans += [found.span() for pattern in (ARRAY, _READ) for found in pattern.finditer(data)]
    seen: set[str] = set()
    for start, end in sorted(spans):
        first = line_of(data, start)
        for number, line in enumerate(data[start:end].decode("utf-8", "replace").split("\n"), first):
            text = _QUOTED.sub("", line)
            for pattern, name in _ALIKE:
                found = None if text.isascii() or name in seen else pattern.search(text)
                if found is not None:
                    seen.add(name)
                    code = " ".join(f"U+{ord(sign):04X}" for sign in found[1] if not sign.isascii())
                    word = _around(line, line.index(found[1]))
                    says = f"A {name} ({code}) stands in {word}"
                    why = (
                        "It came from a document or a chat that replaces plain signs; the word is another one"
                    )
                    yield slip(word, says, why, f"Write {_plain(word, found[1])}", (path, number))


def _around(text: str, at: int) -> str:
    """Return the word of a line in which an offset lies."""
    start = text.rfind(" ", 0, at) + 1
    end = text.find(" ", at)
    return text[start : end if end >= 0 else len(text)].strip(" \t\r")


def _plain(word: str, sign: str) -> str:
    """Return a word in plain signs; a dash before a long option stands for two."""
    return word.replace(sign, "--") if _DASH.match(word) else word.translate(_PLAIN)
