"""What a log prints of its own configuration, read as the documents that commands and files are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.logs.printed import COMMAND, FORMS, Found
from rldoctor.logs.seen import Seen
from rldoctor.types import Command, Document, LogLine, Place, RLDoctorError, Setting

MOST: Final = 12
TRIES: Final = 40  # lines that may start a configuration, from the front and from the back
OVERRIDES: Final = "Error executing job with overrides:"
ENGINES: Final = {"server_args": 1, "engine_args": 1, "engine_config": 2}  # the last leaves most out
GENERIC: Final = ((OVERRIDES, "hydra_overrides"), (COMMAND, "command"))


class PrintedConfig(Struct, frozen=True):
    """A configuration that a log shows: its settings, the line where it starts, and in which form."""

    document: Document
    line: LogLine
    form: str


def read_configs(seen: Seen, finds: Iterable[tuple[str, str]]) -> tuple[PrintedConfig, ...]:
    """Return the configurations that lines with the given patterns start, in order, each text once."""
    starts = {(line.file, line.number, form): (line, form) for key, form in finds for line in seen.lines(key)}
    order = {log.name: index for index, log in enumerate(seen.text.logs)}
    found: list[PrintedConfig] = []
    tried: set[tuple[str, str]] = set()
    done: dict[str, int] = {}
    inorder = sorted(starts.values(), key=lambda start: (order[start[0].file], start[0].number))
    for line, form in [*inorder[:TRIES], *inorder[TRIES:][-TRIES:]]:
        if form not in FORMS or (form == "command" and line.number <= done.get(line.file, 0)):
            continue
        printed = FORMS[form](seen, line)
        if printed is None or (form, printed.text) in tried:
            continue
        tried.add((form, printed.text))
        document = _document(printed, line)
        if document is not None:
            done[line.file] = printed.numbers[-1]
            found.append(PrintedConfig(document, line, form))
        if len(found) == MOST:
            break
    return tuple(found)


def beside(log: str) -> PrintedConfig | None:
    """Return the configuration file that lies beside a run's events; None where there is no readable one."""
    from rldoctor import sources

    path = Path(log).with_name("config.yaml")
    if not path.is_file():
        return None
    try:
        document = sources.read(str(path))
    except RLDoctorError:
        return None  # a broken one is told by check; the events are read all the same
    return PrintedConfig(document, LogLine(str(path), 1, path.name), "run_folder")


def config_for(configs: Sequence[PrintedConfig], line: LogLine) -> PrintedConfig | None:
    """Return the configuration nearest above a line of a log, else the first below, else the first of all.

    What an engine prints of itself counts where nobody printed what started it.
    """
    mine = [printed for printed in configs if printed.line.file == line.file]
    above = [printed for printed in mine if printed.line.number <= line.number]
    ordered = [*above[::-1], *mine, *configs]
    return min(ordered, key=lambda printed: ENGINES.get(printed.form, 0), default=None)


def _document(printed: Found, line: LogLine) -> Document | None:
    """Return the text as a document whose places are lines of the log; None if no system speaks so."""
    from rldoctor import dialects, sources

    try:
        document = sources.read_text(printed.text, line.file, printed.kind)
    except RLDoctorError:
        return None  # cut off or not what it looked like: other evidence remains
    worlds = tuple(tuple(_placed(command, printed.numbers) for command in world) for world in document.worlds)
    document = replace(document, path=line.file, kind="log", worlds=worlds, files={})
    return document if dialects.detect(document) else None


def _placed(command: Command, numbers: Sequence[int]) -> Command:
    return replace(
        command,
        settings=tuple(_setting(setting, numbers) for setting in command.settings),
        env=tuple(_setting(setting, numbers) for setting in command.env),
        place=_place(command.place, numbers),
        insert_at=None,
    )


def _setting(setting: Setting, numbers: Sequence[int]) -> Setting:
    return replace(setting, place=_place(setting.place, numbers), value_place=None, defined_at=None)


def _place(place: Place | None, numbers: Sequence[int]) -> Place | None:
    if place is None:
        return None
    number = numbers[min(max(place.line, 1), len(numbers)) - 1]
    return Place(place.file, number, place.column, 0, 0)


def systems_of(configs: Sequence[PrintedConfig]) -> Iterator[str]:
    """Yield the systems (no launchers) that printed configurations speak, surest first."""
    from rldoctor import dialects

    for printed in configs:
        for detection in dialects.detect(printed.document):
            if not dialects.load(detection.system).launcher:
                yield detection.system
