"""The configuration while the run goes on: revisions of the run folder's ``config.yaml``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer_core.config import Config
from trainer_core.config.reading import ConfigError, knobs, parse, read, scan, splice

PATHS = ("model.path", "data.path", "checkpoint.folder", "run.folder")


@dataclass(frozen=True, slots=True)
class Revision:
    """A new text of the configuration; with a reason it is refused, and the old one stays in force."""

    number: int | None
    fields: dict[str, Any]
    config: Config
    reason: str = ""


def value(config: Config, path: str) -> Any:
    """Return the value at a dotted path."""
    found: Any = config
    for name in path.split("."):
        found = getattr(found, name)
    return found


def changed(old: Config, new: Config) -> dict[str, Any]:
    """Return the new value of each setting that differs, by its dotted path; the revision is none of them."""
    return {
        path: value(new, path)
        for path in knobs()
        if path != "revision" and value(old, path) != value(new, path)
    }


def settle(source: Path, overrides: Sequence[str]) -> tuple[Config, Path]:
    """Put the configuration into its run folder, paths made absolute; return it and where it stands.

    A configuration that already stands there keeps its text, apart from overrides.
    """
    config, text = read(source, overrides)
    folder = Path(config.run.folder).absolute()
    target = folder / "config.yaml"
    here = target.exists() and target.samefile(source)
    if not here:
        text = _absolute(text, config)
    earlier = target.read_text(encoding="utf-8") if target.exists() else None
    if earlier is not None and text != earlier:
        before = scan(earlier).values.get("revision", 1)
        text = splice(text, "revision", str(max(before, config.revision) + 1))
    if text != earlier:
        replace(target, text)
    return parse(text, str(source)), target


def _absolute(text: str, config: Config) -> str:
    for path in PATHS:
        given = value(config, path)
        if given is not None:
            text = splice(text, path, _quoted(str(Path(given).absolute())))
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def replace(target: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never a part."""
    beside = target.with_name(target.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(target)


@dataclass(slots=True)
class LiveConfig:
    """The configuration in force, and the file that may bring a new revision."""

    path: Path
    config: Config
    _seen: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._seen = self._stamp()

    def poll(self) -> Revision | None:
        """Return the newest revision if the file changed; in force unless it has a reason against it."""
        stamp = self._stamp()
        if stamp == self._seen or not stamp[0]:
            return None
        self._seen = stamp
        try:
            new = parse(self.path.read_text(encoding="utf-8", errors="replace"), str(self.path))
        except ConfigError as error:
            return Revision(None, {}, self.config, reason=str(error))
        fields = changed(self.config, new)
        cold = sorted(path for path in fields if not knobs()[path][1]["hot"])
        if cold:
            return Revision(new.revision, fields, self.config, reason=f"needs a restart: {', '.join(cold)}")
        if not fields and new.revision == self.config.revision:
            return None
        self.config = new
        return Revision(new.revision, fields, new)

    def _stamp(self) -> tuple[int, int, int]:
        if not self.path.exists():  # a person may be saving it
            return (0, 0, 0)
        about = self.path.stat()
        return (about.st_mtime_ns, about.st_size, about.st_ino)
