"""Brace expansion: ``{a,b}`` and ``{1..8}`` in the unquoted text of a word."""

from __future__ import annotations

import re
from itertools import pairwise

from msgspec.structs import replace

from rldoctor.sources.shell.lexer import Part

_RANGE = r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?|([A-Za-z])\.\.([A-Za-z])"
_MOST = 4096
_MOST_BRACES = 32


def expand(parts: list[Part]) -> list[list[Part]]:
    """Return the words that a word with braces stands for; the word itself if bash would leave it."""
    braces = sum(part.text.count("{") for part in parts if part.kind == "literal" and not part.quoted)
    if not 0 < braces <= _MOST_BRACES:
        return [parts]
    return [_joined(word) for word in _expand(_exploded(parts), 0)[:_MOST]]


def _exploded(parts: list[Part]) -> list[Part]:
    found = []
    for part in parts:
        if part.kind == "literal" and not part.quoted:
            found += [
                replace(part, text=char, start=part.start + i, end=part.start + i + 1)
                for i, char in enumerate(part.text)
            ]
        else:
            found.append(part)
    return found


def _joined(parts: list[Part]) -> list[Part]:
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if last and _adjoins(last, part):
            found[-1] = replace(last, text=last.text + part.text, end=part.end)
        else:
            found.append(part)
    return found


def _adjoins(last: Part, part: Part) -> bool:
    bare = last.kind == part.kind == "literal" and not last.quoted and not part.quoted
    return bare and last.end == part.start and part.start >= 0


def _is(part: Part, char: str) -> bool:
    return part.kind == "literal" and not part.quoted and part.text == char


def _expand(parts: list[Part], depth: int) -> list[list[Part]]:
    for at, part in enumerate(parts):
        if not _is(part, "{") or depth > 8:
            continue
        close, commas = _closing(parts, at)
        if close is None:
            continue
        choices = _choices(parts, at, close, commas, depth)
        if choices is None:
            continue
        tails = _expand(parts[close + 1 :], depth)
        words = [parts[:at] + choice + tail for choice in choices for tail in tails[:_MOST]]
        return words[:_MOST]
    return [parts]


def _closing(parts: list[Part], at: int) -> tuple[int | None, list[int]]:
    depth = 0
    commas: list[int] = []
    for index in range(at, len(parts)):
        if _is(parts[index], "{"):
            depth += 1
        elif _is(parts[index], "}"):
            depth -= 1
            if depth == 0:
                return index, commas
        elif depth == 1 and _is(parts[index], ","):
            commas.append(index)
    return None, []


def _choices(
    parts: list[Part], at: int, close: int, commas: list[int], depth: int
) -> list[list[Part]] | None:
    if commas:
        edges = [at, *commas, close]
        found: list[list[Part]] = []
        for first, last in pairwise(edges):
            found += _expand(parts[first + 1 : last], depth + 1)
        return found
    inside = parts[at + 1 : close]
    if any(part.kind != "literal" or part.quoted for part in inside):
        return None
    sequence = _sequence("".join(part.text for part in inside))
    if sequence is None:
        return None
    return [[Part("literal", text, -1, -1)] for text in sequence]


def _sequence(text: str) -> list[str] | None:
    match = re.fullmatch(_RANGE, text)
    if not match:
        return None
    if match[4]:
        first, last = ord(match[4]), ord(match[5])
        step = 1 if first <= last else -1
        return [chr(code) for code in range(first, last + step, step)]
    first, last = int(match[1]), int(match[2])
    size = abs(int(match[3] or 1)) or 1
    step = size if first <= last else -size
    padded = any(re.match(r"-?0\d", bound) for bound in (match[1], match[2]))
    width = max(len(match[1]), len(match[2])) if padded else 0
    return [f"{value:0{width}d}" for value in range(first, last + (1 if step > 0 else -1), step)[:_MOST]]
