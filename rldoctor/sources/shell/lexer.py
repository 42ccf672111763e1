"""Cuts one shell word into literals and expansions, by bash's own rules for quotes and backslashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

Mode = Literal["bare", "quoted", "heredoc"]
Kind = Literal["literal", "parameter", "command", "backtick", "arithmetic", "process"]

_PLAIN = {
    "bare": re.compile(r"[^\\'\"$`<>]+"),
    "quoted": re.compile(r'[^\\"$`]+'),
    "heredoc": re.compile(r"[^\\$`]+"),
}
_ESCAPABLE = {"quoted": '$`"\\', "heredoc": "$`\\"}
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]", re.ASCII)
_ANSI = re.compile(r"\\(?:([abeEfnrtv\\'\"?])|x([0-9a-fA-F]{1,2})|([0-7]{1,3})|u([0-9a-fA-F]{1,4}))")
_ANSI_LETTERS = dict(
    zip("abeEfnrtv\\'\"?", "\a\b\x1b\x1b\f\n\r\t\v\\'\"?", strict=True),
)
_SPACE = " \t\r\n"
# What no rule of quoting or nesting looks at, so that it is skipped in one go.
_DULL = re.compile(r"[^\s\\'\"`$(){}<>;&|#]+")


class Part(Struct, frozen=True):
    """A stretch of a word. Offsets are the raw ones.

    ``text`` is a literal's meaning or an expansion's inside; ``inner`` is where that begins.
    """

    kind: Kind
    text: str
    start: int
    end: int
    quoted: bool = False
    inner: int = 0


def parts(text: str, start: int, end: int, mode: Mode = "bare") -> list[Part]:
    """Return the parts of the word at ``text[start:end]``, in order."""
    found: list[Part] = []
    at = start
    while at < end:
        plain = _PLAIN[mode].match(text, at, end)
        if plain:
            found.append(Part("literal", plain[0], at, plain.end(), mode != "bare"))
            at = plain.end()
            continue
        at = _special(text, at, end, mode, found)
    return found


def _special(text: str, at: int, end: int, mode: Mode, found: list[Part]) -> int:
    char = text[at]
    if char == "\\":
        return _backslash(text, at, end, mode, found)
    if char in "$`":
        return _dollar(text, at, end, mode, found)
    if char == "'":
        close = _closing_quote(text, at, end)
        found.append(Part("literal", text[at + 1 : close], at + 1, close, True))
        return close + 1
    if char == '"':
        return _double_quoted(text, at, end, found)
    if text.startswith("(", at + 1):
        close = skip_parentheses(text, at + 1, end)
        found.append(Part("process", text[at:close], at, close, True))
        return close
    found.append(Part("literal", char, at, at + 1))
    return at + 1


def _backslash(text: str, at: int, end: int, mode: Mode, found: list[Part]) -> int:
    following = text[at + 1 : min(at + 2, end)]
    if following == "\n":
        return at + 2
    if not following or (mode != "bare" and following not in _ESCAPABLE[mode]):
        found.append(Part("literal", "\\", at, at + 1, True))
        return at + 1
    found.append(Part("literal", following, at, at + 2, True))
    return at + 2


def _double_quoted(text: str, at: int, end: int, found: list[Part]) -> int:
    close = skip_double(text, at, end)
    inside = parts(text, at + 1, close - 1, "quoted")
    found.extend(inside or [Part("literal", "", at + 1, at + 1, True)])
    return close


def _dollar(text: str, at: int, end: int, mode: Mode, found: list[Part]) -> int:
    quoted = mode != "bare"
    if text[at] == "`":
        close = _closing_backtick(text, at, end)
        found.append(Part("backtick", text[at + 1 : close], at, close + 1, quoted, at + 1))
        return min(close + 1, end)
    if text.startswith("$((", at):
        close = skip_parentheses(text, at + 1, end)
        if text[close - 2 : close] == "))":
            found.append(Part("arithmetic", text[at + 3 : close - 2], at, close, quoted, at + 3))
            return close
    following = text[at + 1 : at + 2]
    if following == "(":
        close = skip_parentheses(text, at + 1, end)
        found.append(Part("command", text[at + 2 : close - 1], at, close, quoted, at + 2))
        return close
    if following == "{":
        close = skip_braces(text, at + 1, end)
        found.append(Part("parameter", text[at + 2 : close - 1], at, close, quoted, at + 2))
        return close
    if mode == "bare" and following == "'":
        return _ansi(text, at, end, found)
    if mode == "bare" and following == '"':
        return _double_quoted(text, at + 1, end, found)
    name = _NAME.match(text, at + 1, end)
    found.append(
        Part("parameter", name[0], at, name.end(), quoted, at + 1)
        if name
        else Part("literal", "$", at, at + 1, quoted)
    )
    return name.end() if name else at + 1


def _ansi(text: str, at: int, end: int, found: list[Part]) -> int:
    close = at + 2
    while close < end and text[close] != "'":
        close += 2 if text[close] == "\\" else 1
    close = min(close, end)

    def meaning(match: re.Match[str]) -> str:
        if match[1]:
            return _ANSI_LETTERS[match[1]]
        if match[4]:
            return chr(int(match[4], 16)).encode("utf-8", "replace").decode("latin-1")
        return chr((int(match[2], 16) if match[2] else int(match[3], 8)) & 0xFF)

    found.append(Part("literal", _ANSI.sub(meaning, text[at + 2 : close]), at + 2, close, True))
    return close + 1


def _closing_quote(text: str, at: int, end: int) -> int:
    close = text.find("'", at + 1, end)
    return end if close < 0 else close


def _closing_backtick(text: str, at: int, end: int) -> int:
    at += 1
    while at < end and text[at] != "`":
        at += 2 if text[at] == "\\" else 1
    return min(at, end)


def skip_double(text: str, at: int, end: int) -> int:
    """Return the offset after the closing quote of the string that opens at ``at``."""
    return _skip(text, at + 1, end, '"')


def skip_braces(text: str, at: int, end: int) -> int:
    """Return the offset after the ``}`` that closes the ``{`` at ``at``."""
    return _skip(text, at + 1, end, "}")


def skip_parentheses(text: str, at: int, end: int) -> int:
    """Return the offset after the ``)`` that closes the ``(`` at ``at``."""
    return _skip(text, at + 1, end, ")")


def _skip(text: str, at: int, end: int, closer: str) -> int:
    """Return the offset after ``closer``, whatever is nested before it skipped over."""
    open_ = [closer]
    while at < end and open_:
        dull = _DULL.match(text, at, end)
        if dull:
            at = dull.end()
        elif text[at] == open_[-1]:
            open_.pop()
            at += 1
        else:
            at = _nested(text, at, end, open_)
    return min(at, end)


def _nested(text: str, at: int, end: int, open_: list[str]) -> int:
    """Pass one character of a nested text; what it opens goes on the stack."""
    char, inside = text[at], open_[-1]
    if char == "\\":
        return at + 2
    if char == "`":
        return _closing_backtick(text, at, end) + 1
    if char == "$" and text[at + 1 : at + 2] in ("{", "("):
        open_.append("}" if text[at + 1] == "{" else ")")
        return at + 2
    if inside != '"':
        return _nested_bare(text, at, end, open_)
    return at + 1


def _nested_bare(text: str, at: int, end: int, open_: list[str]) -> int:
    char = text[at]
    if char == '"':
        open_.append('"')
    elif char == "(" and open_[-1] == ")":
        open_.append(")")
    elif char == "'" and not ('"' in open_ and open_[-1] == "}") and text.find("'", at + 1, end) > 0:
        return _closing_quote(text, at, end) + 1
    elif char == "#" and open_[-1] == ")" and text[at - 1] in " \t\n;(":
        line = text.find("\n", at, end)
        return end if line < 0 else line
    return at + 1


def _skip_one(text: str, at: int, end: int) -> int:
    """Return the offset after a character, a quoted text or an expansion of a bare word."""
    dull = _DULL.match(text, at, end)
    if dull:
        return dull.end()
    char, following = text[at], text[at + 1 : at + 2]
    if char == "'":
        return _closing_quote(text, at, end) + 1
    if char == '"':
        return skip_double(text, at, end)
    if char == "$" and following in ("{", "("):
        return skip_braces(text, at + 1, end) if following == "{" else skip_parentheses(text, at + 1, end)
    return _closing_backtick(text, at, end) + 1 if char == "`" else at + (2 if char == "\\" else 1)


def words(text: str, start: int, end: int, breaks: str = "") -> Iterator[tuple[int, int]]:
    """Yield the spans of the words between two offsets; comments are left out.

    A character of ``breaks`` is a word of its own, doubled if it stands doubled.
    """
    at = start
    while at < end:
        char = text[at]
        if char in _SPACE:
            at += 1
        elif char == "\\" and text[at + 1 : at + 2] in ("\n", "\r"):
            at += 2
        elif char == "#":
            line = text.find("\n", at, end)
            at = end if line < 0 else line
        else:
            stop = _word_end(text, at, end, breaks)
            yield at, stop
            at = stop


def _word_end(text: str, at: int, end: int, breaks: str) -> int:
    if text[at] in breaks:
        return at + 2 if text[at] != "(" and text[at + 1 : at + 2] == text[at] else at + 1
    while at < end and text[at] not in _SPACE and text[at] not in breaks:
        at = skip_parentheses(text, at + 1, end) if text.startswith("<(", at) else _skip_one(text, at, end)
    return min(at, end)
