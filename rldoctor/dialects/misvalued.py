"""Values that a system does not take for keys that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rldoctor.dialects import catalogue, fitting, nearby, suggest
from rldoctor.dialects.catalogue import Known
from rldoctor.dialects.reading import FEW, Reading
from rldoctor.types import Event, Setting

REFERENCE: Final = r"\$\{([A-Za-z_]\w*(?:\.\w+)+)\}"


def misvalued(reading: Reading, setting: Setting, known: Known) -> Iterator[Event]:
    """Yield a value of another release, of another type, or that is none of the choices."""
    manner, system = reading.grammar.manner, reading.launch.system
    row, known = _refusal(reading, setting), fitting.typed(known, system, setting.key)
    wanted = fitting.expected(known, setting.value, manner)
    if row is not None:
        yield reading.event(
            "unknown_choice",
            setting,
            nearest=row.new[0] if row.new else None,
            until=row.until,
            why=row.why or None,
            consequence="refused",
            certain=reading.launch.sure,
        )
    elif fitting.least(system, setting):
        least = {"expected": fitting.FROM_ONE, "usual": fitting.usual(known) or "1"}
        yield reading.event("wrong_type", setting, **least, consequence="refused")
    elif wanted is not None and not _is_another_ones(reading, setting):
        fate = {"hydra": "unclear", "argparse": "refused"}.get(manner, reading.grammar.fate)
        meant = fitting.meant(known, setting.value)
        about = {"expected": wanted, "nearest": meant, "usual": fitting.usual(known)}
        yield reading.event("wrong_type", setting, **about, consequence=fate)
    elif not fitting.choice(known, setting.value, manner) and not _is_added(reading, setting):
        words = [str(word) for word in known.choices if word is not None]
        yield reading.event(
            "unknown_choice",
            setting,
            nearest=suggest.word(fitting.word(setting), words),
            choices=words,
            usual=known.default if known.default in words else None,
            consequence="refused" if manner == "argparse" and reading.strangers <= FEW else "unclear",
        )


def is_judged(reading: Reading) -> bool:
    """Whether the values of known keys are read as upstream reads them."""
    nobodys = reading.grammar.manner == "argparse" and not reading.launch.command.program
    plain = reading.grammar.manner == "hydra" and not reading.is_fork
    return reading.grammar.fate != "unclear" or ((nobodys or plain) and reading.strangers <= FEW)


def _is_added(reading: Reading, setting: Setting) -> bool:
    """Say whether the user's own source adds a word to those that a flag takes."""
    document = reading.launch.document
    if document is None or document.kind == "log" or reading.grammar.manner != "argparse":
        return False
    return nearby.says(reading.launch.command.program, document.path, fitting.word(setting))


def _refusal(reading: Reading, setting: Setting) -> catalogue.Rename | None:
    """Return what every release that it may be for refuses of a value."""
    releases = [each.parts[0].release for each in reading.every if each.parts] or [reading.release]
    rows = [
        reading.catalogue.refuses(setting.key, setting.value, each or reading.release) for each in releases
    ]
    return rows[-1] if all(rows) else None


def _is_another_ones(reading: Reading, setting: Setting) -> bool:
    """Say whether a value is that of another key, of which it is told."""
    names = re.findall(REFERENCE, reading.launch.text(setting))
    others = [each for each in (*reading.grammar.base, *reading.grammar.settings) if each.key in names]
    return any(
        (known := reading.known(each.key)) is not None
        and fitting.expected(known, each.value, reading.grammar.manner) is not None
        for each in others
    )
