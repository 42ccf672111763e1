"""``.rldoctor.yaml``: what holds for a project — releases, facts, and findings that are answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor import dialects
from rldoctor.facts import ToldFacts
from rldoctor.facts.told import typed
from rldoctor.rules import marked
from rldoctor.rules.reader import Reader
from rldoctor.types import Finding, RLDoctorError

NAME: Final = ".rldoctor.yaml"
KEYS: Final = ("versions", "set", "suppress")
ENTRY: Final = ("rule", "reason", "until", "paths")
MOST_BYTES: Final = 1_000_000
ENGINES: Final = ("vllm", "sglang", "ray", "torchrun")


class ProjectErrors(RLDoctorError):
    """Every mistake of a project's file, in its order."""


class Entry(Struct, frozen=True):
    """One answered rule: why, until when (a day, ISO), and for which files."""

    rule: str
    reason: str
    line: int
    until: str | None = None
    paths: tuple[str, ...] = ()

    def expired(self, today: date) -> bool:
        """Say whether the day until which it holds is over."""
        return self.until is not None and date.fromisoformat(self.until) < today


class Project(Struct, frozen=True):
    """What a project's file says."""

    file: str
    versions: Mapping[str, str] = {}
    set: Mapping[str, str] = {}
    suppress: tuple[Entry, ...] = ()

    def entry_for(self, finding: Finding, today: date) -> Entry | None:
        """Return the entry that answers a finding: one that still holds before one that is over."""
        mine = [each for each in self.suppress if each.rule == finding.rule and self._is_for(each, finding)]
        return min(mine, key=lambda each: each.expired(today), default=None)

    def _is_for(self, entry: Entry, finding: Finding) -> bool:
        if not entry.paths:
            return True
        files = {finding.subject, *(piece.file for piece in finding.evidence if piece.file)}
        names = [name for file in files if (name := self._relative(file)) is not None]
        return any(_matches(name, pattern) for name in names for pattern in entry.paths)

    def _relative(self, file: str) -> str | None:
        path, root = Path(file).absolute(), Path(self.file).absolute().parent
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else None

    def told(self, told: ToldFacts) -> ToldFacts:
        """Return what a person told, and below it what the project says."""
        versions = {
            system: version
            for system, version in self.versions.items()
            if "" not in told.versions or system in ENGINES
        }
        return replace(told, set={**self.set, **told.set}, versions={**versions, **told.versions})

    def note(self) -> str:
        """Return one line on the facts it tells; empty if none."""
        said = [f"{system} {version}" for system, version in self.versions.items()]
        said += [f"{name}={value}" for name, value in self.set.items()]
        return f"{self.file} tells {', '.join(said)}" if said else ""


def _matches(name: str, pattern: str) -> bool:
    plain = pattern.removeprefix("./").rstrip("/")
    return fnmatchcase(name, plain) or name.startswith(f"{plain}/")


def read(folder: Path, rules: Collection[str]) -> Project:
    """Return what the project's file of a folder says."""
    file = folder / NAME
    stat = file.stat()
    return _loaded(_shown(file), (stat.st_mtime_ns, stat.st_size), tuple(rules))


def _shown(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)


@lru_cache(maxsize=64)
def _loaded(file: str, stamp: tuple[int, int], rules: tuple[str, ...]) -> Project:
    if stamp[1] > MOST_BYTES:
        raise RLDoctorError("a project's file may have 1 MB", file=file)
    return load(file, Path(file).read_bytes(), rules)


def load(file: str, data: bytes, rules: Collection[str]) -> Project:
    """Return what a project's file says; ProjectErrors with all its mistakes, each with its place."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RLDoctorError(f"not UTF-8: {error.reason}", file=file) from error
    node = marked.compose(text, file)
    if node is None:
        return Project(file)
    reader = Reader(file, text.splitlines())
    fields = reader.fields(node, "a project's file", KEYS)
    versions = (
        reader.table(fields["versions"], "versions", "system", dialects.NAMES) if "versions" in fields else {}
    )
    project = Project(
        file,
        {system: reader.text(version) for system, version in versions.items()},
        _facts(reader, fields["set"]) if "set" in fields else {},
        _entries(reader, fields["suppress"], rules) if "suppress" in fields else (),
    )
    mistakes = reader.in_place()
    if mistakes:
        raise ProjectErrors("\n".join(str(mistake) for mistake in mistakes))
    return project


def _facts(reader: Reader, node: marked.Node) -> dict[str, str]:
    told: dict[str, str] = {}
    for name, value in reader.table(node, "set", "concept", None).items():
        text = reader.text(value)
        try:
            typed({name: text})
        except RLDoctorError as error:  # the place is known here alone
            reader.note(error.message, value)
        told[name] = text
    return told


def _entries(reader: Reader, node: marked.Node, rules: Collection[str]) -> tuple[Entry, ...]:
    found = [_entry(reader, item, rules) for item in reader.items(node, "suppress")]
    return tuple(entry for entry in found if entry is not None)


def _entry(reader: Reader, node: marked.Node, rules: Collection[str]) -> Entry | None:
    fields: dict[str, Any] = reader.fields(node, "a suppression", ENTRY, ("rule", "reason"))
    if "rule" not in fields or "reason" not in fields:
        return None
    until = reader.text(fields["until"]) if "until" in fields else None
    if until and not _is_day(until):
        reader.note(f"{until} is no day, write it as 2026-12-31", fields["until"])
    return Entry(
        reader.word(fields["rule"], "rule", rules),
        reader.text(fields["reason"]),
        node.start_mark.line + 1,
        until,
        reader.texts(fields["paths"], "paths") if "paths" in fields else (),
    )


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
