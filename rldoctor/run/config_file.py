"""The run folder's ``config.yaml``: read, changed by revisions, and never written over a person's edit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rldoctor import edits, sources
from rldoctor.types import Document, Edit, RLDoctorError

NAME: Final = "config.yaml"
REVISION: Final = "revision"
Stamp = tuple[int, int, int]


class HandEditedError(RLDoctorError):
    """The file is not the one that was read: a person edited it."""


@dataclass(frozen=True, slots=True)
class Text:
    """The bytes of a configuration and what they say."""

    data: bytes
    document: Document

    @property
    def settings(self) -> dict[str, Any]:
        """Return every setting by its dotted key."""
        commands = self.document.worlds[0] if self.document.worlds else ()
        return {setting.key: setting.value for command in commands for setting in command.settings}

    @property
    def revision(self) -> int:
        """Return how often the file was changed, as it says itself."""
        number = self.settings.get(REVISION, 1)
        return number if isinstance(number, int) else 1


def parse(data: bytes, name: str) -> Text:
    """Return what a configuration's bytes say; RLDoctorError where they are no YAML."""
    return Text(data, sources.read_text(data, name, "yaml"))


def with_values(text: Text, values: Mapping[str, Any]) -> Text:
    """Return the text with settings changed or added, one after the other; all other bytes stay."""
    for key, value in values.items():
        text = parse(edits.splice(text.data, _edits(text.document, key, value)), text.document.path)
    return text


def without(text: Text, key: str) -> Text:
    """Return the text without a setting."""
    command = text.document.worlds[0][0]
    found = next((setting for setting in command.settings if setting.key == key), None)
    if found is None:
        return text
    return parse(edits.splice(text.data, sources.delete(text.document, found)), text.document.path)


def _edits(document: Document, key: str, value: Any) -> tuple[Edit, ...]:
    command = document.worlds[0][0]
    found = next((setting for setting in command.settings if setting.key == key), None)
    if found is None:
        return sources.insert(document, command, key, value, "yaml")
    return sources.replace(document, found, value) if found.value != value else ()


def differences(old: Text, new: Text) -> dict[str, list[Any]]:
    """Return key → [old, new] of every setting that differs, the revision left out."""
    before, after = old.settings, new.settings
    keys = [key for key in {**before, **after} if key != REVISION]
    return {key: [before.get(key), after.get(key)] for key in keys if before.get(key) != after.get(key)}


@dataclass(slots=True)
class ConfigFile:
    """The file, and the text in it that the supervisor knows of."""

    path: Path
    known: Text = field(init=False)
    _stamp: Stamp = field(init=False, default=(0, 0, 0))
    _looked: Stamp = field(init=False, default=(0, 0, 0))

    def __post_init__(self) -> None:
        self.take_in()

    def take_in(self) -> Text:
        """Read the file as it now is; from now on that is what is known."""
        self._stamp = self._looked = _stamp(self.path)
        self.known = parse(self.path.read_bytes(), str(self.path))
        return self.known

    def edited_by_hand(self) -> bool:
        """Say whether somebody else changed the file and has finished writing it: cheap, a look a second."""
        now = _stamp(self.path)
        settled, self._looked = now == self._looked, now
        if now == self._stamp or not settled or not now[0]:
            return False
        self._stamp = now
        return self.path.read_bytes() != self.known.data

    def revise(self, text: Text) -> int:
        """Put a new text in place as the next revision and return its number.

        HandEditedError if the file is not the one that is known: a person's edit is never lost.
        """
        number = self.known.revision + 1
        text = with_values(text, {REVISION: number})
        if self.path.read_bytes() != self.known.data:
            raise HandEditedError("changed by hand: left as it is", file=str(self.path))
        replace(self.path, text.data)
        self._stamp = self._looked = _stamp(self.path)
        self.known = text
        return number


def replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old or the new bytes, never a part."""
    beside = path.with_name(f"{path.name}.doctor")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:  # a full disk: what is half must not take room
        beside.unlink(missing_ok=True)
        raise
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _stamp(path: Path) -> Stamp:
    if not path.exists():
        return (0, 0, 0)
    about = path.stat()
    return (about.st_mtime_ns, about.st_size, about.st_ino)
