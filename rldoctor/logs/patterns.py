"""Pattern keys as rules write them: a literal, or an RE2 expression between slashes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from functools import cached_property, lru_cache
from typing import Any, Final

from msgspec import Struct

from rldoctor.types import RLDoctorError

FLAGS: Final = re.compile(r"\(\?[a-z]+\)")
SPANNING: Final = re.compile(  # may match a line break; \x20 to \x7f may not
    r"\\[sWDnpP]|\\x(?![2-7][0-9A-Fa-f])|\\[tv]-|\[\^|\[\[|\(\?[a-z]*s"
)
TAIL: Final = re.compile(
    r"(?<=[^\\])\.(?:\{0,\d{1,4}\}|\*)\??\Z"
)  # may be empty, and would end at each offset
END: Final = re.compile(r"(?<!\\)(?:\\\\)*\$\Z")


class Pattern(Struct, frozen=True, dict=True):
    """One key: what the matcher looks for, and whether a line really has it."""

    key: str

    @property
    def is_literal(self) -> bool:
        """Return whether the key is plain text."""
        return not (len(self.key) > 2 and self.key.startswith("/") and self.key.endswith("/"))

    @property
    def source(self) -> str:
        """Return the regular expression of the key."""
        return _escape(self.key) if self.is_literal else self.key[1:-1]

    @cached_property
    def anchored(self) -> bool:
        """Return whether the key speaks of the start or the end of the message, so that prefixes matter."""
        return not self.is_literal and self._without(_without_anchors) != self.source

    @cached_property
    def trusted(self) -> bool:
        """Return whether a matcher's word is enough: no prefix matters and no match can span lines."""
        return not self.anchored and (self.is_literal or SPANNING.search(self.source) is None)

    @cached_property
    def loose(self) -> str:
        """Return the expression without its outer anchors and a tail that may be empty.

        It finds every line that the key may mean, each at as few offsets as can be.
        """
        return self.source if self.is_literal else self._without(_without_ends)

    def _without(self, cut: Callable[[str], str]) -> str:
        """Return the expression with each of its alternatives cut."""
        flags = FLAGS.match(self.source)
        head = flags[0] if flags else ""
        return head + "|".join(cut(part) for part in alternatives(self.source[len(head) :]))

    @cached_property
    def search(self) -> Callable[[bytes], Any]:
        """Return a function that tells whether a line (bytes) has the pattern."""
        if self.is_literal:
            needle = self.key.encode()
            return lambda line: True if needle in line else None
        return compile_re2(self.source, self.key).search  # type: ignore[no-any-return]


def alternatives(expression: str) -> list[str]:
    """Split an expression at the bars that stand in no group and no class."""
    parts, start, depth, in_class, at = [], 0, 0, False, 0
    while at < len(expression):
        char = expression[at]
        if char == "\\":
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
            at += expression[at + 1 : at + 2] in ("]", "^")
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "|" and depth == 0:
            parts.append(expression[start:at])
            start = at + 1
        at += 1
    return [*parts, expression[start:]]


def _without_anchors(part: str) -> str:
    part = part.removeprefix("^")
    return part[:-1] if END.search(part) else part


def _without_ends(part: str) -> str:
    return TAIL.sub("", _without_anchors(part))


def compile_re2(source: str, key: str) -> Any:
    """Compile an expression in linear-time syntax over bytes; what RE2 refuses is an error of the rule."""
    import re2

    try:
        return re2.compile(source.encode(), options())
    except re2.error as error:
        raise RLDoctorError(
            f"the pattern {key} is not valid: {_text(error)}", hint="Patterns use RE2 syntax."
        ) from error


def options() -> Any:
    """Return RE2 options for lines of bytes."""
    import re2

    chosen = re2.Options()
    chosen.encoding = re2.Options.Encoding.LATIN1
    chosen.log_errors = False
    chosen.max_mem = 64 << 20
    return chosen


def parse(keys: Collection[str]) -> tuple[Pattern, ...]:
    """Return the patterns of keys, each once, in order."""
    return tuple(map(_pattern, dict.fromkeys(keys)))


@lru_cache(maxsize=8192)
def _pattern(key: str) -> Pattern:
    return Pattern(key)


def refuse_empty(patterns: Iterable[Pattern]) -> None:
    """Raise if a pattern is one that every line has; compiles all, so ask once for a set of patterns."""
    for pattern in patterns:
        if not pattern.key.strip() or (not pattern.is_literal and pattern.search(b"") is not None):
            raise RLDoctorError(f"the pattern {pattern.key!r} matches every line")


def _escape(text: str) -> str:
    return re.sub(r"([\\.^$|?*+()\[\]{}/-])", r"\\\1", text)


def _text(error: BaseException) -> str:
    word = error.args[0] if error.args else str(error)
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)
