"""The valid keys of a system's releases: what each is, and since when until when it exists.

``catalogue.json`` is written by ``python -m scripts.catalogues`` from checkouts; it is read when a key is
asked for, that of the system in use alone. Which releases and roots (a configuration, a parser) know a key
stands there as bits.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from rldoctor.dialects.versions import version_key
from rldoctor.types import UNKNOWN

FILE: Final = "catalogue.json"
SECTION: Final = "section"
_FOLDER: Final = Path(__file__).parent


class Known(Struct, frozen=True):
    """What a release says of a key. ``default`` is UNKNOWN where code computes it."""

    type: str
    default: Any = None
    choices: tuple[Any, ...] = ()

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


class Catalogue:
    """The keys of one system in all its releases, oldest first."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.system: str = data["system"]
        self.releases: tuple[str, ...] = tuple(data["releases"])
        self.roots: tuple[str, ...] = tuple(data["roots"])
        self.entries: tuple[tuple[str, str, int], ...] = tuple(tuple(row) for row in data["entries"])
        self.renames = tuple(
            Rename(
                row["old"], tuple(row.get("new", ())), row.get("value"), row.get("until"), row.get("why", "")
            )
            for row in data["renames"]
        )
        self._scopes: Sequence[Sequence[Sequence[int]]] = data["scopes"]
        self._keys: Mapping[str, Sequence[Sequence[Any]]] = data["keys"]

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def find(self, key: str, release: str, roots: Collection[str]) -> Known | None:
        """Return what a release says of a key under some roots, None where it has no such key."""
        bit, masks = 1 << self.releases.index(release), self._masks(tuple(roots))
        for scope, *spec in self._keys.get(key, ()):
            if masks[scope] & bit:
                return _known(spec)
        return None

    def releases_of(self, key: str, roots: Collection[str] | None = None) -> tuple[str, ...]:
        """Return the releases that have a key, under any root if none is named."""
        mask = self.mask(key, self.roots if roots is None else roots)
        return tuple(name for bit, name in enumerate(self.releases) if mask >> bit & 1)

    def mask(self, key: str, roots: Collection[str]) -> int:
        """Return the releases that have a key under some roots, the oldest as the lowest bit."""
        masks, found = self._masks(tuple(roots)), 0
        for row in self._keys.get(key, ()):
            found |= masks[row[0]]
        return found

    def keys(self, release: str, roots: Collection[str]) -> tuple[str, ...]:
        """Return the keys of a release under some roots."""
        bit, masks = 1 << self.releases.index(release), self._masks(tuple(roots))
        return tuple(key for key, rows in self._keys.items() if any(masks[row[0]] & bit for row in rows))

    def roots_of(self, key: str, release: str) -> tuple[str, ...]:
        """Return the roots under which a release has a key."""
        bit = 1 << self.releases.index(release)
        rows = self._keys.get(key, ())
        found = {root for row in rows for root, mask in self._scopes[row[0]] if mask & bit}
        return tuple(self.roots[root] for root in sorted(found))

    def has(self, root: str, release: str) -> bool:
        """Say whether a release has a root."""
        return root in self._present(1 << self.releases.index(release))

    @lru_cache(maxsize=32)  # noqa: B019 (a catalogue lives as long as the process)
    def _present(self, bit: int) -> frozenset[str]:
        pairs = (pair for scope in self._scopes for pair in scope)
        return frozenset(self.roots[root] for root, mask in pairs if mask & bit)

    @lru_cache(maxsize=64)  # noqa: B019
    def _masks(self, roots: tuple[str, ...]) -> tuple[int, ...]:
        """Return for each scope the releases in which one of the roots has what is of that scope."""
        wanted = {number for number, root in enumerate(self.roots) if root in roots}
        return tuple(_united(mask for root, mask in scope if root in wanted) for scope in self._scopes)

    def nearby(self, version: str) -> tuple[str, ...]:
        """Return the releases that a version may be: itself, else those on both sides of it."""
        asked = version_key(version)
        told = [name for name in self.releases if version_key(name) == asked or _stands_for(name, version)]
        if told:
            return tuple(told)
        before = [name for name in self.releases if version_key(name) < asked]
        after = [name for name in self.releases if version_key(name) > asked]
        return (*before[-1:], *after[:1])


def _stands_for(name: str, version: str) -> bool:
    """Say whether a release named by two numbers stands for all patch releases, as 0.6 for 0.6.1."""
    numbers = version_key(version)[0]
    return name.count(".") == 1 and version_key(version)[1] == 0 and numbers[:2] == version_key(name)[0][:2]


def _united(masks: Iterator[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found


def _known(spec: Sequence[Any]) -> Known:
    default = spec[1] if len(spec) > 1 else None
    choices = spec[2] if len(spec) > 2 and not any(isinstance(word, dict) for word in spec[2]) else ()
    return Known(spec[0], UNKNOWN if isinstance(default, dict) else default, tuple(choices))


def has(system: str) -> bool:
    """Say whether a system has a catalogue."""
    return (_FOLDER / system / FILE).is_file()


@cache
def load(system: str) -> Catalogue:
    """Return a system's catalogue, read once a process."""
    return Catalogue(json.loads((_FOLDER / system / FILE).read_bytes()))
