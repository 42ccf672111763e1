"""Words of a launch that bash or Hydra take for something else: braces, sums, lists and ends of values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from rldoctor import dialects
from rldoctor.dialects import grammar
from rldoctor.dialects.catalogue import SECTION
from rldoctor.facts.slips import line_of, slip
from rldoctor.facts.torn import assignments, event, nearest
from rldoctor.facts.walk import Facts
from rldoctor.types import Command, Document, Event, LogLine, Setting

_BRACES: Final = r"[+~]{0,2}[\w.@/-]+=[^'\"\s{}]*(?<!\$)\{[^{}'\"\s]*(?:,|\.\.)[^{}'\"\s]*\}[^'\"\s]*"
_NO_COMMA: Final = r"\[.*(?:'[^',\]]*'\s+'|\"[^\",\]]*\"\s+\").*\]"
_SUM: Final = rb"\$\(\(([^()\n]*(?:\([^()\n]*\)[^()\n]*)*)\)\)"
_FRACTION: Final = rb"(?<![\w.])\d*\.\d+\b"
_NAME: Final = rb"(?<![\w.])\$?\{?([A-Za-z_]\w*)\b(?![:\[(])"
_NUMBER: Final = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_FIRST: Final = (
    "enable",
    "enabled",
    "rank",
    "lr",
    "kl_coef",
    "loss_mode",
    "name",
    "mode",
    "path",
    "type",
    "backend",
)
_PIPE: Final = rb"(?m)[^\\|&(){\s][ \t]*\n[ \t]*((?:2>&1|&>|1>&2)[ \t]*\|[ \t]*tee\b[^\n]*)$"
_RUN_ON: Final = r"\n\s*([+~]{0,2}[A-Za-z_]\w*\.[\w.@/-]+)="
_HYDRA: Final = (
    *(
        "config-path",
        "config-name",
        "config-dir",
        "cfg",
        "resolve",
        "package",
        "run",
        "multirun",
        "info",
        "help",
    ),
    *("hydra-help", "version", "shell-completion", "experimental-rerun"),
)
_COMMENT: Final = rb"(?m)^[ \t]*#.*$"


def misread(facts: Facts) -> Iterator[Event]:
    """Yield words that come to the program otherwise than they are meant."""
    document, command = facts.document, facts.start.command
    if document is None or command is None or document.kind not in ("shell", "command"):
        return
    overrides = facts.system is not None and dialects.load(facts.system).form == "override"
    for setting in {each.key: each for each in command.settings}.values():
        yield from _edged(setting, command, facts)
        if overrides and setting.form == "flag":
            yield from _no_option(setting, command, facts)
        if overrides and setting.form in ("override", "append"):
            yield from _braced(setting, command, facts)
            yield from _swallowed(setting, command, facts)
            text = str(setting.value)
            if text.startswith("[") and re.fullmatch(_NO_COMMA, text):
                about = {"why": "its items have no comma between them", "right": "a comma after each item"}
                yield event("override_torn", setting.key, about, command, setting, facts)
    yield from _sums(document, command, facts)
    yield from _lost_pipe(document)
    if overrides:
        yield from _sectioned(command, facts)


def _sectioned(command: Command, facts: Facts) -> Iterator[Event]:
    """Yield a word that is given to a whole section, which it replaces: one of its keys is meant."""
    table = facts.table
    if table is None or table.version is None:
        return
    here = grammar.of(table.system, table.version, command, facts.start.below)
    for setting in command.settings if here is not None else ():
        word = str(setting.value).strip("'\"")
        plain = (
            setting.form == "override" and setting.state == "known" and word[:1] not in ("{", "[", "$", "")
        )
        known = here.find(setting.key) if here is not None and plain and "." in setting.key else None
        if here is None or known is None or known.kind != SECTION or word in ("null", "None"):
            continue
        below = {key: here.find(key) for key in tuple(here.keys()) if key.rpartition(".")[0] == setting.key}
        meant = _meant(word, {key: each.kind for key, each in below.items() if each is not None})
        if meant is not None:
            told = event("unknown_key", setting.key, {"nearest": meant}, command, setting, facts)
            about = {"value": word, "release": table.version, "root": here.name, "consequence": "refused"}
            yield Event(told.kind, {**told.fields, **about, "typo": False}, lines=told.lines)


def _meant(word: str, below: Mapping[str, str]) -> str | None:
    """Return the key of a section that a word is meant for, by its kind and what it is called."""
    kinds: tuple[str, ...] = ("str",)
    if word.lower() in ("true", "false"):
        kinds = ("bool",)
    elif re.fullmatch(_NUMBER, word):
        kinds = ("int", "float")
    fit = [key for key, kind in below.items() if kind in (*kinds, "any")]
    last = {key.rpartition(".")[2]: key for key in fit}
    return next((last[name] for name in _FIRST if name in last), None) or (fit[0] if len(fit) == 1 else None)


def _edged(setting: Setting, command: Command, facts: Facts) -> Iterator[Event]:
    """Yield a value that begins or ends with a blank, in its quotes: no path and no name does."""
    text = setting.value if isinstance(setting.value, str) else ""
    inner = text.strip("'\"")
    if setting.state == "known" and inner.strip() and inner != inner.strip() and len(inner.split()) == 1:
        about = {"why": "there is a blank at an end of its value", "right": f"{setting.key}={inner.strip()}"}
        yield event("override_torn", setting.key, about, command, setting, facts)


def _no_option(setting: Setting, command: Command, facts: Facts) -> Iterator[Event]:
    """Yield an option that Hydra does not have: settings of a configuration are overrides."""
    hydra = facts.system == "verl" and "main_ppo" in command.program
    if not hydra or not setting.key.startswith("--") or setting.key[2:] in _HYDRA or "." in setting.key:
        return
    from rldoctor.dialects import synonyms

    known = {row.key for row in dialects.load("verl").rows}
    meant = synonyms.of("verl", setting.key, known.__contains__)
    right = f"{meant}={setting.value}" if meant is not None else "it as an override, section.key=value"
    about = {"why": "Hydra has no such option", "right": right}
    yield event("override_torn", setting.key, about, command, setting, facts)


def _swallowed(setting: Setting, command: Command, facts: Facts) -> Iterator[Event]:
    """Yield a value whose quote is closed only lines later, so that it takes the overrides between."""
    text = setting.value if isinstance(setting.value, str) else ""
    found = re.search(_RUN_ON, text) if "\n" in text else None
    if found is not None:
        about = {
            "why": f"its quote is not closed on its line, and takes {found[1]} and what follows with it",
            "right": f"{setting.key}={text.split(chr(10))[0].rstrip(chr(92) + ' ')} with its quote closed",
        }
        yield event("override_torn", setting.key, about, command, setting, facts)


def _braced(setting: Setting, command: Command, facts: Facts) -> Iterator[Event]:
    """Yield a word with braces outside of quotes: bash makes several words of it, and the last counts."""
    place, document = setting.place, facts.document
    if place is None or document is None or place.file not in document.files:
        return
    line = document.files[place.file][place.start : place.start + 400].split(b"\n")[0]
    word = re.match(r"[^\s'\"]*", line.decode("utf-8", "replace")) if b"{" in line else None
    if (
        word is not None
        and re.fullmatch(_BRACES, word[0])
        and not _quoted_before(document.files[place.file], place.start)
    ):
        about = {
            "why": "bash makes a word of each item of its braces, and the last one counts",
            "right": f"'{setting.key}=[…,…]' with each item in full",
        }
        yield event("override_torn", setting.key, about, command, setting, facts)


def _quoted_before(data: bytes, start: int) -> bool:
    return data[start - 1 : start] in (b"'", b'"')


def _lost_pipe(document: Document) -> Iterator[Event]:
    """Yield a redirection with a pipe on a line of its own, which nothing flows into."""
    for path, data in document.files.items():
        for found in re.finditer(_PIPE, data) if b"tee" in data else ():
            line = line_of(data, found.start(1))
            said = found[1].decode(errors="replace").strip()
            says = f"`{said}` stands alone in line {line}: the command above it has ended"
            advice = "A backslash at the end of the line above, or all on the same line"
            yield slip(
                said,
                says,
                "a redirection belongs to the command on its line",
                advice,
                (path, line),
                "warning",
            )


def _sums(document: Document, command: Command, facts: Facts) -> Iterator[Event]:
    """Yield sums of bash with fractions, and with names that nothing sets and that count as 0."""
    summing = {path: whole for path, whole in document.files.items() if b"$((" in whole}
    assigned = assignments(document) if summing else set()
    for path, whole in summing.items():
        data = re.sub(_COMMENT, lambda found: b" " * len(found[0]), whole)
        for found in re.finditer(_SUM, data):
            about = _trouble(found[1], assigned)
            if about is not None:
                at = line_of(data, found.start())
                told = event(
                    "override_torn",
                    f"$(({found[1].decode(errors='replace').strip()}))",
                    about,
                    command,
                    None,
                    facts,
                )
                yield Event(told.kind, told.fields, lines=(LogLine(path, at, ""),))


def _trouble(text: bytes, assigned: set[str]) -> dict[str, str] | None:
    if re.search(_FRACTION, text):
        right = "whole numbers (x / 4 for x * 0.25), or awk"
        return {"why": "bash counts in whole numbers and refuses a fraction", "right": right}
    for name in dict.fromkeys(each.decode() for each in re.findall(_NAME, text)):
        near = None if name in assigned else nearest(name, assigned) or _sibling(name, assigned)
        if near is not None:
            return {"why": f"nothing sets {name}, which counts as 0; {near} is set", "right": near}
    return None


def _sibling(name: str, assigned: set[str]) -> str | None:
    """Return the one assigned name that is this one with a word of it written out, or cut short."""
    words = name.lower().split("_")
    same = [each for each in sorted(assigned) if _is_short(words, each.lower().split("_"))]
    return same[0] if len(same) == 1 and len(words) > 1 else None


def _is_short(one: list[str], other: list[str]) -> bool:
    pairs = list(zip(one, other, strict=False))
    unlike = [pair for pair in pairs if pair[0] != pair[1]]
    if len(one) != len(other) or len(unlike) != 1:
        return False
    short, long = sorted(unlike[0], key=len)
    return len(short) > 1 and long.startswith(short)
