"""Arguments to settings: Hydra words, flags with their values, short options."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor.sources.shell.text import (
    Piece,
    Pieces,
    Span,
    Word,
    assumes_of,
    decoded,
    depends_of,
    is_unknown,
    raw,
    slice_pieces,
    span_of,
)
from rldoctor.types import Form, Place, Setting

PlaceOf = Callable[[Span | None], Place | None]

_OVERRIDE = re.compile(r"(\+\+|\+|~)?([A-Za-z_$][\w.@/:$\[\]{}-]*)=", re.ASCII)
_REMOVED = r"(?a)~([A-Za-z_][\w.@/-]*)"
_FLAG = re.compile(r"(--[A-Za-z0-9_][^=\s]*|-[A-Za-z][\w-]*)(=)?", re.ASCII)
_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|-inf", re.ASCII)
_FURTHER = r"(?i)args?\b|_args_|opt(ion)?s\b|extra|flags\b|overrides\b|\[@\]"
_MOST_BETWEEN = 120
_FORMS: dict[str, Form] = {"": "override", "+": "append", "++": "append", "~": "delete"}


class Arguments(Struct, eq=False):
    """What the arguments of a command say."""

    settings: list[Setting] = field(default_factory=list)
    positional: list[str] = field(default_factory=list)
    assumes: list[str] = field(default_factory=list)


def parse(words: list[Word], place_of: PlaceOf) -> Arguments:
    """Return the settings and the positional arguments of a command's words, in order."""
    found = Arguments()
    at = 0
    while at < len(words):
        at = _take(words, at, place_of, found)
    return found


def _take(words: list[Word], at: int, place_of: PlaceOf, found: Arguments) -> int:
    word = words[at]
    text = raw(word.pieces)
    if word.elastic and len(word.pieces) == 1:
        names = depends_of(word.pieces)
        found.assumes.append(f"{' '.join(names) or decoded(text)} adds no arguments")
        return at + 1
    if text == "--":
        found.positional += [each.text for each in words[at + 1 :]]
        return len(words)
    flag = _flag(text)
    if flag:
        stop = at + 1 if flag[2] else _values_end(words, at + 1)
        found.settings.append(_flagged(words[at:stop], flag, place_of))
        return stop
    override = _OVERRIDE.match(text)
    removed = re.fullmatch(_REMOVED, text) if text[:1] == "~" else None
    if override:
        key = decoded(override[2])
        form = _FORMS[override[1] or ""]
        found.settings.append(_valued(key, form, word, override.end(), place_of))
    elif removed:
        found.settings.append(Setting(removed[1], None, "delete", place_of(word.span)))
    else:
        found.positional.append(word.text)
    return at + 1


def _flag(text: str) -> re.Match[str] | None:
    match = _FLAG.match(text) if text[:1] == "-" else None
    if not match or _NUMBER.fullmatch(text):
        return None
    return match if match[2] or match.end() == len(text) else None


def _values_end(words: list[Word], at: int) -> int:
    first = at
    while at < len(words):
        text = raw(words[at].pieces)
        if text == "--" or _flag(text) or _is_override(text, at == first):
            break
        if words[at].elastic and len(words[at].pieces) == 1 and not _is_value(words, at, at == first):
            break
        at += 1
    return at


def _is_value(words: list[Word], at: int, after_flag: bool) -> bool:
    """Return whether an unknown is taken as the flag's value, not as further arguments."""
    names = " ".join((*depends_of(words[at].pieces), decoded(raw(words[at].pieces))))
    placed = words[at - 1].span is not None and words[at].span is not None
    apart = placed and _run(words[at - 1 : at + 1]) is None
    return after_flag and not re.search(_FURTHER, names) and not apart


def _is_override(text: str, after_flag: bool) -> bool:
    """Return whether a word is a Hydra word; right after a flag only one that can be nothing else."""
    match = _OVERRIDE.match(text)
    if not match:
        return bool(re.fullmatch(r"~[A-Za-z_][\w.]*\.[\w.]+", text))
    return not after_flag or bool(match[1]) or "." in match[2]


def _flagged(words: list[Word], flag: re.Match[str], place_of: PlaceOf) -> Setting:
    key = decoded(flag[1])
    if flag[2]:
        return _valued(key, "flag", words[0], flag.end(), place_of)
    if len(words) == 1:
        setting = Setting(key, True, "flag", place_of(words[0].span))
        return _with_state(setting, words[0].pieces)
    span = _run(words)
    if len(words) == 2:
        setting = _valued(key, "flag", words[1], 0, place_of)
        return replace(setting, place=place_of(span) if span else place_of(words[0].span))
    every = tuple(piece for word in words for piece in word.pieces)
    values = _run(words[1:])
    setting = Setting(
        key,
        [word.text for word in words[1:]],
        "flag",
        place_of(span or words[0].span),
        place_of(values) if span else None,
    )
    return _with_state(setting, every)


def _run(words: list[Word]) -> Span | None:
    """Return the span of words that stand one behind the other in one file."""
    spans = [word.span for word in words]
    first, last = spans[0], spans[-1]
    for one, other in pairwise(spans):
        same = one is not None and other is not None and one == other
        if one is None or other is None or one.file != other.file or (other.start < one.end and not same):
            return None
        if other.start - one.end > _MOST_BETWEEN:
            return None
    return Span(first.file, first.start, last.end) if first and last else None


def _valued(key: str, form: Form, word: Word, cut: int, place_of: PlaceOf) -> Setting:
    value = slice_pieces(word.pieces, cut, len(raw(word.pieces)))
    literal = span_of(value) if value else _after(word)
    inside = _within(literal, word.span)
    return Setting(
        key,
        decoded(raw(value)) if value else "",
        form,
        place_of(word.span),
        value_place=place_of(literal) if inside else None,
        defined_at=None if inside else place_of(literal),
        state="unknown" if is_unknown(word.pieces) else "known",
        depends=depends_of(word.pieces),
        assumes=assumes_of(word.pieces),
    )


def _after(word: Word) -> Span | None:
    """Return the empty span where a missing value would stand."""
    last = word.pieces[-1].span if word.pieces else None
    return None if last is None else Span(last.file, last.end, last.end)


def _within(inner: Span | None, outer: Span | None) -> bool:
    if inner is None or outer is None or inner.file != outer.file:
        return False
    return outer.start <= inner.start and inner.end <= outer.end


def _with_state(setting: Setting, pieces: Pieces | tuple[Piece, ...]) -> Setting:
    return replace(
        setting,
        state="unknown" if is_unknown(pieces) else "known",
        depends=depends_of(pieces),
        assumes=assumes_of(pieces),
    )
