"""Shell patterns (``*``, ``?``, ``[…]``) as they stand in ``case``, ``[[`` and trims."""

from __future__ import annotations

import re

from msgspec import Struct

from rldoctor.sources.shell.text import Pieces, is_unknown

_MOST_STARS = 2


class Pattern(Struct, frozen=True):
    """A shell pattern: regular expressions for what stands between its stars."""

    fixed: tuple[str, ...]

    def matches(self, text: str) -> bool:
        """Return whether the whole text fits the pattern, in time that grows with its length only."""
        first, *rest = self.fixed
        middle = "".join(f"(?>.*?{each})" for each in rest[:-1])
        last = f".*{rest[-1]}" if rest else ""
        return re.fullmatch(first + middle + last, text, re.DOTALL) is not None

    @property
    def expression(self) -> str:
        """Return the pattern as one regular expression."""
        return ".*".join(self.fixed)

    def replace(self, text: str, new: str, where: str) -> str:
        """Return ``text`` with its first match replaced; "/" all, "#" at the start, "%" at the end."""
        if len(self.fixed) - 1 > _MOST_STARS or (not self.expression and where not in ("#", "%")):
            return text
        expression = {"#": rf"\A(?:{self.expression})", "%": rf"(?:{self.expression})\Z"}.get(
            where, self.expression
        )
        found: str = re.sub(expression, lambda _: new, text, count=0 if where == "/" else 1, flags=re.DOTALL)
        return found


def pattern(pieces: Pieces) -> Pattern | None:
    """Return the pattern that the pieces spell, quoted ones literally; ``None`` if it cannot be told."""
    if is_unknown(pieces) or re.search(r"[?*+@!]\(", "".join(p.text for p in pieces if not p.quoted)):
        return None
    fixed = [""]
    for piece in pieces:
        if piece.quoted:
            fixed[-1] += re.escape(piece.text)
            continue
        first, *rest = _translated(piece.text)
        fixed[-1] += first
        fixed += rest
    return Pattern(tuple(fixed))


def _translated(text: str) -> list[str]:
    found, at = [""], 0
    while at < len(text):
        char = text[at]
        close = text.find("]", at + 2) if char == "[" else -1
        if close > 0:
            found[-1] += _bracket(text[at + 1 : close])
            at = close
        elif char == "*":
            found.append("")
        else:
            found[-1] += "." if char == "?" else re.escape(char)
        at += 1
    return found


def _bracket(inside: str) -> str:
    negated = inside[:1] in ("!", "^")
    named = {"[:digit:": "0-9", "[:alpha:": "a-zA-Z", "[:alnum:": "a-zA-Z0-9", "[:upper:": "A-Z"}
    body = named.get(inside[negated:]) or re.sub(r"([\\\[\]&~|])", r"\\\1", inside[negated:])
    return f"[{'^' if negated else ''}{body}]"
