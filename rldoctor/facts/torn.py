"""Words of a launch that the shell tears apart, and variables that are misspelt."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from rldoctor import dialects
from rldoctor.dialects.suggest import distance
from rldoctor.facts.walk import Facts
from rldoctor.types import Command, Document, Event, LogLine, Setting

SHORTEST: Final = 5
SLIP: Final = 2
WORD: Final = 4
LONGEST_WORD: Final = 200
LONGEST_JSON: Final = 5000
_KEY: Final = r"\+{0,2}[A-Za-z_][\w@/]*(\.[\w@/-]+)+"
_ASSIGNED: Final = rb"(?:^|[\s;(])(?:export\s+|local\s+|read\s+|for\s+)?([A-Za-z_]\w*)(?:=|\+=|\s+in\s)"
_SWEPT: Final = r"[^\[\]{}()'\",]+(,[^\[\]{}()'\",]+)+"
_VARIABLE: Final = r"\$\{\w+\}|\$\w+"
_MAPPING: Final = r"(?s)\{\s*['\"]?\w[^{}]*:.*\}"
_OPEN: Final = r"\$\{[^{}]*\}|\$\w+|\$\([^()]*\)"
JSON: Final = "--runtime-env-json"
_STARTERS: Final = ("torchrun", "ray start", "ray job submit", "srun", "mpirun", "accelerate launch")
_ALWAYS_SET: Final = ("HOME", "PWD", "USER")
_CAPITALS: Final = r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*(?=_?[a-z])"
_PAIRS: Final = (("[", "]"), ("{", "}"))


def torn(facts: Facts) -> Iterator[Event]:
    """Yield overrides with spaces in them, and settings that hang on a misspelt variable."""
    document, command = facts.document, facts.start.command
    if document is None or command is None or document.kind not in ("shell", "command"):
        return
    yield from _spaced_assignments(facts)
    if facts.system is not None and dialects.load(facts.system).form == "override":
        yield from _spaced(command, facts)
        yield from _unclosed(command, facts)
        yield from _dressed(command, facts)
    if facts.system == "verl":
        yield from _swept(command, facts)
    yield from _broken_json(facts)
    yield from _python_in_json(command, facts)
    for each in facts.world:
        if each is command or each.program in _STARTERS:
            yield from _misspelt(each, document, facts)


def _spaced(command: Command, facts: Facts) -> Iterator[Event]:
    """Yield ``key = value``: three words, of which the first is no override."""
    words = (*command.positional, "")
    for number, (key, sign) in enumerate(pairwise(words)):
        if sign == "=" and re.fullmatch(_KEY, key):
            value = words[number + 2] if number + 2 < len(words) else ""
            about = {"why": "there are spaces around its =", "right": f"{key}={value}"}
            yield event("override_torn", key, about, command, None, facts)


def _spaced_assignments(facts: Facts) -> Iterator[Event]:
    """Yield ``name = value``: a command of that name, which there is none of."""
    for each in facts.world:
        if each.program.isidentifier() and each.positional[:1] == ("=",):
            right = f"{each.program}={' '.join(each.positional[1:])}"
            about = {"why": "there are spaces around its =", "right": right}
            yield event("override_torn", each.program, about, each, None, facts)


def _unclosed(command: Command, facts: Facts) -> Iterator[Event]:
    """Yield a list or mapping that ends in another word than it begins in."""
    for setting in command.settings:
        text = str(setting.value)
        opened = any(text.startswith(one) and text.count(one) > text.count(two) for one, two in _PAIRS)
        told = setting.state != "unknown" or text.endswith(",")
        if opened and told and setting.form in ("override", "append"):
            about = {
                "why": "a space ends it inside its brackets",
                "right": f"'{setting.key}=[…, …]' in quotes",
            }
            yield event("override_torn", setting.key, about, command, setting, facts)


def _dressed(command: Command, facts: Facts) -> Iterator[Event]:
    """Yield ``--key=value`` and ``key: value``, which are no overrides of Hydra."""
    for setting in command.settings:
        key = setting.key.lstrip("-")
        if setting.form == "flag" and "." in key and re.fullmatch(_KEY, key):
            about = {"why": "an override has no dashes before it", "right": f"{key}={setting.value}"}
            yield event("override_torn", setting.key, about, command, setting, facts)
    for word in command.positional:
        key, _, value = word.partition(":")
        if value and value[:1] not in "/=\\" and re.fullmatch(_KEY, key):
            about = {"why": "an override has = and no colon", "right": f"{key}={value}"}
            yield event("override_torn", key, about, command, None, facts)
    for word, value in pairwise((*command.positional, "")):
        if word.endswith(":") and re.fullmatch(_KEY, word[:-1]):
            about = {"why": "an override has = and no colon", "right": f"{word[:-1]}={value}"}
            yield event("override_torn", word[:-1], about, command, None, facts)


def _swept(command: Command, facts: Facts) -> Iterator[Event]:
    """Yield a value with a comma outside brackets and quotes: Hydra takes it for a sweep, and refuses it."""
    for setting in command.settings:
        text = str(setting.value)
        if "," not in text or setting.form not in ("override", "append"):
            continue
        plain = re.sub(_VARIABLE, "x", text) if setting.state == "unknown" else text
        if re.fullmatch(_SWEPT, plain) and "$" not in plain:
            about = {"why": "a comma outside of brackets is a sweep", "right": f"'{setting.key}=[{text}]'"}
            yield event("override_torn", setting.key, about, command, setting, facts)


def _broken_json(facts: Facts) -> Iterator[Event]:
    """Yield a runtime environment that Ray cannot read."""
    for each in facts.world:
        for setting in each.settings:
            if setting.key == JSON and isinstance(setting.value, str) and setting.value[:1] in "{'\"":
                try:
                    json.loads(re.sub(_OPEN, "1", setting.value))
                except ValueError as error:  # what Ray would say, with the place in the user's own text
                    yield event(
                        "override_torn", JSON, _why_no_json(setting, error, facts), each, setting, facts
                    )


def _python_in_json(command: Command, facts: Facts) -> Iterator[Event]:
    """Yield a flag's mapping in Python's words: True for true, single quotes for double ones."""
    for setting in command.settings:
        text = str(setting.value).strip()
        if setting.form != "flag" or setting.state == "unknown" or setting.key == JSON:
            continue
        if not re.fullmatch(_MAPPING, text) or len(text) > LONGEST_JSON:
            continue
        try:
            json.loads(text)
        except ValueError as error:  # what the program would say
            about = {"why": f"it is no JSON ({error})", "right": _in_json(setting.key, text)}
            yield event("override_torn", setting.key, about, command, setting, facts)


def _in_json(key: str, text: str) -> str:
    """Return a mapping of Python's as JSON in a word of the shell."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # neither the one nor the other
        return f"""{key} '{{"name": "value"}}' with double quotes inside single ones"""
    return f"{key} '{json.dumps(value)}'"


def _why_no_json(setting: Setting, error: ValueError, facts: Facts) -> dict[str, str]:
    """Return why a runtime environment is none: bare words of a variable, or what Ray would say."""
    place = setting.place
    data = facts.document.files.get(place.file, b"") if facts.document is not None and place else b""
    word = (
        data[place.start : place.start + LONGEST_WORD].split(b"\n")[0].decode("utf-8", "replace")
        if place
        else ""
    )
    bare = re.match(r"--runtime-env-json[= ](\$\{?\w+\}?)(?=\s|\\|$)", word)
    if bare is not None:
        return {"why": f"{bare[1]} is cut at its spaces", "right": f'{JSON}="{bare[1]}"'}
    return {"why": f"it is no JSON ({error})", "right": "a comma between all its members"}


def _misspelt(command: Command, document: Document, facts: Facts) -> Iterator[Event]:
    """Yield a setting whose variable is set nowhere, while one that is almost spelled like it is."""
    waiting = [setting for setting in command.settings if setting.state == "unknown" and setting.place]
    if not waiting:
        return
    assigned = assignments(document)
    for setting in waiting:
        for name in setting.depends:
            near = nearest(name, assigned) or glued(name, assigned)
            if near is not None:
                about = {"why": near, "right": name}
                yield event("variable_misspelt", setting.key, about, command, setting, facts)


def assignments(document: Document) -> set[str]:
    """Return the names that a script, or one that it reads, assigns somewhere."""
    return set().union(*map(_assigned, document.files.values()))


@lru_cache(maxsize=64)
def _assigned(data: bytes) -> frozenset[str]:
    """Return the names that a text assigns, read once for all launches of a script."""
    return frozenset(name.decode() for name in re.findall(_ASSIGNED, data))


def nearest(name: str, assigned: set[str]) -> str | None:
    """Return the assigned name that a name is only a slip away from."""
    if not name.isidentifier() or name in assigned or len(name) < SHORTEST:
        return None
    ranked = sorted((distance(name, each), each) for each in assigned if _is_slip(name, each))
    return ranked[0][1] if ranked and ranked[0][0] <= SLIP else None


def glued(name: str, assigned: set[str]) -> str | None:
    """Return the variable that a name begins with, where small letters run into it (``$HOMEdata``)."""
    capitals = re.match(_CAPITALS, name)
    known = capitals is not None and name not in assigned and capitals[0] in {*assigned, *_ALWAYS_SET}
    return capitals[0] if known and capitals is not None else None


def _is_slip(name: str, other: str) -> bool:
    """Say whether two names differ in a long word alone: tp and pp are two things."""
    words = [each.lower().split("_") for each in (name, other)]
    if len(words[0]) != len(words[1]):
        return False
    unlike = [pair for pair in zip(*words, strict=True) if pair[0] != pair[1]]
    return len(unlike) == 1 and min(map(len, unlike[0])) >= WORD


def event(
    kind: str, key: str, about: Mapping[str, Any], command: Command, setting: Setting | None, facts: Facts
) -> Event:
    """Return what is wrong with a word of a command, where it stands."""
    place = (setting.place if setting is not None else None) or command.place
    fields = {"key": key, "written": key, "value": None, "system": facts.system, "certain": True, **about}
    return Event(kind, fields, lines=(LogLine(place.file, place.line, ""),) if place is not None else ())
