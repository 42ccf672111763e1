"""The valid keys of a system's releases: what each is, and since when until when it exists.

``catalogue.json`` is written by ``python -m scripts.catalogues`` from checkouts; it is read when a key is
asked for, that of the system in use alone. Which releases and roots (a configuration, a parser) know a key
stands there as bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from rldoctor.dialects.versions import version_key
from rldoctor.types import UNKNOWN

FILE: Final = "catalogue.json"
SECTION: Final = "section"
MANDATORY: Final = {"=": "MISSING"}
_FOLDER: Final = Path(__file__).parent


class Known(Struct, frozen=True):
    """What a release says of a key. ``default`` is UNKNOWN where code computes it, or users must."""

    type: str
    default: Any = None
    choices: tuple[Any, ...] = ()
    mandatory: bool = False

    @property
    def kind(self) -> str:
        """Return the type without the mark for None."""
        return self.type.removesuffix("?")

    @property
    def optional(self) -> bool:
        """Say whether None is a value of its own."""
        return self.type.endswith("?") or self.default is None or self.kind == "any"


class Rename(Struct, frozen=True):
    """What people wrote down of a key that has another name, or none.

    With ``value`` it is about that value of the key, refused since the release ``until``.
    """

    old: str
    new: tuple[str, ...] = ()
    value: str | None = None
    until: str | None = None
    why: str = ""


class Shipped(Struct, frozen=True):
    """The file as it is written; what stands behind a key is read when the key is asked for."""

    system: str
    releases: tuple[str, ...]
    roots: tuple[str, ...]
    entries: tuple[tuple[str, str, int], ...]
    renames: tuple[Rename, ...]
    scopes: tuple[tuple[tuple[int, int], ...], ...]
    keys: dict[str, msgspec.Raw]


Row = Sequence[Any]


class Catalogue:
    """The keys of one system in all its releases, oldest first."""

    def __init__(self, shipped: Shipped) -> None:
        self.system, self.releases, self.roots = shipped.system, shipped.releases, shipped.roots
        self.entries, self.renames = shipped.entries, shipped.renames
        self.bits = {name: 1 << number for number, name in enumerate(shipped.releases)}
        self._shipped = shipped
        self._rows: dict[str, list[Row]] = {}
        self._known: dict[tuple[str, str, tuple[str, ...]], Known | None] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._shipped.keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._shipped.keys)

    def rows(self, key: str) -> Sequence[Row]:
        """Return what stands behind a key: rows of scope, type, default and choices."""
        if key not in self._rows:
            raw = self._shipped.keys.get(key)
            self._rows[key] = msgspec.json.decode(raw) if raw is not None else []
        return self._rows[key]

    def find(self, key: str, release: str, roots: tuple[str, ...]) -> Known | None:
        """Return what a release says of a key under some roots, None where it has no such key."""
        asked = (key, release, roots)
        if asked not in self._known:
            bit = self.bits[release]
            rows = (row for row in self.rows(key) if self._mask(row[0], roots) & bit)
            self._known[asked] = next((_known(row[1:]) for row in rows), None)
        return self._known[asked]

    @cached_property
    def mandatory(self) -> tuple[str, ...]:
        """The keys that a configuration cannot be read without, in some release and section."""
        mark = msgspec.json.encode(MANDATORY)
        return tuple(key for key, raw in self._shipped.keys.items() if mark in bytes(raw))

    def releases_of(self, key: str, roots: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the releases that have a key, under any root if none is named."""
        mask = self.mask(key, self.roots if roots is None else tuple(roots))
        return tuple(name for name, bit in self.bits.items() if mask & bit)

    def mask(self, key: str, roots: tuple[str, ...]) -> int:
        """Return the releases that have a key under some roots, the oldest as the lowest bit."""
        return _united(self._mask(row[0], roots) for row in self.rows(key))

    def lacking(self, keys: Iterable[str], root: str) -> tuple[int, ...]:
        """Return for each release how many of some keys it does not have under a root."""
        masks = [self.mask(key, (root,)) for key in keys]
        return tuple(sum(not mask & bit for mask in masks) for bit in self.bits.values())

    def keys(self, release: str, roots: tuple[str, ...]) -> tuple[str, ...]:
        """Return the keys of a release under some roots."""
        bit = self.bits[release]
        return tuple(key for key in self if self.mask(key, roots) & bit)

    def roots_of(self, key: str, release: str) -> tuple[str, ...]:
        """Return the roots under which a release has a key."""
        bit, scopes = self.bits[release], self._shipped.scopes
        found = {root for row in self.rows(key) for root, mask in scopes[row[0]] if mask & bit}
        return tuple(self.roots[root] for root in sorted(found))

    def has(self, root: str, release: str) -> bool:
        """Say whether a release has a root."""
        return bool(self._by_root.get(root, 0) & self.bits[release])

    @cached_property
    def _by_root(self) -> dict[str, int]:
        """The releases that have something under a root, for each."""
        found = [0] * len(self.roots)
        for scope in self._shipped.scopes:
            for root, mask in scope:
                found[root] |= mask
        return dict(zip(self.roots, found, strict=True))

    @lru_cache(maxsize=4096)  # noqa: B019 (a catalogue lives as long as the process)
    def _mask(self, scope: int, roots: tuple[str, ...]) -> int:
        """Return the releases in which one of the roots has what is of a scope."""
        return _united(mask for root, mask in self._shipped.scopes[scope] if self.roots[root] in roots)

    @cached_property
    def _judged(self) -> dict[str, list[Rename]]:
        """What was written down of values, by their keys."""
        found: dict[str, list[Rename]] = {}
        for row in self.renames:
            if row.value is not None:
                found.setdefault(row.old, []).append(row)
        return found

    def refuses(self, key: str, value: Any, release: str) -> Rename | None:
        """Return what was written down of a value that a release no longer takes, None where it takes it."""
        if key not in self._judged:
            return None
        said, here = str(value).strip("'\""), self.releases.index(release)
        rows = (row for row in self._judged[key] if row.value == said)
        return next(
            (row for row in rows if row.until is None or here >= self.releases.index(row.until)), None
        )

    def nearby(self, version: str) -> tuple[str, ...]:
        """Return the releases that a version may be: itself, else those on both sides of it.

        Of two numbers it may be any patch release, as 0.7 is 0.7.0 or 0.7.1.
        """
        asked = version_key(version)
        exact = [name for name in self.releases if version_key(name) == asked and version.count(".") > 1]
        told = exact or [name for name in self.releases if _may_be(name, version)]
        if told:
            return tuple(told)
        before = [name for name in self.releases if version_key(name) < asked]
        after = [name for name in self.releases if version_key(name) > asked]
        return (*before[-1:], *after[:1])


def _may_be(name: str, version: str) -> bool:
    """Say whether a release is the version, a patch release of it, or stands for all patch releases."""
    own, asked = version_key(name), version_key(version)
    alike = own[0][:2] == asked[0][:2] and asked[1] == 0 == own[1]
    return own == asked or (alike and 1 in (name.count("."), version.count(".")))


def _united(masks: Iterable[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found


def _known(spec: Sequence[Any]) -> Known:
    default = spec[1] if len(spec) > 1 else None
    choices = spec[2] if len(spec) > 2 and not any(isinstance(word, dict) for word in spec[2]) else ()
    given = UNKNOWN if isinstance(default, dict) else default
    return Known(spec[0], given, tuple(choices), mandatory=default == MANDATORY)


def has(system: str) -> bool:
    """Say whether a system has a catalogue."""
    return (_FOLDER / system / FILE).is_file()


@cache
def load(system: str) -> Catalogue:
    """Return a system's catalogue, read once a process."""
    return Catalogue(msgspec.json.decode((_FOLDER / system / FILE).read_bytes(), type=Shipped))
