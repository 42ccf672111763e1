"""Python values as YAML text, in the manner of the text that stood there before."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from rldoctor.sources.yaml_tree import compose
from rldoctor.sources.yaml_values import implicit_tag
from rldoctor.types import Form, RLDoctorError

_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_OCTAL_OF_YAML_1_2 = re.compile(r"[-+]?0o[0-7]+")
_WIDE_BOOL = re.compile(rb":[ \t]+(?:(True|False)|(true|false))\b")


class Style(Struct, frozen=True):
    """How a value is to look: the old text, whether inside ``{}`` or ``[]``, ``True`` or ``true``."""

    like: str = ""
    flow: bool = False
    capital: bool = False
    form: Form = "yaml"


def writes_capitals(data: bytes) -> bool:
    """Return whether the file's booleans are mostly ``True`` and ``False`` rather than in lower case."""
    found = [bool(match[1]) for match in _WIDE_BOOL.finditer(data)]
    return sum(found) * 2 > len(found)


def spell(value: Any, style: Style) -> str:
    """Return a value as YAML on one line; RLDoctorError for what YAML's core types cannot say."""
    if style.form == "env":
        return _environment("" if value is None else str(value), style)
    if style.form == "flag" and isinstance(value, list | tuple):
        return _double("[" + " ".join(str(part) for part in value) + "]")
    if value is None:
        return "null"
    if isinstance(value, bool):
        return _bool(value, style)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return text(value, style)
    return _collection(value, style)


def _collection(value: Any, style: Style) -> str:
    inner = Style(flow=True, capital=style.capital)
    if isinstance(value, Mapping):
        pairs = (f"{text(str(key), inner)}: {spell(item, inner)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return "[" + ", ".join(spell(item, inner) for item in value) + "]"
    raise RLDoctorError(f"YAML has no plain way to write a {type(value).__name__}")


def _bool(value: bool, style: Style) -> str:
    word = "true" if value else "false"
    if style.like in ("TRUE", "FALSE"):
        return word.upper()
    if style.like in ("true", "false"):
        return word
    return word.capitalize() if style.like in ("True", "False") or style.capital else word


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    shown = repr(value)
    digits, exponent, power = shown.partition("e")
    # A dot and a sign, so that every YAML reader takes it for a number and not for text.
    dotted = digits if "." in digits or not exponent else f"{digits}.0"
    return dotted + (f"e{power if power[0] in '+-' else '+' + power}" if exponent else "")


def text(value: str, style: Style) -> str:
    """Return a string as YAML, quoted as the old one was, or only if it would be read as something else."""
    if not _fits_on_a_line(value):
        return _double(value)
    if style.like.startswith("'"):
        return _single(value)
    if style.like.startswith('"'):
        return _double(value)
    return value if _is_plain(value, style.flow, ("str",)) else _single(value)


def _environment(value: str, style: Style) -> str:
    if style.like[:1] not in ("'", '"') and _is_plain(value, style.flow, ("str", "int", "float")):
        return value
    return text(value, style) if style.like[:1] == "'" else _double(value)


def _fits_on_a_line(value: str) -> bool:
    return all(char.isprintable() for char in value)


def _single(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _double(value: str) -> str:
    return '"' + "".join(_ESCAPES.get(char) or _escape(char) for char in value) + '"'


def _escape(char: str) -> str:
    code = ord(char)
    if char.isprintable():
        return char
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_plain(value: str, flow: bool, kinds: tuple[str, ...]) -> bool:
    """Return whether bare text is read as exactly this text, as a value and as a key."""
    if implicit_tag(value) not in kinds or _OCTAL_OF_YAML_1_2.fullmatch(value):
        return False
    sample = f"{{k: {value}, l: 1}}" if flow else f"k: {value}\nl: 1\n"
    try:
        roots = compose("", sample.encode("utf-8")).roots
    except (RLDoctorError, UnicodeEncodeError):  # not to be said bare: the caller quotes it
        return False
    pairs = roots[0].pairs if len(roots) == 1 else ()
    node = pairs[0][1] if len(pairs) == 2 else None
    return node is not None and node.kind == "scalar" and not node.style and node.text == value
