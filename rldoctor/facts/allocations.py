"""AReaL's allocations that its release refuses, and engines without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rldoctor.dialects.areal.allocation import Component, parse
from rldoctor.dialects.areal.refusals import EXPLICIT, trouble
from rldoctor.dialects.versions import version_key
from rldoctor.facts.walk import Facts
from rldoctor.types import Event, LogLine, Setting

WHERE: Final = "areal/api/alloc_mode.py"
REQUIRED: Final = "areal/api/cli_args.py:1160"
ALL: Final = "allocation_mode"
ENGINES: Final = ("rollout", "actor", "critic", "ref", "teacher")


def misallocated(facts: Facts) -> Iterator[Event]:
    """Yield allocations that AReaL's parser refuses, and engines that lack theirs."""
    if facts.system != "areal" or facts.table is None or facts.table.version is None:
        return
    settings, release = facts.table.spoken.settings, facts.table.version
    explicit = version_key(release) >= version_key(EXPLICIT)
    for key in (f"{name}.backend" for name in ENGINES) if explicit else (ALL,):
        text = _text(settings.get(key))
        found = trouble(text, release) if text else None
        if found is not None:
            says, advice = found
            yield _event(settings[key], {"says": says, "where": WHERE, "advice": advice}, facts)
    if explicit:
        yield from _lacking(settings, facts)


def _lacking(settings: Mapping[str, Setting], facts: Facts) -> Iterator[Event]:
    """Yield an engine that only the allocation of older releases speaks of."""
    whole = settings.get(ALL)
    parts = parse(_text(whole)) or ()
    for name in ("rollout", "actor"):
        part = next((each for each in parts if (each.engine is not None) is (name == "rollout")), None)
        if part is None or whole is None or f"{name}.backend" in settings:
            continue
        about = {
            "says": f"{name}.backend is required since AReaL {EXPLICIT}, which reads no sizes from here",
            "where": REQUIRED,
            "first_key": f"{name}.backend",
            "first_value": _alone(part, _text(whole)),
            "first_says": f"{name}.backend {_alone(part, _text(whole))}",
            "first_drops": False,
        }
        yield _event(whole, about, facts)


def _alone(part: Component, text: str) -> str:
    """Return a component as the text of one engine."""
    sizes = "".join(text[slice(*part.span)].split()).replace("m", "t")
    ffn = "".join(text[slice(*part.ffn_span)].split())
    return f"{part.engine or part.trainer}:" + (
        f"(attn:{sizes}|ffn:{ffn})" if part.ffn is not None else sizes
    )


def _text(setting: Setting | None) -> str:
    known = setting is not None and setting.state != "unknown" and isinstance(setting.value, str)
    return str(setting.value).strip("'\"") if setting is not None and known else ""


def _event(setting: Setting, about: Mapping[str, Any], facts: Facts) -> Event:
    place = setting.place
    fields = {
        "key": setting.key,
        "written": setting.key,
        "value": _text(setting),
        "system": facts.system,
        "release": facts.table.version if facts.table is not None else None,
        "root": "",
        "certain": True,
        "severity": "error",
        "shown": f"{setting.key}={_text(setting)}",
        "advice": None,
        "safety": "unsafe",
        **dict.fromkeys(
            f"{number}_{field}"
            for number in ("first", "second")
            for field in ("key", "value", "says", "drops")
        ),
    }
    lines = (LogLine(place.file, place.line, ""),) if place is not None else ()
    return Event("refused_setting", {**fields, **about}, lines=lines)
