"""One supervised run: its folder, its files, what is known of it, and the screen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from msgspec import Struct, field, to_builtins

from rldoctor import facts
from rldoctor.facts import Facts, ToldFacts
from rldoctor.run.config_file import ConfigFile, HandEditedError, Text, differences
from rldoctor.run.history import History
from rldoctor.run.journal import Journal
from rldoctor.run.terminal import Screen
from rldoctor.run.watch import End, Interrupt
from rldoctor.types import RLDoctorError


class Options(Struct, frozen=True):
    """How the user wants the run supervised."""

    autotune: bool = False
    allow_unsafe: bool = False
    write: bool = False
    quiet: bool = False
    hang_after: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the options as the journal keeps them."""
        plain: dict[str, Any] = to_builtins(self)
        return plain


class Failed(Struct, frozen=True):
    """An attempt that failed: its end, its logs, when it began (seconds since the epoch), what ended it."""

    end: End
    logs: tuple[str, ...]
    since: float
    ended_by: str | None = None


class Session(Struct):
    """What every part of the supervision works with. ``command`` is a foreign launch, else empty."""

    folder: Path
    options: Options
    journal: Journal
    screen: Screen
    config: ConfigFile | None = None
    source: Path | None = None
    command: tuple[str, ...] = ()
    script: Path | None = None
    lock: IO[str] | None = None
    failure: Failed | None = None
    before: Text | None = None
    history: History = field(default_factory=History)
    interrupt: Interrupt = field(default_factory=Interrupt)

    def note(self, kind: str, **fields: Any) -> None:
        """Write an entry into the journal and take it in."""
        self.history.add(self.journal.write(kind, **fields))

    def begin(self, **what: Any) -> None:
        """Write down that supervision begins, and what of."""
        text = _words(self.config.known) if self.config is not None else None
        self.note("supervision", pid=os.getpid(), options=self.options.as_dict(), text=text, **what)

    def told(self) -> ToldFacts:
        """Return what is known of the run beyond its files."""
        return ToldFacts() if self.command else ToldFacts(system="trainer_core")

    def facts(self) -> Facts | None:
        """Return the facts of the configuration in force, None for a foreign run."""
        if self.config is None:
            return None
        return facts.walk_known(self.config.known.document, self.told())[0]

    def revise(self, text: Text, **why: Any) -> int | None:
        """Make a text the next revision; None where a person's edit, or a full disk, stands before it."""
        assert self.config is not None
        changes = differences(self.config.known, text)
        try:
            revision = self.config.revise(text)
        except HandEditedError:
            self.take_in_hand_edit()
            return None
        except OSError as error:  # a full disk: what is in force stays
            self.screen.say(f"config.yaml cannot be written: {error.strerror}")
            return None
        self.note("edited", revision=revision, changes=changes, text=_words(text), **why)
        return revision

    def take_in_hand_edit(self) -> Mapping[str, list[Any]]:
        """Keep a person's edit of the configuration, and say what it changed."""
        assert self.config is not None
        before = self.config.known
        try:
            after = self.config.take_in()
            changes = differences(before, after)
        except RLDoctorError as error:  # half an edit: the trainer refuses it, too
            self.note("hand_edit", changes={}, problem=str(error))
            self.screen.say(f"config.yaml was edited by hand and cannot be read: {error}")
            return {}
        self.note(
            "hand_edit",
            revision=after.revision,
            changes=changes,
            by="hand",
            reason="edited by hand",
            text=_words(after),
        )
        words = ", ".join(f"{key} {old} → {new}" for key, (old, new) in changes.items())
        self.screen.say(f"config.yaml was edited by hand, kept: {words or 'no setting changed'}")
        return changes


def _words(text: Text) -> str:
    """Return the text as the journal keeps it, so that a later edit by hand can be told."""
    return text.data.decode("utf-8", "surrogateescape")
