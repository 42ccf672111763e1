"""What a script says and bash takes for something else: signs that look alike, lines out of their order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from msgspec.structs import replace

from rldoctor import dialects
from rldoctor.facts.refusal import Refusal
from rldoctor.facts.walk import Facts
from rldoctor.types import Event, LogLine, Place, Setting

LONGEST: Final = 300_000
ARRAY: Final = re.compile(rb"^[ \t]*\w+\+?=\(.*?^[ \t]*\)", re.MULTILINE | re.DOTALL)
_HERE: Final = rb"(?ms)<<-?[ \t]*['\"]?(\w+)['\"]?[^\n]*\n(.*?)^\s*\1[ \t]*$"
_APART: Final = rb"(?m)^[ \t]*(\w+)(?:[ \t]+\+?=[ \t]*|\+?=[ \t]+)\("
_SWALLOWED: Final = rb"(?m)^[ \t]*(?!#)[^\s#][^\n#]*\\[ \t]+$"
_LISTED: Final = rb"(?m)^[ \t]*(?:export[ \t]+)?(\w+)=([\w./:-]+(?:,[ \t]+[\w./:-]+)+)[ \t]*$"
_BATCH: Final = rb"(?m)^#SBATCH[ \t]+(\S+)"
_FIRST: Final = rb"(?m)^[ \t]*[^\s#]"
_STRICT: Final = rb"(?m)^(?:set[ \t]+(?:-\w*e\w*|-o[ \t]+errexit)|#!\S*(?:ba)?sh[ \t]+-\w*e\w*)\b"
_LENIENT: Final = rb"(?m)^set[ \t]+(?:\+\w*e|\+o[ \t]+errexit)"
_EXPONENT: Final = r"-(?:\d+\.?\d*|\.\d+)[eE][-+]?\d{1,3}"
_SEVERAL: Final = r"\d+(?:,\d+)+,?"
SPREAD: Final = (
    "--rollout-stop-token-ids",
    "--rampup-batch-size",
    "--sglang-cuda-graph-bs",
    "--cuda-graph-bs",
)
_KILLED: Final = rb"(?m)^((?:sudo[ \t]+)?(?:pkill|killall)\b[^\n|&]*)$"


def slips(facts: Facts) -> Iterator[Event]:
    """Yield what bash takes for something else than a script means."""
    document = facts.document
    if document is None or document.kind not in ("shell", "command"):
        return
    for path, whole in document.files.items():
        if len(whole) > LONGEST:
            continue
        data = _without_here_documents(whole)
        if not data.isascii() and _has_odd_code(data):
            from rldoctor.facts.lookalikes import look_alikes

            yield from look_alikes(path, data, facts)
        yield from _of_text(path, data, facts.system)
        if path == document.path and b"#SBATCH" in data:
            yield from _late_options(path, data)
        if path == document.path and b"kill" in data:
            yield from _ends_at_kill(path, data, facts)
    yield from _misspelt_numbers(facts)


@lru_cache(maxsize=64)
def _of_text(path: str, data: bytes, system: str | None) -> tuple[Event, ...]:
    """Return what a text says wrongly whatever it launches, read once for all of its launches.

    A plain text is looked for before the expression that it is in: each of those walks the whole script.
    """
    found: list[Event] = []
    if b"= (" in data or b" =(" in data or b"\t=(" in data:
        found += _spaced_arrays(path, data)
    if b"\\ " in data or b"\\\t" in data:
        found += _swallowed(path, data, system)
    if b", " in data or b",\t" in data:
        found += _spaced_lists(path, data)
    return (*found, *_mixed_ends(path, data))


@lru_cache(maxsize=64)
def _without_here_documents(data: bytes) -> bytes:
    return re.sub(_HERE, _blanked, data) if b"<<" in data else data


def _has_odd_code(data: bytes) -> bool:
    """Say whether a line that is no comment has signs beyond ASCII."""
    return any(not line.isascii() and not line.lstrip().startswith(b"#") for line in data.split(b"\n"))


def _blanked(found: re.Match[bytes]) -> bytes:
    """Return a here-document without its text, as long as it was."""
    return re.sub(rb"[^\n]", b" ", found[0])


def slip(
    key: str, says: str, why: str, advice: str, place: tuple[str, int], severity: str = "error"
) -> Event:
    """Return an event for a line that does something else; ``place`` is file and line."""
    fields = {
        "key": key,
        "written": key,
        "value": None,
        "system": "bash",
        "says": says,
        "why": why,
        "advice": advice,
        "severity": severity,
        "certain": True,
    }
    return Event("script_slip", fields, lines=(LogLine(place[0], place[1], ""),))


def line_of(data: bytes, at: int) -> int:
    """Return the line of an offset, from 1."""
    return data.count(b"\n", 0, at) + 1


def _spaced_arrays(path: str, data: bytes) -> Iterator[Event]:
    """Yield ``NAME =(``, which is a syntax error."""
    for found in re.finditer(_APART, data):
        name = found[1].decode()
        if re.search(rb"\$\{%b\[|\$%b\b" % (found[1], found[1]), data) is None:
            continue
        says = f"There is a space around the = of the array {name}"
        why = "bash reads a command and stops with a syntax error near the bracket"
        yield slip(name, says, why, f"Write {name}=(", (path, line_of(data, found.start(1))))


def _swallowed(path: str, data: bytes, system: str | None) -> Iterator[Event]:
    """Yield a backslash before a space inside an array: the space becomes an argument."""
    for array in ARRAY.finditer(data):
        found = re.compile(_SWALLOWED).search(data, *array.span())
        if found is not None:
            flag = found[0].split()[0].decode("utf-8", "replace")
            says = (
                f"A space follows the backslash behind {flag}: the program gets it as an argument of its own"
            )
            why = "Inside the brackets of an array no line needs a backslash"
            severity = "error" if system == "megatron" else "warning"
            advice = "Take the backslash out"
            yield slip(flag, says, why, advice, (path, line_of(data, found.end() - 1)), severity)


def _spaced_lists(path: str, data: bytes) -> Iterator[Event]:
    """Yield a list with spaces behind its commas: the variable gets its first element alone."""
    for found in re.finditer(_LISTED, data):
        name, value = found[1].decode(), found[2].decode()
        whole = ",".join(part.strip() for part in value.split(","))
        says = f"{name} becomes {value.split()[0]}: there are spaces in its list"
        why = "bash ends a word at a space; what follows is another command or another name"
        yield slip(name, says, why, f"{name}={whole}", (path, line_of(data, found.start(1))))


def _mixed_ends(path: str, data: bytes) -> Iterator[Event]:
    """Yield a line with a Windows end that should go on, in a script of Unix lines."""
    at = data.find(b"\\\r\n")
    if at >= 0 and data.count(b"\r\n") < data.count(b"\n"):
        line = line_of(data, at)
        says = f"Line {line} ends with a carriage return behind its backslash: the command ends there"
        why = (
            "A backslash goes on only before the newline itself; the arguments below never reach the program"
        )
        advice = f"Give line {line} a Unix line end (sed -i 's/\\r$//' SCRIPT)"
        yield slip("\\", says, why, advice, (path, line))


def _late_options(path: str, data: bytes) -> Iterator[Event]:
    """Yield options of a batch job behind its first command, which sbatch does not read."""
    first = re.search(_FIRST, data)
    found = re.compile(_BATCH).search(data, first.end()) if first is not None else None
    if found is not None:
        key = f"#SBATCH {found[1].decode('utf-8', 'replace')}"
        says = f"{key} stands below the script's first command, where sbatch does not read it"
        why = "sbatch takes options up to the first line that is neither a comment nor empty"
        advice = "Put all #SBATCH lines above the first command"
        yield slip(key, says, why, advice, (path, line_of(data, found.start())), "warning")


def _ends_at_kill(path: str, data: bytes, facts: Facts) -> Iterator[Event]:
    """Yield a script that ends before its launch where there is nothing to kill."""
    launch = facts.start.command.place if facts.start.command is not None else None
    until = launch.start if launch is not None and launch.file == path else 0
    strict = re.compile(_STRICT).search(data, 0, until)
    killed = re.compile(_KILLED).search(data, strict.end(), until) if strict is not None else None
    if strict is None or killed is None or re.compile(_LENIENT).search(data, strict.end(), killed.start()):
        return
    text = killed[1].decode("utf-8", "replace").strip()
    says = f"The script ends at `{text}` where no such process runs: set -e stands above it"
    why = "pkill and killall end with 1 where they find nothing, and under set -e the script ends with them"
    advice = f"{text} || true, or set -e below it"
    yield slip(text, says, why, advice, (path, line_of(data, killed.start())), "warning")


def of_place(place: Place | None) -> tuple[str, int]:
    """Return file and line of a place."""
    return (place.file, place.line) if place is not None else ("", 0)


def _misspelt_numbers(facts: Facts) -> Iterator[Event]:
    """Yield numbers that argparse does not take: negative with an exponent, several in one word."""
    command, document = facts.start.command, facts.document
    if command is None or document is None or facts.system is None:
        return
    if dialects.load(facts.system).form != "flag":
        return
    for setting in command.settings:
        place, text = setting.place, str(setting.value)
        if place is None or setting.form != "flag" or setting.state == "unknown":
            continue
        joined = f"{setting.key}=".encode()
        apart = not document.files.get(place.file, b"").startswith(joined, place.start)
        if apart and re.fullmatch(_EXPONENT, text):
            from decimal import Decimal  # where somebody writes one

            says = "A negative number with an exponent is taken for an option before Python 3.14"
            yield _number(setting, says, format(Decimal(text), "f"), f"{setting.key}={text}")
        elif re.fullmatch(_SEVERAL, text) and setting.key in SPREAD:
            says = "Several numbers stand in one word, which is no whole number"
            yield _number(setting, says, text.split(","), None)


def _number(setting: Setting, says: str, right: Any, advice: str | None) -> Event:
    where = "argparse: expected one argument, invalid int value"
    shown = f"{setting.key} {setting.value}"
    cure = (setting.key, right, f"{setting.key} {' '.join(right) if isinstance(right, list) else right}")
    told = Refusal(setting.key, says, "argparse", where, str(setting.value), shown, advice, cure)
    return replace(told, safety="safe").at(setting.place)
