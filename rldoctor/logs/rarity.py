"""How often a text may stand in a healthy log, judged by a page of what healthy logs say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

MIB: Final = 1 << 20
CONTEXT: Final = 5  # bytes before a byte that tell how likely it is
BACK_OFF: Final = 0.8  # what a chance loses with each byte of context that was never seen together
NEVER_SEEN: Final = 1e-3


@cache
def times(text: bytes, caseless: bool) -> float:
    """Return how often a text is to be expected in a MiB."""
    usual = _usual(caseless)
    expected = float(MIB)
    for at in range(len(text)):
        known = text[max(0, at - CONTEXT) : at + 1]
        expected *= _chance(usual, known.lower() if caseless else known)
    return expected


def _chance(usual: Mapping[bytes, int], text: bytes) -> float:
    """Return how likely the last byte of a text is behind the others, or behind the last of them."""
    weight = 1.0
    while text:
        seen = usual.get(text)
        if seen:
            return weight * seen / usual[text[:-1]]
        text, weight = text[1:], weight * BACK_OFF
    return weight * NEVER_SEEN


@cache
def _usual(caseless: bool) -> Mapping[bytes, int]:
    """Return how often each run of up to CONTEXT + 1 bytes stands on the page."""
    text = resources.files("rldoctor.logs").joinpath("ordinary.txt").read_bytes()
    text = text.lower() if caseless else text
    sizes = range(1, CONTEXT + 2)
    counts = Counter(text[at : at + size] for size in sizes for at in range(len(text) - size + 1))
    return {b"": len(text), **counts}
