"""Data files that are read through a JSON twin, so that loading does not grow with what authors write.

The wheel ships the twins in ``_index/``; a checkout keeps them in the user's cache and makes one again
when a source has another time or size.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

PACKAGE: Final = Path(__file__).parent
SHIPPED: Final = PACKAGE / "_index"


def load(name: str, sources: Sequence[Path], build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``build`` gives for ``sources``, from its JSON twin where that is up to date."""
    shipped = SHIPPED / f"{name}.json"
    if shipped.is_file():
        data: dict[str, Any] = json.loads(shipped.read_bytes())
        return data
    twin, stamp = cache_folder() / f"{name}-{_digest(str(PACKAGE))}.json", stamp_of(sources)
    kept = _read(twin)
    if kept.get("stamp") == stamp and isinstance(kept.get("data"), dict):
        data = kept["data"]
        return data
    data = json.loads(json.dumps(build()))
    with contextlib.suppress(OSError):  # a read-only home costs time, nothing else
        write_atomically(twin, json.dumps({"stamp": stamp, "data": data}, separators=(",", ":")))
    return data


def cache_folder() -> Path:
    """Return the folder of the user's cache for this program; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rldoctor"


def stamp_of(sources: Sequence[Path]) -> str:
    """Return a text that changes when a source is added, removed or written again."""
    stats = ((str(path), path.stat()) for path in sources)
    return _digest("|".join(f"{path}:{stat.st_mtime_ns}:{stat.st_size}" for path, stat in stats))


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that no reader ever sees half of it; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):  # absent or damaged: it is made again
        return {}
    return kept if isinstance(kept, dict) else {}


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:16]
