"""Which option is empty, by the names that the raising line has for what is None there."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 400  # characters of a message that is held against its line
MOST: Final = 4  # names in it
EMPTY: Final = ("None", "''", "[]", "{}", "()")
_OPTION: Final = r"\b(?:args|config|cfg|opts?|hparams)\.([a-z]\w*)(?![\w(.\[])"
_TEXT: Final = r"""\bf(["'])(?P<text>.{1,300}?)\1"""
_NAME: Final = r"[a-z]\w{2,}"  # no single letter, no item of a list: those are no options
_FIELD: Final = r"\{([^{}]{1,80})\}"


def blank(message: str, code: str) -> tuple[str, ...]:
    """Return the names whose values the message, which this line made, shows as None or empty."""
    told = re.search(_TEXT, code)
    if told is None or len(message) > LONGEST:
        return ()
    pieces = re.split(_FIELD, told["text"])
    fields, texts = pieces[1::2], pieces[::2]
    if not 0 < len(fields) <= MOST:
        return ()
    shown = [f"{re.escape(field)}(.*?)" if field.endswith("=") else "(.*?)" for field in fields]
    pattern = "".join(re.escape(text) + value for text, value in zip(texts, [*shown, ""], strict=True))
    values = re.match(f"{pattern}$", message)
    if values is None:
        return ()
    found = zip(fields, values.groups(), strict=True)
    names = (_plain(field) for field, value in found if value.strip() in EMPTY)
    return tuple(name for name in names if re.fullmatch(_NAME, name))


def options(code: str) -> tuple[str, ...]:
    """Return the options that a line reads: the last names of args.…, at most four of them."""
    found = tuple(dict.fromkeys(re.findall(_OPTION, code)))
    return found if len(found) <= MOST else ()


def _plain(field: str) -> str:
    """Return a field's own name: args.attention_type!r is attention_type."""
    return re.split(r"[!:=]", field)[0].strip().rsplit(".", 1)[-1]
