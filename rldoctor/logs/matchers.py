"""Two multi-pattern matchers with the same findings: hyperscan where it is installed, else RE2 sets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from rldoctor import compiled
from rldoctor.logs.patterns import Pattern, options, refuse_empty
from rldoctor.logs.pieces import Piece, choose
from rldoctor.logs.required import required

SIZE: Final = 8  # bytes of the length that stands before each part of a cache file and behind all
# Two bytes that no log has. A text so short makes hyperscan look at each offset instead of each second, which
# for pieces as alike as words are leaves far fewer places to look at closely: a third less time in all.
NEVER: Final = b"\\x01\\x02"
FORM: Final = 7  # to be raised when patterns are put before the matcher in another way


class Matcher(Protocol):
    """Finds where patterns may stand in a piece of text; the caller looks at the lines."""

    exact: bool

    def scan(self, data: bytes) -> list[tuple[int, int]]:
        """Return (offset inside the matching line, pattern index) in order of offsets."""


def build(patterns: Sequence[Pattern], prefer: str = "hyperscan") -> Matcher:
    """Return the fastest matcher that this machine has."""
    if prefer == "hyperscan":
        try:
            return HyperscanMatcher(patterns)
        except ImportError:
            pass
    return Re2Matcher(patterns)


class HyperscanMatcher:
    """Hyperscan in block mode, in two looks; compiled once, then read from the user's cache.

    The first look finds the lines that hold a piece of some pattern, the second the patterns on these lines.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        import hyperscan

        self.ends: list[int] = []
        self.found: list[tuple[int, int]] = []
        self.looks: _Looks | None = None
        self.exact = True
        if patterns:
            self.looks = _looks(hyperscan, tuple(patterns))
            self.exact = self.looks.exact
        # The callbacks must be named methods that stay alive: hyperscan keeps no reference of its own.
        self.suspect, self.note = self._suspect, self._note

    def _suspect(self, _piece: int, _start: int, end: int, _flags: int, _context: object) -> None:
        self.ends.append(end - 1)

    def _note(self, pattern: int, _start: int, end: int, _flags: int, _context: object) -> None:
        self.found.append((end - 1, pattern))

    def scan(self, data: bytes) -> list[tuple[int, int]]:
        """Return (offset of the match's last byte, pattern index), sorted."""
        if self.looks is None:
            return []
        self.ends = []
        for database in self.looks.first:
            database.scan(data, match_event_handler=self.suspect)
        spans = _lines_of(data, self.ends)
        if 2 * sum(end - start for start, end in spans) > len(data):
            return self._look(data)
        found = self._look(b"".join([data[start:end] for start, end in spans])) if spans else []
        return _moved(found, spans)

    def _look(self, data: bytes) -> list[tuple[int, int]]:
        assert self.looks is not None
        self.found = []
        self.looks.second.scan(data, match_event_handler=self.note)
        self.found.sort()
        return self.found


def _lines_of(data: bytes, offsets: list[int]) -> list[tuple[int, int]]:
    """Return start and end (behind the line break) of the lines in which the offsets are, each once."""
    spans: list[tuple[int, int]] = []
    end = 0
    for offset in sorted(offsets):
        if offset >= end:
            start = data.rfind(b"\n", end, offset) + 1 or end
            end = data.find(b"\n", offset) + 1 or len(data)
            spans.append((start, end))
    return spans


def _moved(found: list[tuple[int, int]], spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return matches in the joined pieces of a text as matches in the text."""
    moved: list[tuple[int, int]] = []
    at, shift, stop = -1, 0, 0  # of the piece at hand: text offset minus joined offset, joined end
    for offset, pattern in found:
        while offset >= stop:
            at += 1
            start, end = spans[at]
            shift = start - stop
            stop += end - start
        moved.append((offset + shift, pattern))
    return moved


class _Looks(NamedTuple):
    """The compiled pieces and patterns, and whether hyperscan takes each pattern as it is."""

    first: tuple[Any, ...]
    second: Any
    exact: bool


@lru_cache(maxsize=4)
def _looks(hyperscan: Any, patterns: tuple[Pattern, ...]) -> _Looks:
    key = _key(hyperscan, patterns)
    kept = _load(hyperscan, key)
    if kept:
        return _Looks(tuple(kept[:-1]), kept[-1], True)
    refuse_empty(patterns)
    expressions = [pattern.loose.encode() for pattern in patterns]
    first = _compile_pieces(hyperscan, expressions)
    second, exact = _compile(hyperscan, expressions)
    if exact:
        _store(hyperscan, (*first, second), key)
    return _Looks(first, second, exact)


def _compile_pieces(hyperscan: Any, expressions: Iterable[bytes]) -> tuple[Any, ...]:
    """Compile what is looked for first: pieces, and the expressions of which no piece is known.

    Few short or caseless pieces cost as much as a thousand long ones if they stand in one database with them.
    """
    pieces, unknown = _pieces(expressions)
    long = [NEVER, *(_literal(piece.text) for piece in pieces if piece.is_long)]
    short = [(_literal(piece.text), piece.caseless) for piece in pieces if not piece.is_long]
    flags = [hyperscan.HS_FLAG_CASELESS * caseless for _, caseless in short]
    flags += [hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_PREFILTER] * len(unknown)
    others = [NEVER, *(text for text, _ in short), *unknown]
    first = _database(hyperscan, long, [0] * len(long))
    return (first, _database(hyperscan, others, [0, *flags])) if len(others) > 1 else (first,)


def _pieces(expressions: Iterable[bytes]) -> tuple[list[Piece], list[bytes]]:
    """Return pieces of which each match holds one, and the expressions of which none is known."""
    texts, unknown = set[Piece](), list[bytes]()
    for expression in expressions:
        some = required(expression)
        texts |= some or set()
        unknown += [expression] if some is None else []
    return sorted(choose(texts)), unknown


def _database(hyperscan: Any, expressions: Sequence[bytes], flags: Sequence[int]) -> Any:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    numbers = list(range(len(expressions)))
    database.compile(expressions=expressions, ids=numbers, elements=len(numbers), flags=flags)
    return database


def _literal(text: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in text)


def _compile(hyperscan: Any, expressions: list[bytes]) -> tuple[Any, bool]:
    """Compile all expressions; those that are too much for hyperscan serve as filters before RE2."""
    exact = hyperscan.HS_FLAG_MULTILINE
    try:
        return _database(hyperscan, expressions, [exact] * len(expressions)), True
    except hyperscan.error:
        loose = exact | hyperscan.HS_FLAG_PREFILTER
        flags = [exact if _compiles(hyperscan, expression) else loose for expression in expressions]
        return _database(hyperscan, expressions, flags), False


def _compiles(hyperscan: Any, expression: bytes) -> bool:
    try:
        _database(hyperscan, [expression], [hyperscan.HS_FLAG_MULTILINE])
    except hyperscan.error:
        return False
    return True


def _load(hyperscan: Any, key: bytes) -> list[Any]:
    """Return the databases that the cache holds for a key, or none; spoiled or foreign ones are made anew."""
    found: list[Any] = []
    with suppress(OSError, hyperscan.error):
        data = memoryview(_cache_file(key).read_bytes())
        parts = list(_parts(data))
        if parts and parts[0] == key:
            for part in parts[1:]:
                database = hyperscan.loadb(bytes(part), hyperscan.HS_MODE_BLOCK)
                database.scratch = hyperscan.Scratch(database)
                found.append(database)
            return found
    return []


def _parts(data: memoryview) -> Iterator[memoryview]:
    """Yield the parts of a cache file, each behind its length; nothing of a file that is not whole."""
    whole = len(data) - SIZE
    if whole < 0 or int.from_bytes(data[whole:], "little") != whole:
        return
    at = 0
    while at < whole:
        end = at + SIZE + int.from_bytes(data[at : at + SIZE], "little")
        yield data[at + SIZE : end]
        at = end


def _store(hyperscan: Any, databases: Iterable[Any], key: bytes) -> None:
    """Write the databases to the cache in one step; without a place to write there is no cache."""
    parts = (key, *map(hyperscan.dumpb, databases))
    data = b"".join(len(part).to_bytes(SIZE, "little") + part for part in parts)
    with suppress(OSError):
        compiled.write_atomically(_cache_file(key), data + len(data).to_bytes(SIZE, "little"))


def _cache_file(key: bytes) -> Path:
    return compiled.cache_folder() / f"patterns-{compiled.digest(key.decode())}.hs"


def _key(hyperscan: Any, patterns: Iterable[Pattern]) -> bytes:
    """Return all that a database depends on."""
    about = (str(FORM), str(hyperscan.__version__), os.uname().machine, _cpu())
    return "\n".join((*about, *(pattern.key for pattern in patterns))).encode()


def _cpu() -> str:
    """Return the features of this CPU: a database made for others would not run."""
    try:
        with Path("/proc/cpuinfo").open(errors="replace") as lines:
            return next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        return ""


class Re2Matcher:
    """RE2 in two looks: an expression of all pieces over the text, a set of the patterns over lines."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        import re2

        self.exact, self.first, self.set = True, None, re2.Set.SearchSet(options())
        if not patterns:
            return
        self.first = re2.compile(b"|".join(_first_look(patterns)), options())
        for pattern in patterns:
            self.set.Add(pattern.loose.encode())
        self.set.Compile()

    def scan(self, data: bytes) -> list[tuple[int, int]]:
        """Return (offset of the line's start, pattern index), sorted."""
        found: list[tuple[int, int]] = []
        at = 0
        while self.first is not None and (hit := self.first.search(data, at)) is not None:
            start = data.rfind(b"\n", at, hit.start()) + 1 or at
            at = data.find(b"\n", hit.end() - 1) + 1 or len(data)
            self._lines(data, start, at, found)
        return found

    def _lines(self, data: bytes, start: int, end: int, found: list[tuple[int, int]]) -> None:
        while start < end:
            stop = (data.find(b"\n", start, end) + 1) or end
            found.extend((start, pattern) for pattern in sorted(self.set.Match(data[start:stop]) or ()))
            start = stop


def _first_look(patterns: Sequence[Pattern]) -> list[bytes]:
    """Return pieces, and patterns of which none is known, as expressions; kept: choosing takes a second."""

    def build() -> dict[str, Any]:
        refuse_empty(patterns)
        pieces, unknown = _pieces(pattern.loose.encode() for pattern in patterns)
        parts = [b"(?i:%s)" % _literal(text) if caseless else _literal(text) for text, caseless in pieces]
        return {compiled.WHOLE: [part.decode("latin-1") for part in (*parts, *unknown)]}

    stamp = compiled.digest("\n".join((str(FORM), *(pattern.key for pattern in patterns))))
    found = compiled.twin("pieces", lambda: stamp, build, ship=False).part(compiled.WHOLE)
    return [part.encode("latin-1") for part in found]
