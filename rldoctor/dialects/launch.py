"""What the settings of a launch are judged as: whose they are, of which release, above which file."""

from __future__ import annotations

from msgspec import Struct

from rldoctor.types import Command, Document, Setting


class Launch(Struct, frozen=True):
    """A command of a system, the settings of a config file below it, and the release it is for."""

    system: str
    version: str
    command: Command
    below: tuple[Setting, ...] = ()
    document: Document | None = None
    sure: bool = False

    def text(self, setting: Setting) -> str:
        """Return a setting as it stands in its file, nothing where it stands in none."""
        place = setting.place
        if place is None or self.document is None or place.file not in self.document.files:
            return ""
        return self.document.files[place.file][place.start : place.end].decode("utf-8", "replace")
