"""Values both ways: from a system's own words to a concept's unit, and back."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from rldoctor import expr
from rldoctor.dialects.rows import Row
from rldoctor.types import UNKNOWN, RLDoctorError, Setting

TRUE: Final = frozenset(("true", "1", "yes", "on", "y", "t"))
FALSE: Final = frozenset(("false", "0", "no", "off", "n", "f"))
NOTHING: Final = frozenset(("none", "null", "~", ""))


def decode(row: Row, value: Any) -> Any:
    """Return the value in the concept's unit and words, UNKNOWN where it cannot be read."""
    if row.part is not None and value is not None:
        value = _part(row).read(_part_name(row), str(unquoted(value)))
    if value is UNKNOWN:
        return UNKNOWN
    if row.enum:
        return _choice(row, value)
    if row.type == "flag":
        return _flag(row, value)
    plain = unquoted(value)
    if plain is None or (isinstance(plain, str) and plain.strip().lower() in NOTHING):
        return None
    read = _READERS[row.type](plain)
    if read is UNKNOWN or read is None:
        return read
    if row.negate:
        return not read
    return _scaled(read, row.scale) if row.scale is not None else read


def encode(row: Row, value: Any, was: Any = None, text: Any = None) -> Any:
    """Return the value in the system's own words; a unit that does not divide is rounded away from ``was``.

    Without ``was`` it is rounded up. ``text`` is what the key says now: a row for a part of it gives back the
    whole. Raises RLDoctorError where the system cannot say the value.
    """
    theirs = _encoded(row, value, was)
    if row.part is None:
        return theirs
    whole = row.default if text is None else text
    if whole is None or whole is UNKNOWN:
        raise RLDoctorError(f"{row.key} is not written, so no part of it can be changed")
    return _part(row).write(_part_name(row), str(unquoted(whole)), theirs)


def _encoded(row: Row, value: Any, was: Any) -> Any:
    if row.enum:
        return _their_choice(row, value)
    if value is None:
        return None
    if row.type in ("flag", "bool"):
        if not isinstance(value, bool):
            raise RLDoctorError(f"{row.key} is on or off, not {value}")
        return value is not row.negate
    if row.type in ("int", "float"):
        return _their_number(row, value, was)
    return str(value) if row.type in ("str", "path") else value


def default(row: Row, version: str | None) -> Any:
    """Return the row's default in the concept's words, as of a release; None where there is none."""
    theirs = row.default
    for since, value in row.defaults:
        if version is None or expr.version_key(since) <= expr.version_key(version):
            theirs = value
    if row.type == "flag":
        pairs = dict(row.enum)
        return pairs.get(theirs is True) if row.enum else (theirs is True) is not row.negate
    return None if theirs is None and not row.enum else decode(row, theirs)


def plain(setting: Setting | None) -> str:
    """Return a setting's value without its quotes, "" where there is none or nobody can tell it."""
    if setting is None or setting.state == "unknown" or setting.form == "delete":
        return ""
    return str(setting.value).strip("'\" ")


def unquoted(value: Any) -> Any:
    """Return a word without one pair of quotes of its own (``'"8"'`` in a Hydra override)."""
    if isinstance(value, str) and len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _part(row: Row) -> Any:
    return importlib.import_module(str(row.part).partition(":")[0])


def _part_name(row: Row) -> str:
    return str(row.part).partition(":")[2]


def _choice(row: Row, value: Any) -> Any:
    word = unquoted(value)
    for theirs, ours in row.enum:
        if theirs is word or str(theirs) == str(word) or _same_bool(theirs, word):
            return ours
    nothing = word is None or str(word).strip().lower() in NOTHING
    if not nothing:
        return UNKNOWN
    return next((ours for theirs, ours in row.enum if theirs is None), None)


def _same_bool(theirs: Any, word: Any) -> bool:
    return isinstance(theirs, bool) and _bool(word) is theirs


def _flag(row: Row, value: Any) -> Any:
    present = _bool(value)
    return UNKNOWN if present is UNKNOWN else present is not row.negate


def _bool(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    return True if word in TRUE else False if word in FALSE else UNKNOWN


def _int(value: Any) -> Any:
    number = _float(value)
    if number is UNKNOWN or not math.isfinite(number) or number != int(number):
        return UNKNOWN
    return int(value) if isinstance(value, int) else int(number)


def _float(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(str(value).strip())
    except ValueError:
        return UNKNOWN


def _scaled(value: Any, scale: float) -> Any:
    result = value * scale
    return int(result) if isinstance(value, int) and result == int(result) else result


def _list(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_scalar(item) for item in value]
    text = str(value).strip()
    if text.startswith("["):
        return _hydra_list(text)
    return [_scalar(word) for word in text.replace(",", " ").split()]


def _hydra_list(text: str) -> Any:
    try:
        read = json.loads(text)
    except ValueError:
        inner = text.removeprefix("[").removesuffix("]").strip()
        read = [_scalar(unquoted(word.strip())) for word in inner.split(",")] if inner else []
    return read if isinstance(read, list) else UNKNOWN


def _scalar(word: Any) -> Any:
    if not isinstance(word, str):
        return word
    number = _int(word)
    return word if number is UNKNOWN else number


def _dict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    try:
        read = json.loads(str(value))
    except ValueError:
        return UNKNOWN
    return read if isinstance(read, dict) else UNKNOWN


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "str": str,
    "path": str,
    "list": _list,
    "dict": _dict,
}


def _their_choice(row: Row, value: Any) -> Any:
    for theirs, ours in row.enum:
        if type(ours) is type(value) and ours == value:
            return theirs
    raise RLDoctorError(f"{row.key} cannot say {value}")


def _their_number(row: Row, value: Any, was: Any) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RLDoctorError(f"{row.key} is a number, not {value}")
    theirs = value / row.scale if row.scale is not None else value
    if row.type == "float":
        return theirs
    down = isinstance(was, int | float) and value < was
    return math.floor(theirs) if down else math.ceil(theirs)
