"""Data files that are read through a JSON twin, so that loading does not grow with what authors write.

A twin is one file of named parts: a line that says where each part is, then the parts, each parsed when
it is asked for. The wheel ships the twins in ``_index/``; a checkout keeps them in the user's cache and
makes one again when a source has another time or size.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Final

from msgspec import DecodeError, Struct
from msgspec.json import decode

PACKAGE: Final = Path(__file__).parent
SHIPPED: Final = PACKAGE / "_index"
FORMAT: Final = 1
WHOLE: Final = "all"
DAMAGED: Final = (ValueError, KeyError, TypeError, DecodeError)


class Twin(Struct, frozen=True):
    """Named parts of JSON in one piece of bytes."""

    stamp: str
    places: Mapping[str, tuple[int, int]]
    data: bytes | mmap
    begin: int = 0

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def part(self, name: str) -> Any:
        """Return the value of a part; KeyError where there is none of that name."""
        return decode(self.raw(name))

    def raw(self, name: str) -> bytes:
        """Return the bytes of a part, for one that is parsed piece by piece."""
        start, end = self.places[name]
        return self.data[self.begin + start : self.begin + end]


def load(name: str, sources: Sequence[Path], build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``build`` gives for ``sources``, from its JSON twin where that is up to date."""
    data: dict[str, Any] = twin(name, lambda: stamp_of(sources), lambda: {WHOLE: build()}).part(WHOLE)
    return data


def twin(
    name: str,
    stamp: Callable[[], str],
    build: Callable[[], Mapping[str, Any]],
    ship: bool = True,
) -> Twin:
    """Return the twin of that name: the wheel's, else the cache's if it has the stamp of the sources.

    ``build`` gives the parts by name. With ``ship`` false the wheel's is no answer.
    """
    if ship and (ready := _read(SHIPPED / f"{name}.json")):
        return ready
    path, wanted = cached_path(name), stamp()
    kept = _read(path)
    if kept and kept.stamp == wanted:
        return kept
    data = encode(wanted, build())
    with suppress(OSError):  # a read-only home costs time, nothing else
        write_atomically(path, data)
    return _decode(data)


def cached_path(name: str) -> Path:
    """Return where the twin of that name is kept; each checkout has its own."""
    return cache_folder() / f"{name}-{digest(str(PACKAGE))}.json"


def cache_folder() -> Path:
    """Return the folder of the user's cache for this program; it need not exist, nor be writable."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return folder.expanduser() / "rldoctor"
    except RuntimeError:  # a user without a home: a place where nothing can be kept
        return Path(os.devnull) / "rldoctor"


def stamp_of(sources: Iterable[Path | os.DirEntry[str]]) -> str:
    """Return a text that changes when a source is added, removed or written again."""
    stats = ((os.fspath(source), source.stat()) for source in sources)
    return digest("|".join(f"{path}:{stat.st_mtime_ns}:{stat.st_size}" for path, stat in stats))


def encode(stamp: str, parts: Mapping[str, Any]) -> bytes:
    """Return the bytes of a twin; a part that is bytes already stays as it is."""
    bodies = {name: value if isinstance(value, bytes) else dumps(value) for name, value in parts.items()}
    places: dict[str, tuple[int, int]] = {}
    end = 0
    for name, body in bodies.items():
        places[name] = (end, end := end + len(body))
    head = {"format": FORMAT, "stamp": stamp, "size": end, "parts": places}
    return b"\n".join([dumps(head), b"".join(bodies.values())])


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file so that no reader ever sees half of it; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data.encode() if isinstance(data, str) else data)
        beside.replace(path)
    except OSError:  # a full disk leaves no half file behind
        beside.unlink(missing_ok=True)
        raise


def _read(path: Path) -> Twin | None:
    with suppress(OSError, *DAMAGED), path.open("rb") as file:  # a damaged one is made again
        return _decode(mmap(file.fileno(), 0, access=ACCESS_READ))
    return None


def in_memory(parts: Mapping[str, Any]) -> Twin:
    """Return a twin of parts that stand in no file."""
    return _decode(encode("", parts))


def _decode(data: bytes | mmap) -> Twin:
    begin = data.find(b"\n") + 1
    about = decode(data[:begin])
    if about["format"] != FORMAT or about["size"] != len(data) - begin:
        raise ValueError("not a whole twin of this format")
    return Twin(about["stamp"], about["parts"], data, begin)


def dumps(value: Any) -> bytes:
    """Return compact JSON."""
    import json  # only where tables have changed

    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def digest(text: str) -> str:
    """Return a short text that differs where a text differs."""
    data = text.encode()
    return f"{zlib.crc32(data):08x}{zlib.adler32(data):08x}"
