"""Settings of one command against one another: given twice, or referring to what nothing gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from rldoctor.dialects import fitting, grammar, suggest
from rldoctor.dialects.misvalued import REFERENCE
from rldoctor.dialects.reading import Reading
from rldoctor.types import Event, LogLine, Setting

_TWICE: Final = r"(?P<key>.+) stands at (?P<line>\d+):\d+ already"
_SWITCHES: Final = ("flag", "list", "any")


def twice(reading: Reading, settings: Iterable[Setting]) -> Iterator[Event]:
    """Yield flags and overrides that a command gives twice: only the last counts."""
    last: dict[str, Setting] = {}
    collected = _SWITCHES[:2] if reading.grammar.manner == "hydra" else _SWITCHES
    for setting in settings:
        before, known = last.get(setting.key), reading.known(setting.key)
        last[setting.key] = setting
        if before is None or known is None or known.kind in collected or setting.form == "yaml":
            continue
        if before.place is None or setting.place is None or "unknown" in (before.state, setting.state):
            continue
        if before.place.file == setting.place.file:  # a script may well override what it sources
            yield reading.event(
                "duplicate_key",
                before,
                expected=fitting.word(setting),
                line=setting.place.line,
                differs=fitting.word(before) != fitting.word(setting),
                consequence="ignored",
            )


def twice_in_yaml(reading: Reading) -> Iterator[Event]:
    """Yield keys that a mapping holds twice: the loader of OmegaConf refuses the file."""
    document = reading.launch.document
    if document is None or document.kind != "yaml" or reading.grammar.manner == "argparse":
        return
    for problem in document.problems:
        found = re.match(_TWICE, problem.message)
        if found is not None:
            line = LogLine(problem.file or document.path, problem.line, f"{found['key']}: (again)")
            fields = reading.fields(found["key"], None) | {"line": int(found["line"])}
            yield Event("duplicate_key", fields | {"differs": True, "consequence": "refused"}, lines=(line,))


def references(reading: Reading) -> Iterator[Event]:
    """Yield values that refer to a key which nothing sets and nothing gives a default."""
    effective = {setting.key: setting for setting in (*reading.grammar.base, *reading.grammar.settings)}
    if reading.grammar.manner != "structured" or (
        reading.grammar.unfilled and not reading.launch.command.program
    ):
        return  # a template alone waits for a command's words
    written = grammar.with_above(effective)
    for setting in effective.values():
        names = re.findall(REFERENCE, reading.launch.text(setting)) if setting.state == "unknown" else ()
        for name in names:
            if name not in written and not _has_default(reading, name):
                others = [each for each in written if each != setting.key]
                beside = [each for each in others if each.rpartition(".")[0] == name.rpartition(".")[0]]
                near = suggest.nearest(name, beside) or suggest.nearest(name, others)
                about = {"missing": name, "consequence": "refused"}
                if near is not None:
                    about |= {"nearest": near.key, "meant": _meant(reading, setting, name, near.key)}
                yield reading.event("missing_reference", setting, **about)


def _meant(reading: Reading, setting: Setting, name: str, nearest: str) -> str:
    """Return a value with a reference to another key."""
    text = reading.launch.text(setting)
    said = text.partition(":" if setting.form == "yaml" else "=")[2].strip().strip("'\"")
    return said.replace(f"${{{name}}}", f"${{{nearest}}}")


def _has_default(reading: Reading, key: str) -> bool:
    """Say whether a structured configuration gives a key a value where no file does."""
    loose = any(key.startswith(f"{section}.") for section in reading.grammar.unfilled)
    return not loose and reading.known(key) is not None
