"""Two multi-pattern matchers with the same findings: hyperscan where it is installed, else RE2 sets."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

from rldoctor.logs.patterns import Pattern, options, refuse_empty

WINDOW: Final = 1 << 16
FORM: Final = 1  # to be raised when patterns are put before the matcher in another way


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
    """Hyperscan in block mode; compiled once, then read from the user's cache."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        import hyperscan

        self.count = len(patterns)
        self.found: list[tuple[int, int]] = []
        self.database: Any = None
        self.exact = True
        if patterns:
            self.database, self.exact = _database(hyperscan, tuple(patterns))
        # The callback must be a named method that stays alive: hyperscan keeps no reference of its own.
        self.callback = self._note

    def _note(self, pattern: int, _start: int, end: int, _flags: int, _context: object) -> None:
        self.found.append((end - 1, pattern))

    def scan(self, data: bytes) -> list[tuple[int, int]]:
        """Return (offset of the match's last byte, pattern index), sorted."""
        if self.database is None:
            return []
        self.found = []
        self.database.scan(data, match_event_handler=self.callback)
        self.found.sort()
        return self.found


@lru_cache(maxsize=4)
def _database(hyperscan: Any, patterns: tuple[Pattern, ...]) -> tuple[Any, bool]:
    """Return the compiled patterns, and whether hyperscan takes each of them as it is."""
    file = _cache_file(hyperscan, patterns)
    database = _load(hyperscan, file)
    if database is not None:
        return database, True
    refuse_empty(patterns)
    database, exact = _compile(hyperscan, [pattern.loose.encode() for pattern in patterns])
    if exact:
        _store(hyperscan, database, file)
    return database, exact


def _compile(hyperscan: Any, expressions: list[bytes]) -> tuple[Any, bool]:
    """Compile all expressions; those that are too much for hyperscan serve as filters before RE2."""
    exact = hyperscan.HS_FLAG_MULTILINE
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    numbers = list(range(len(expressions)))
    try:
        database.compile(expressions=expressions, ids=numbers, elements=len(expressions), flags=exact)
    except hyperscan.error:
        loose = exact | hyperscan.HS_FLAG_PREFILTER
        flags = [exact if _compiles(hyperscan, expression) else loose for expression in expressions]
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        database.compile(expressions=expressions, ids=numbers, elements=len(expressions), flags=flags)
        return database, False
    return database, True


def _compiles(hyperscan: Any, expression: bytes) -> bool:
    flags = hyperscan.HS_FLAG_MULTILINE
    try:
        hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK).compile(expressions=[expression], flags=flags)
    except hyperscan.error:
        return False
    return True


def _load(hyperscan: Any, file: Path) -> Any:
    """Return the database of the cache, or None; a spoiled or foreign one is made anew."""
    try:
        database = hyperscan.loadb(file.read_bytes(), hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
    except (OSError, hyperscan.error):
        return None
    return database


def _store(hyperscan: Any, database: Any, file: Path) -> None:
    """Write the database to the cache in one step; without a place to write there is no cache."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as temporary:
            temporary.write(hyperscan.dumpb(database))
        Path(temporary.name).replace(file)
    except OSError:
        return


def _cache_file(hyperscan: Any, patterns: Iterable[Pattern]) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    key = hashlib.sha256(f"{FORM} {hyperscan.__version__} {platform.machine()} {_cpu()}".encode())
    for pattern in patterns:
        text = pattern.key.encode()
        key.update(len(text).to_bytes(4, "little") + text)
    return Path(home, "rldoctor", f"patterns-{key.hexdigest()[:32]}.hs")


def _cpu() -> str:
    """Return the features of this CPU: a database made for others would not run."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


class Re2Matcher:
    """RE2 sets over windows first, over the lines of a window only where it has something."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        import re2

        refuse_empty(patterns)
        self.any, self.exact = bool(patterns), True
        self.set = re2.Set.SearchSet(options())
        for pattern in patterns:
            self.set.Add(pattern.loose.encode())
        if self.any:
            self.set.Compile()

    def scan(self, data: bytes) -> list[tuple[int, int]]:
        """Return (offset of the line's start, pattern index), sorted."""
        found: list[tuple[int, int]] = []
        start = 0
        while self.any and start < len(data):
            end = data.rfind(b"\n", start, start + WINDOW) + 1
            if end <= start:
                end = (data.find(b"\n", start) + 1) or len(data)
            if self.set.Match(data[start:end]):
                self._lines(data, start, end, found)
            start = end
        return found

    def _lines(self, data: bytes, start: int, end: int, found: list[tuple[int, int]]) -> None:
        while start < end:
            stop = (data.find(b"\n", start, end) + 1) or end
            found.extend((start, pattern) for pattern in sorted(self.set.Match(data[start:stop]) or ()))
            start = stop
