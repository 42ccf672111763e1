"""Which lines of a pasted text a person wrote: sentences beside the fences of a page, or about a bare log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from rldoctor.types import LogLine

PROSE: Final = (
    r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]{2}"
    r"|(?i:\b(?:i|my|we|this|that|but|what|why|how|please|anyone|does|there|when|then|because|thanks?)\b.{0,200}){2}"
    r"|^\s{0,8}[*•-] \*{0,2}[A-Z][a-z]+(?: [\w“”\"()’'./,%-]+){4,}[.:;)]?\*{0,2}\s*$"
)
PRINTED: Final = (
    r"\d\d:\d\d:\d\d|\d%\||\b(?:INFO|DEBUG|WARN(?:ING)?|ERROR)\b|^\s*[{\[(]|pid=\d|\w\.py\b|\w=\w|['\"]:"
)
FENCE: Final = re.compile(r"\s{0,3}(?:```|~~~)")  # of the Markdown around a pasted log
LONGEST_WORDS: Final = 200
PARAGRAPH: Final = 800  # characters of a line outside of all fences
EDGE: Final = 4  # lines at the beginning and at the end of a text without fences in which a person speaks
LONG_SENTENCE: Final = 9  # spaces
OPENS: Final = (":", ".", "?", ",", "：", "。", "？")  # how the first line of a page ends
ASIDE: Final = r"https?://\S+|`[^`]{1,80}`"  # addresses of pages, and code within a sentence
SENTENCE: Final = r"[A-Za-z'’]+(?: [\w'’\"`(),/%.~-]+){3}|[\u4e00-\u9fff]{4}"


def is_prose(text: str, longest: int = LONGEST_WORDS) -> bool:
    """Say whether a line is a person's sentence, not a program's."""
    return len(text) <= longest and re.search(PROSE, text) is not None and not is_printed(text)


def is_printed(text: str) -> bool:
    """Say whether a line looks like a program's, addresses of pages and quoted code aside."""
    return re.search(PRINTED, re.sub(ASIDE, "", text) if "://" in text or "`" in text else text) is not None


def words_beside(lines: Sequence[LogLine]) -> Iterator[LogLine]:
    """Yield the lines that a person wrote about what is pasted: outside of fences, else at its edges."""
    fences = sum(FENCE.match(line.text) is not None for line in lines)
    if not fences:
        said = [line for line in lines if line.text.strip()]
        told = {line.number: line for line in spoken_lines(said, EDGE)}
        for line in told.values():
            heads = line is said[0] and _is_sentence(line.text)
            if heads or is_prose(line.text, PARAGRAPH) or _is_long(line.text):
                yield line
        return
    inside = fences % 2 == 1  # the first was opened before these lines
    for line in lines:
        if FENCE.match(line.text):
            inside = not inside
        elif not inside and _is_sentence(line.text):
            yield line


def spoken_lines(said: Sequence[LogLine], edge: int) -> list[LogLine]:
    """Return the lines in which a person may speak: those at the edges, all of a page that begins so."""
    edges = [*said[:edge], *said[-edge:]]
    opens = said and _is_sentence(said[0].text) and said[0].text.rstrip().endswith(OPENS)
    return [line for line in said if line in edges or _is_long(line.text)] if opens else edges


def _is_long(text: str) -> bool:
    """Say whether a line is a sentence of so many words that hardly a program prints it."""
    return _is_sentence(text) and text.count(" ") >= LONG_SENTENCE


def _is_sentence(text: str) -> bool:
    return len(text) <= PARAGRAPH and re.search(SENTENCE, text) is not None and not is_printed(text)
