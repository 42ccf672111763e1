"""Before anything starts: which configuration, in which folder, by whom supervised."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from msgspec import Struct

import rldoctor
from rldoctor import dialects, sources
from rldoctor.run import config_file, journal
from rldoctor.run.config_file import ConfigFile, Text, parse, with_values
from rldoctor.run.session import Options, Session
from rldoctor.run.terminal import Screen
from rldoctor.types import Document, RLDoctorError

HERE: Final = "config.yaml"
LAPTOP: Final = "laptop.yaml"
LOCK: Final = "supervisor.lock"
PATHS: Final = ("model.path", "data.path", "checkpoint.folder")
RUNS: Final = "runs"
SCRIPTS: Final = (".sh", ".bash", ".slurm", ".sbatch")


class Source(Struct, frozen=True):
    """Where the configuration comes from, and how that is said."""

    path: Path
    words: str


def choose(config: str | None) -> Source:
    """Return the configuration to run: the one named, else the one here, else the bundled example."""
    if config is not None:
        if not Path(config).is_file():
            raise RLDoctorError("no such file", file=config)
        if Path(config).suffix in SCRIPTS:
            raise RLDoctorError(
                "a script is no configuration of trainer_core",
                file=config,
                hint=f"to supervise it: rldoctor run -- bash {config}",
            )
        return Source(Path(config), config)
    here = Path(HERE)
    if here.is_file() and is_trainer(sources.read(HERE)):
        return Source(here, HERE)
    why = "no config.yaml here" if not here.is_file() else "config.yaml here is not for trainer_core"
    return Source(bundled(), f"{why}: the example {LAPTOP} that comes along")


def bundled() -> Path:
    """Return the example that comes along: in the wheel, else in the checkout."""
    package = Path(rldoctor.__file__).parent
    for folder in (package / "_examples", package.parent / "examples"):
        if (folder / LAPTOP).is_file():
            return folder / LAPTOP
    raise RLDoctorError(f"the example {LAPTOP} is missing", hint="name a configuration")


def is_trainer(document: Document) -> bool:
    """Say whether a configuration is one of trainer_core."""
    found = dialects.detect(document)
    return any(each.system == "trainer_core" and each.certainty == "certain" for each in found)


def speaks_another(document: Document) -> bool:
    """Say whether a configuration is a foreign system's; a short one may bear no mark of any."""
    found = {each.system for each in dialects.detect(document)}
    return bool(found) and "trainer_core" not in found


def open_run(source: Source, folder: str | None, sets: Sequence[str], options: Options) -> Session:
    """Make the run folder with its own copy of the configuration, and take it for this process alone."""
    data = source.path.read_bytes()
    text = parse(data, str(source.path))
    if speaks_another(text.document):
        raise RLDoctorError(
            "not a configuration of trainer_core",
            file=source.words,
            hint="a foreign launch: rldoctor run -- COMMAND",
        )
    text = with_values(text, _told(sets))
    target = _folder(folder, text, source.path.stem)
    lock = take(target)
    _refuse_used(target)
    config_file.replace(target / config_file.NAME, _settled(text, target).data)
    session = Session(
        target,
        options,
        journal.Journal(target / journal.NAME),
        Screen(options.quiet),
        ConfigFile(target / config_file.NAME),
        source=source.path.absolute(),
        lock=lock,
    )
    session.begin(config=str(session.source))
    return session


def open_foreign(command: Sequence[str], folder: str | None, options: Options) -> Session:
    """Make a run folder for a foreign launch; a script that the doctor may edit is copied into it."""
    script = script_of(command)
    name = script.stem if script else Path(command[0]).name
    target = Path(folder).absolute() if folder else _free(Path(RUNS, name))
    lock = take(target)
    _refuse_used(target)
    if script is not None and options.autotune and _may_move(script):
        (target / "script").mkdir()
        shutil.copy2(script, target / "script" / script.name)
    session = Session(
        target,
        options,
        journal.Journal(target / journal.NAME),
        Screen(options.quiet),
        command=tuple(command),
        script=script,
        lock=lock,
    )
    session.begin(command=list(command))
    return session


def script_of(command: Sequence[str]) -> Path | None:
    """Return the shell script that a command runs, if it runs one."""
    for word in command[:2]:
        if word.endswith(SCRIPTS) and Path(word).is_file():
            return Path(word)
    return None


def _may_move(script: Path) -> bool:
    """Say whether a script does the same from another folder: it does not ask where it stands."""
    text = script.read_text(errors="replace")
    return not any(word in text for word in ("BASH_SOURCE", "$0", "${0"))


def _told(sets: Sequence[str]) -> Mapping[str, Any]:
    """Return what --set tells, values read as YAML reads them."""
    values: dict[str, Any] = {}
    for word in sets:
        key, equals, value = word.partition("=")
        if not equals:
            raise RLDoctorError(
                f"--set {word}: not KEY=VALUE", hint="for example --set train.learning_rate=1e-3"
            )
        read = parse(f"value: {value}\n".encode(), f"--set {word}").settings
        values[key.strip()] = read.get("value", value)
    return values


def _settled(text: Text, folder: Path) -> Text:
    """Return the copy that stands in the run folder: its paths hold from everywhere."""
    settings = text.settings
    absolute: dict[str, Any] = {"run.folder": str(folder)}
    for key in PATHS:
        if isinstance(settings.get(key), str):
            absolute[key] = str(Path(settings[key]).absolute())
    return with_values(text, absolute)


def _folder(told: str | None, text: Text, name: str) -> Path:
    if told is not None:
        return Path(told).absolute()
    wanted = text.settings.get("run.folder")
    return _free(Path(wanted) if isinstance(wanted, str) else Path(RUNS, name))


def _free(folder: Path) -> Path:
    """Return the folder, or the first of its name with a number that holds no run yet."""
    number, free = 1, folder
    while _is_used(free):
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free.absolute()


def _is_used(folder: Path) -> bool:
    return (folder / journal.NAME).exists() or (folder / "events.jsonl").exists() or (folder / LOCK).exists()


def _refuse_used(folder: Path) -> None:
    if (folder / journal.NAME).exists() or (folder / "events.jsonl").exists():
        raise RLDoctorError(
            "this folder holds a run already",
            file=str(folder),
            hint=f"go on with it: rldoctor run --resume {folder}; or name another --run-folder",
        )


def take(folder: Path) -> IO[str]:
    """Take a run folder for this process alone; RLDoctorError where another supervisor has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise RLDoctorError(f"cannot be used as a run folder: {error.strerror}", file=str(folder)) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        raise RLDoctorError(
            f"in use: process {file.read().strip() or '?'} supervises this run",
            file=str(folder),
            hint="name another --run-folder",
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
