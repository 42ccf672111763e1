"""The names that a failing line and its message tell: attributes of a configuration, flags, words of keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

LONGEST: Final = 600  # characters of a message or of a line of code that are looked at
MOST: Final = 6  # names: a text with more of them is a list, and speaks of none of them
MOST_WORDS: Final = 5
_CHAIN: Final = (
    r"(?<![\w.\])\"'])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[[\"'][\w.-]{1,80}[\"']\]|\.get\([\"'][\w.-]{1,80}[\"'][^()]{0,40}\))+"
    r"(?![\w(])"
)
_LOCAL: Final = r"(?<![\w.\"'])[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![\w.(\[])"
_WORD_OF_CHAIN: Final = r"\.get\([\"']([\w.-]+)|\[[\"']([\w.-]+)|\.?([A-Za-z_]\w*)"
_OPTIONS: Final = r"(?:\w*_)?(?:args?|config|cfg|conf|hparams|opts?|options|params)"
_SAID: Final = (
    r"(?<![\w-])(?:VLLM|SGLANG|NCCL|TORCH|PYTORCH|CUDA|HF|RAY|TRITON|MASTER|NVTE|TRANSFORMERS|GLOO|FLASHINFER|OMP|HCCL)"
    r"_(?!ERROR|SUCCESS|CALL|CHECK|WARN|DEBUG|LOG|LAUNCH|USE_\w+_DSA)[A-Z0-9_]{3,60}\b(?![./(=])"
    r"|(?<![\w-])--(?:no-)?[A-Za-z][\w.-]*\w|(?<![\w./-])\+?[a-z]\w*(?:\.[a-z_]\w*)+(?![\w/(])"
    r"|(?<![\w./-])[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![\w/(.])|(?<![\w./-])[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?=\.(?:\s|$))"
)
_CLAUSE: Final = r"[.;:!?()\[\]{}\"'`=<>%,/|_\n]|\b(?:and|or|by|than|to|is|the|must|should|be|of|in)\b"
_PLAIN: Final = r"(?<![\w.])[A-Za-z][A-Za-z0-9]*(?!\w)"
_INSTEAD_OF: Final = r"\b(?:instead of|rather than|in place of)(?: \w+){0,3} [`'\"]?$"
_NUMBER: Final = (
    r"[`'\")]{0,2} ?(?:[(=:]|==|is(?: set to)?|of|was|got|value)? ?[=:(]? ?"
    r"(?P<number>-?\d{1,12}(?:\.\d{1,9})?)(?![\w.%]\w)"
)


class Name(Struct, frozen=True):
    """A name as a text tells it: its words from the configuration on, where it stands, its number there.

    ``sure``: it is an attribute of what holds options, or a flag, and no local variable.
    """

    path: tuple[str, ...]
    start: int
    end: int
    number: float | None = None
    sure: bool = False


def in_code(code: str) -> tuple[Name, ...]:
    """Return the names of a line of code in their order."""
    code = code[:LONGEST]
    found = list(_chains(code))
    taken = [(name.start, name.end) for name in found]
    for match in re.finditer(_LOCAL, code):
        if not any(start <= match.start() < end for start, end in taken):
            found.append(Name((match[0],), *match.span()))
    return tuple(sorted(found, key=lambda name: name.start))


def in_message(message: str, is_known: Callable[[str], bool]) -> tuple[Name, ...]:
    """Return the names of a message in their order; known ones also where they are written as words."""
    text = message[:LONGEST]
    found = [
        _said(match, text) for match in re.finditer(_SAID, text) if not _is_replaced(text, match.start())
    ]
    taken = [(name.start, name.end) for name in found]
    for name in _as_words(text, is_known):
        if not any(start < name.end and name.start < end for start, end in taken):
            found.append(name)
            taken.append((name.start, name.end))
    if len({name.path for name in found}) > MOST:
        return ()
    return tuple(sorted(found, key=lambda name: name.start))


def _chains(code: str) -> Iterator[Name]:
    """Yield attributes of what holds options: ``self.config.actor.x`` is ``config.actor.x``."""
    for match in re.finditer(_CHAIN, code):
        words = ["".join(word) for word in re.findall(_WORD_OF_CHAIN, match[0])]
        path = [part for word in words for part in word.replace("-", "_").split(".")]
        holder = next((n for n, word in enumerate(path[:-1]) if re.fullmatch(_OPTIONS, word)), None)
        if holder is not None:
            yield Name(tuple(path[holder:]), *match.span(), sure=True)
        elif path[0] == "self" and "_" in path[-1]:
            yield Name(tuple(path[1:]), *match.span())


def _said(match: re.Match[str], text: str) -> Name:
    words = tuple(match[0].lstrip("-+").replace("-", "_").split("."))
    sure = match[0].startswith("--") or match[0].isupper()
    return Name(words, *match.span(), _number(text, match.end()), sure)


def _is_replaced(text: str, start: int) -> bool:
    """Say whether a name is told as what to give up for another."""
    return re.search(_INSTEAD_OF, text[max(0, start - 40) : start]) is not None


def _as_words(text: str, is_known: Callable[[str], bool]) -> Iterator[Name]:
    """Yield known names that are written as words, the longest first: *tensor parallel size*."""
    breaks = [0, *(end for match in re.finditer(_CLAUSE, text) for end in match.span()), len(text)]
    for start, end in pairwise(breaks):
        words = list(re.compile(_PLAIN).finditer(text, start, end))
        for length in range(min(MOST_WORDS, len(words)), 1, -1):
            for first in range(len(words) - length + 1):
                some = words[first : first + length]
                name = "_".join(word[0].lower() for word in some).replace("_parallelism", "_parallel_size")
                if _in_a_row(text, some) and is_known(name):
                    last = some[-1].end()
                    yield Name((name,), some[0].start(), last, _number(text, last))


def _in_a_row(text: str, words: Sequence[re.Match[str]]) -> bool:
    """Say whether no more than a blank or a hyphen stands between words."""
    return all(text[one.end() : other.start()] in (" ", "-") for one, other in pairwise(words))


def _number(text: str, at: int) -> float | None:
    """Return the number that a text gives right behind a name."""
    found = re.compile(_NUMBER).match(text, at)
    return float(found["number"]) if found else None
