"""The command ``rldoctor run``: from options to a session, and to its exit code."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rldoctor.exits import OK
from rldoctor.run import plan, processes, resume, supervise
from rldoctor.run.session import Options, Session
from rldoctor.types import RLDoctorError


def run(
    words: Sequence[str],
    foreign: Sequence[str],
    folder: str | None,
    again: str | None,
    sets: Sequence[str],
    options: Options,
) -> int:
    """Run what the words say under supervision and return the exit code."""
    session = _session(words, foreign, folder, again, sets, options)
    if again is not None and session.history.finished == "done":
        session.screen.tell(f"this run is finished: {session.folder}")
        return OK
    if again is not None:
        session.begin(resumed=True)
    session.interrupt.listen()
    processes.adopt_orphans()
    try:
        supervise.prepare(session)
        return supervise.supervise(session)
    finally:
        processes.end_all(session.folder, None)
        session.journal.close()


def _session(
    words: Sequence[str],
    foreign: Sequence[str],
    folder: str | None,
    again: str | None,
    sets: Sequence[str],
    options: Options,
) -> Session:
    if again is not None:
        if words or foreign or folder or sets:
            raise RLDoctorError("--resume goes on with a run as it stands: give nothing else to run")
        session = resume.reopen(again, options)
        session.screen.say(f"going on with {session.folder}")
        return session
    if foreign:
        if words or sets:
            raise RLDoctorError("either a configuration or a command behind --, not both")
        session = plan.open_foreign(foreign, folder, options)
        session.screen.say(f"command: {shlex.join(foreign)}; run folder: {_near(session.folder)}")
        return session
    if len(words) > 1:
        raise RLDoctorError("one configuration at a time", hint="a command to supervise stands behind --")
    source = plan.choose(words[0] if words else None)
    session = plan.open_run(source, folder, sets, options)
    session.screen.say(f"configuration: {source.words}; run folder: {_near(session.folder)}")
    return session


def _near(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
