"""Values that refer to themselves, over however many others: OmegaConf refuses to resolve them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from rldoctor.facts.refusal import Refusal
from rldoctor.facts.walk import Facts
from rldoctor.types import Event, LogLine, Setting

_REFERENCE: Final = r"(?<!\\)\$\{(?:oc\.select:\s*)?(\.*[A-Za-z_][\w.\[\]]*)\s*[,}]"

_BARE: Final = r"\$\(?([A-Za-z_]\w*(?:\.\w+)+)\)?|\$?\{\{\s*([A-Za-z_]\w*(?:\.\w+)+)\s*\}\}"

_SHELL: Final = r":\s*['\"]?\$([A-Z][A-Z0-9_]*)((?:/[\w./-]*)?)['\"]?\s*$"


def circles(facts: Facts) -> Iterator[Event]:
    """Yield each circle of references once, at the setting of it that stands first."""
    command = facts.start.command
    if command is None or command.settings == ():
        return
    every = {setting.key: setting for setting in (*facts.start.below, *command.settings)}
    # an override with a reference may close a circle over values that their own file gives
    wide = any(each.form == "override" and "${" in str(each.value) for each in command.settings)
    asked = [each for each in every.values() if wide or (each.state == "unknown" and "${" in str(each.value))]
    refers = {each.key: found for each in asked if (found := tuple(_references(each, facts)))}
    told: set[str] = set()
    for key in refers:
        circle = _circle(key, refers, told) if key not in told else ()
        if circle:
            told.update(circle)
            yield _event(every[circle[0]], (*circle, circle[0]), facts)


def bare(facts: Facts) -> Iterator[Event]:
    """Yield references without their braces, which are plain texts."""
    command = facts.start.command
    every = {each.key: each for each in (*facts.start.below, *(command.settings if command else ()))}
    for setting in every.values():
        found = re.fullmatch(_BARE, str(setting.value)) if setting.form == "yaml" else None
        if setting.form == "yaml" and (shell := re.search(_SHELL, _text(setting, facts))) is not None:
            right = f"${{oc.env:{shell[1]}}}{shell[2]}"
            says = f"{setting.key} is the text {setting.value}: no shell fills in ${shell[1]} here"
            yield _plain_text(setting, says, right, facts)
        name = found[1] or found[2] if found is not None else None
        if name is not None and (name in every or any(key.startswith(f"{name}.") for key in every)):
            says = f"{setting.key} is the text {setting.value}, no reference to {name}"
            yield _plain_text(setting, says, f"${{{name}}}", facts)


def _plain_text(setting: Setting, says: str, right: str, facts: Facts) -> Event:
    where, cure = "omegaconf: an interpolation has braces", (setting.key, right, f"{setting.key}: {right}")
    told = Refusal(setting.key, says, facts.system, where, str(setting.value), cure=cure, safety="safe")
    return told.at(setting.place)


def _references(setting: Setting, facts: Facts) -> Iterator[str]:
    """Yield the keys that a value refers to, as they are from the root."""
    text = _text(setting, facts)
    if "${" not in text:
        return
    above = setting.key.split(".")
    # an unset variable of the shell looks the same; it is what the value hangs on
    variables = setting.depends if setting.form == "override" else ()
    for name in (each for each in re.findall(_REFERENCE, text) if each not in variables):
        ups = len(name) - len(name.lstrip("."))
        base = above[:-ups] if ups else []
        yield ".".join((*base, name.lstrip(".").replace("[", ".").replace("]", "")))


def _text(setting: Setting, facts: Facts) -> str:
    """Return what a value refers with: of a script's words what the shell makes of them."""
    place, document = setting.place, facts.document
    if setting.form == "override":
        return str(setting.value)
    if setting.form != "yaml" or place is None or document is None:
        return ""
    return document.files.get(place.file, b"")[place.start : place.end].decode("utf-8", "replace")


def _circle(key: str, refers: Mapping[str, tuple[str, ...]], told: set[str]) -> tuple[str, ...]:
    """Return the circle that a setting is on, starting with it; nothing where it is on none."""
    ways: list[tuple[str, ...]] = [(key,)]
    seen = set(told)
    while ways:
        way = ways.pop()
        for target in refers.get(way[-1], ()):
            if target == key or (len(way) == 1 and key.startswith(f"{target}.")):
                return way
            if target not in seen and target in refers:
                seen.add(target)
                ways.append((*way, target))
    return ()


def _event(setting: Setting, circle: tuple[str, ...], facts: Facts) -> Event:
    place = setting.place
    fields = {
        "key": setting.key,
        "written": setting.key,
        "value": None,
        "system": facts.system,
        "circle": " → ".join(circle),
        "certain": True,
    }
    return Event("circular_reference", fields, lines=(LogLine(place.file, place.line, ""),) if place else ())
