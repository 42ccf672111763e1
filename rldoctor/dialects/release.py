"""Which release a run uses: told, installed, asked for beside the file, or as the keys themselves say."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.dialects import catalogue, fitting, grammar, versions
from rldoctor.dialects.catalogue import Catalogue
from rldoctor.dialects.rows import Dialect
from rldoctor.dialects.versions import version_key
from rldoctor.types import Command, Setting

UPWARDS: Final = 6
MOST_BYTES: Final = 200_000
PACKAGES: Final = {"megatron": "megatron_core"}
MOST_FILES: Final = 8
MOST_LOCK_BYTES: Final = 4_000_000
_REQUIRED: Final = (
    *("pyproject.toml", "setup.py", "setup.cfg", "environment.yml", "environment.yaml"),
    *("uv.lock", "poetry.lock", "pdm.lock", "Pipfile", "Pipfile.lock"),
)
_OWN: Final = {
    "verl": ("verl/version/version", r"\s*(?P<version>\d[\w.]*)"),
    "areal": ("pyproject.toml", r'(?s).*?\nname = "areal"\n.*?\nversion = "(?P<version>[\w.]+)"'),
    "slime": ("setup.py", r'(?s).*?name="slime".*?version="(?P<version>[\w.]+)"'),
    "megatron": (
        "megatron/core/package_info.py",
        r"(?s).*?MAJOR = (?P<major>\d+)\nMINOR = (?P<minor>\d+)\nPATCH = (?P<patch>\d+)",
    ),
}
_CHECKOUTS: Final = {"megatron": "Megatron-LM", "areal": "AReaL"}
"""What a folder with a checkout of a system is called, where not as the system."""
_BEFORE: Final = {"megatron": "megatron/arguments.py"}  # of checkouts that are older than that file


class InUse(Struct, frozen=True):
    """A release, how anybody knows, and whether it is more than a guess from the keys.

    ``others`` are further releases that know as many of the keys, newest first.
    """

    version: str | None
    assumes: tuple[str, ...] = ()
    sure: bool = False
    others: tuple[str, ...] = ()


def in_use(dialect: Dialect, command: Command, below: Sequence[Setting], path: str | None) -> InUse:
    """Return the release that a command is for, where no person tells it."""
    system = dialect.system
    if not catalogue.has(system):
        return _by_rows(dialect, command, below)
    found = installed(system) or (_asked_for(system, Path(path)) if path else None)
    if found is not None:
        later = _overtaken(system, found, command, below)
        if later is not None:
            return InUse(later, (f"{system} {later} ({found[1]} says {found[0]}, which lacks its keys)",))
        return InUse(found[0], (f"{system} {found[0]} ({found[1]})",), True)
    table, likely = _by_rows(dialect, command, below), by_keys(system, command, below)
    near = set(catalogue.load(system).nearby(table.version)) if table.version else set()
    agreed = near & set(likely.best)
    if not likely.best or likely.best[0] in agreed or (agreed and not likely.unknown):
        others = tuple(each for each in likely.best if each not in near) if likely.best else table.others
        return replace(table, others=others)  # it knows releases in between, and what a key means
    return InUse(likely.best[0], _why(dialect, likely.best[0], command, below), others=likely.best[1:])


def _why(dialect: Dialect, release: str, command: Command, below: Sequence[Setting]) -> tuple[str, ...]:
    """Return the assumption that a release is in use, with a key that rules the newest one out."""
    newest = next(_newest_first(catalogue.load(dialect.system)))
    here = grammar.of(dialect.system, newest, command, below) if newest != release else None
    settings = (*here.base, *here.settings) if here is not None else ()
    lacks = (each.key for each in settings if here is not None and _is_strange_to(here, each))
    key = next(lacks, None)
    said = versions.says(dialect, release)
    return (said if key is None else f"{said[:-1]}: {newest} has no {key})",)


def _is_strange_to(here: grammar.Grammar, setting: Setting) -> bool:
    """Say whether a release cannot understand a setting."""
    return setting.form != "append" and not here.is_exempt(setting.key) and here.find(setting.key) is None


def is_before(system: str, version: str | None) -> bool:
    """Say whether a version is older than every release whose keys and checks are known here."""
    if version is None or not catalogue.has(system):
        return False
    oldest = version_key(catalogue.load(system).releases[0])
    return version_key(version)[0][:2] < oldest[0][:2]


def _overtaken(system: str, found: tuple[str, str], command: Command, below: Sequence[Setting]) -> str | None:
    """Return the next release that knows all keys, where a checkout's own version file lags behind them."""
    known = catalogue.load(system)
    told = known.nearby(found[0])[-1:]
    if system not in _OWN or not found[1].endswith(_OWN[system][0]) or not told:
        return None
    if not _strange(system, told[0], command, below):
        return None
    later = known.releases[known.releases.index(told[0]) + 1 :]
    return next((each for each in later if _strange(system, each, command, below) == 0), None)


def _strange(system: str, release: str, command: Command, below: Sequence[Setting]) -> int | None:
    """Return how many keys or values a release does not understand, None where it has no such program."""
    unknown = _unknown(catalogue.load(system), system, release, command, below)
    return None if unknown is None else unknown + _misfits(system, release, command, below)


def _asked_for(system: str, path: Path) -> tuple[str, str] | None:
    """Return the version that a script installs itself, else what stands beside it or above."""
    own = _pattern(system).search(_text(path))
    return (_release_of(own), str(path)) if own is not None else beside(system, str(path.parent))


class Likely(Struct, frozen=True):
    """The releases that know most keys, newest first, and how many keys even those do not know."""

    best: tuple[str, ...] = ()
    unknown: int = 0


def _by_rows(dialect: Dialect, command: Command, below: Sequence[Setting]) -> InUse:
    keys = {setting.key for setting in (*below, *command.settings)}
    release = versions.newest(dialect, keys)
    others = versions.fitting(dialect, keys)[1:]
    return InUse(release, (versions.says(dialect, release),) if release else (), others=others)


def by_keys(system: str, command: Command, below: Sequence[Setting] = ()) -> Likely:
    """Return the releases that know most keys; a commit after the newest release comes last."""
    known = catalogue.load(system)
    counted = [(_unknown(known, system, each, command, below), each) for each in _newest_first(known)]
    fewest = min((count for count, _ in counted if count is not None), default=0)
    best = tuple(each for count, each in counted if count == fewest)
    without = tuple(each for count, each in counted if count is None) if fewest else ()
    beyond = _beyond(system, best[0], without, command, below) if without else ()
    if beyond:
        return Likely(beyond, 0)
    return Likely(_by_values(system, best, command, below), fewest)


def _beyond(
    system: str, best: str, without: Sequence[str], command: Command, below: Sequence[Setting]
) -> tuple[str, ...]:
    """Return the releases with a key that the best lacks, and without the program: it has moved out."""
    known, here = catalogue.load(system), grammar.of(system, best, command, below)
    settings = (*here.base, *here.settings) if here is not None else ()
    strange = [each.key for each in settings if here is not None and _is_strange_to(here, each)]
    later = [each for each in without if known.releases.index(each) > known.releases.index(best)]
    return tuple(each for each in later if any(each in known.releases_of(key) for key in strange))


def _by_values(
    system: str, best: tuple[str, ...], command: Command, below: Sequence[Setting]
) -> tuple[str, ...]:
    """Return the releases that take most values, where keys alone tell that it is not the newest."""
    if len(best) <= 1 or best[0] == next(_newest_first(catalogue.load(system))):
        return best
    strange = [_misfits(system, each, command, below) for each in best]
    return tuple(each for each, count in zip(best, strange, strict=True) if count == min(strange))


def _misfits(system: str, release: str, command: Command, below: Sequence[Setting]) -> int:
    """Return how many values a release does not take for keys that it has."""
    known, here = catalogue.load(system), grammar.of(system, release, command, below)
    if here is None:
        return 0
    told = [each for each in (*here.base, *here.settings) if each.state != "unknown"]
    found = [(each, one) for each in told if (one := here.find(each.key)) is not None]
    return sum(
        fitting.expected(one, each.value, here.manner) is not None
        or not fitting.choice(one, each.value, here.manner)
        or known.refuses(each.key, each.value, release) is not None
        for each, one in found
    )


def leftover(system: str, version: str, command: Command, below: Sequence[Setting] = ()) -> str | None:
    """Return the newest release where all that speaks for an older one is a single key that may be stale."""
    known = catalogue.load(system)
    newest = next((each for each in _newest_first(known)), version)
    if versions.version_key(version) >= versions.version_key(newest):
        return None
    return newest if _unknown(known, system, newest, command, below) == 1 else None


def is_next_patch(system: str, release: str, other: str) -> bool:
    """Say whether a release follows another one within its series: 1.0.4 after 1.0.3, not after 1.0.0."""
    one, two = versions.version_key(release)[0], versions.version_key(other)[0]
    every = [each for each in catalogue.load(system).releases if not each.endswith("dev")]
    follows = other in every and every[every.index(other) + 1 :][:1] == [release]
    return follows and release.count(".") == 2 and (*one, 0, 0)[:2] == (*two, 0, 0)[:2]


def _newest_first(known: Catalogue) -> Iterator[str]:
    yield from (each for each in reversed(known.releases) if not each.endswith("dev"))
    yield from (each for each in known.releases if each.endswith("dev"))


def _unknown(
    known: Catalogue, system: str, release: str, command: Command, below: Sequence[Setting]
) -> int | None:
    """Return how many settings a release cannot understand, None where it has no such program."""
    here = grammar.of(system, release, command, below)
    if here is None:
        return None
    settings = [setting for setting in (*here.base, *here.settings) if not here.is_exempt(setting.key)]
    if here.open_top and is_extended(known, settings):
        settings = [each for each in settings if here.find(each.key.partition(".")[0]) is not None]
    return sum(here.find(setting.key) is None for setting in settings if setting.form != "append")


def is_extended(known: Catalogue, settings: Sequence[Setting]) -> bool:
    """Say whether a configuration has sections of its own, which no release has: a subclass adds them."""
    sections = {setting.key.partition(".")[0] for setting in settings}
    return any(not known.releases_of(section) for section in sections)


@cache
def installed(system: str) -> tuple[str, str] | None:
    """Return the version of an installed package and that it is installed; nothing of it is imported."""
    mark = f"{PACKAGES.get(system, system)}-"
    for folder in (*_active(), *sys.path):
        if folder.endswith(("site-packages", "dist-packages")):
            for name in _names(folder):
                if name.startswith(mark) and name.endswith(".dist-info"):
                    return name.removeprefix(mark).removesuffix(".dist-info"), "installed"
    return None


def _active() -> Iterator[str]:
    """Yield the packages of the environment that is switched on: it need not be this program's own."""
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        root = os.environ.get(name)
        if root:
            yield from (
                f"{root}/lib/{each}/site-packages" for each in _names(f"{root}/lib") if "python3" in each
            )


@lru_cache(maxsize=512)
def beside(system: str, folder: str) -> tuple[str, str] | None:
    """Return the version that a file beside a configuration or above it asks for, and which file."""
    at = Path(folder).resolve()
    for place in [at, *list(at.parents)[:UPWARDS]]:
        own = _own_checkout(system, place) or _own_checkout(system, place / _CHECKOUTS.get(system, system))
        found = own or _required(system, place)
        if found is not None:
            return found
        if (place / ".git").exists():
            return None
    return None


def _own_checkout(system: str, place: Path) -> tuple[str, str] | None:
    if system not in _OWN:
        return None
    name, pattern = _OWN[system]
    found = re.match(pattern, _text(place / name))
    if found is None:
        old = place / _BEFORE[system] if system in _BEFORE else None
        return ("0.0", f"{old}") if old is not None and _text(old) else None
    version = ".".join(found.groups())
    return version, f"{place / name}"


def _asks(name: str) -> bool:
    """Say whether a file of that name asks for packages."""
    listed = name.startswith(("requirements", "constraints")) and name.endswith(".txt")
    image = name.startswith("Dockerfile") or name.endswith((".dockerfile", ".Dockerfile"))
    return listed or image or name in _REQUIRED


def _required(system: str, place: Path) -> tuple[str, str] | None:
    for file in sorted(each for each in _names(str(place)) if _asks(each))[:MOST_FILES]:
        found = _pattern(system).search(_text(place / file))
        if found is not None:
            return _release_of(found), f"{place / file}"
    return None


@cache
def _pattern(system: str) -> re.Pattern[str]:
    """Return how a requirement, a lock file and a checkout of a tag name a release."""
    name = PACKAGES.get(system, system).replace("_", "[-_]")
    return re.compile(
        rf"(?m)(?:^|[\s\"'])-?\s*{name}(?:\[[\w,-]*\])?\s*={{2,3}}\s*v?(?P<pinned>\d[\w.]*)"
        rf"|^name = \"{name}\"\nversion = \"(?P<locked>\d[\w.]*)\""
        rf"|/{name}(?:\.git)?@v?(?P<tag>\d[\w.]*)"
        rf"|^\s*{name}\s*=\s*\"={{0,2}}(?P<poetry>\d[\w.]*)\""
    )


def _release_of(found: re.Match[str]) -> str:
    return next(each for each in found.groups() if each is not None).rstrip(".")


@lru_cache(maxsize=512)
def _names(folder: str) -> tuple[str, ...]:
    """Return the names in a folder; none where it cannot be read."""
    with suppress(OSError):
        return tuple(path.name for path in Path(folder).iterdir())
    return ()


@lru_cache(maxsize=256)
def _text(path: Path) -> str:
    most = MOST_LOCK_BYTES if path.suffix == ".lock" else MOST_BYTES
    if not path.is_file() or path.stat().st_size > most:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")
