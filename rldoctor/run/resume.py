"""Taking a run up again: what its journal says, what is left of its processes, where it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rldoctor.run import config_file, journal, plan, processes
from rldoctor.run.config_file import ConfigFile, parse
from rldoctor.run.history import History
from rldoctor.run.journal import Journal
from rldoctor.run.session import Options, Session
from rldoctor.run.terminal import Screen
from rldoctor.types import RLDoctorError

GRACE_SECONDS = 30.0


def reopen(folder: str, options: Options) -> Session:
    """Return the session of a run folder as its journal left it; a trainer that survived is ended first."""
    target = Path(folder).absolute()
    entries = list(journal.read(target / journal.NAME))
    first = next((entry for entry in entries if entry["kind"] == "supervision"), None)
    if first is None:
        raise RLDoctorError(
            "no journal of a supervised run", file=folder, hint="start one with: rldoctor run CONFIG"
        )
    lock = plan.take(target)
    history = History()
    for entry in entries:
        history.add(entry)
    options = _joined(options, history.options)
    config = target / config_file.NAME
    session = Session(
        target,
        options,
        Journal(target / journal.NAME),
        Screen(options.quiet),
        ConfigFile(config) if "command" not in first else None,
        source=Path(first["config"]) if "config" in first else None,
        command=tuple(first.get("command", ())),
        script=plan.script_of(first.get("command", ())),
        history=history,
        lock=lock,
    )
    _end_survivors(session)
    _note_hand_edit(session, entries)
    return session


def _joined(options: Options, before: Any) -> Options:
    """Return the options of the beginning, with what is asked for now on top."""
    kept = {name: before[name] for name in ("autotune", "allow_unsafe", "write") if before.get(name)}
    return replace(options, **kept)


def _end_survivors(session: Session) -> None:
    left = processes.of_run(session.folder)
    if left:
        session.screen.say(f"ending {len(left)} processes that the last supervisor left")
        killed = processes.end_all(session.folder, None, GRACE_SECONDS)
        session.note("survivors_ended", processes=len(left), killed=killed)


def _note_hand_edit(session: Session, entries: list[journal.Entry]) -> None:
    """Tell of changes that a person made while nobody supervised."""
    texts = [entry["text"] for entry in entries if isinstance(entry.get("text"), str)]
    if session.config is None or not texts:
        return
    now = session.config.known
    before = texts[-1].encode("utf-8", "surrogateescape")
    if now.data != before:
        session.config.known = parse(before, str(session.config.path))
        session.take_in_hand_edit()
