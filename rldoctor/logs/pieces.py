"""Pieces of text that are looked for first, because that is several times cheaper than all the patterns.

A thousand expressions at once keep a matcher busy with false starts. Rare pieces of text of which every match
holds one are found faster, and only the few lines that hold one need the expressions themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from rldoctor.logs.rarity import times

WIDTH: Final = 8  # bytes that hyperscan compares at once
LONG: Final = 7  # bytes from which a piece is told apart well
LONGEST: Final = 20  # bytes of a piece that is common in each of its parts
RARE: Final = 0.1  # times in a MiB
EACH: Final = 0.2  # what looking for one piece more costs, told in lines per MiB that are looked at twice
SHORT: Final = 3.0  # how much more it costs for each byte that the piece is shorter than WIDTH


class Piece(NamedTuple):
    """A text to look for, in any case or as it is."""

    text: bytes
    caseless: bool

    @property
    def is_long(self) -> bool:
        """Return whether the piece belongs to those that are told apart well."""
        return not self.caseless and len(self.text) >= LONG


def choose(texts: Iterable[Piece]) -> frozenset[Piece]:
    """Return pieces of which each text holds one: rare ones, and few, so that texts share them."""
    wanted = frozenset(texts)
    shared = _shared([piece.text for piece in sorted(wanted) if piece.is_long])
    left = (piece for piece in wanted if not (piece.is_long and shared.intersection(_windows(piece.text))))
    return frozenset((*(Piece(window, False) for window in shared), *map(rarest, left)))


def cost(piece: Piece) -> float:
    """Return what looking for a text costs, told in lines per MiB that are looked at twice."""
    text, caseless = rarest(piece)
    return times(text, caseless) + EACH * SHORT ** max(0, WIDTH - len(text)) * (1 + caseless)


def rarest(piece: Piece) -> Piece:
    """Return the part of a text that healthy logs have least; all before it too where that is not rare."""
    text, caseless = piece
    ends = range(min(WIDTH, len(text)), len(text) + 1)
    end = min(ends, key=lambda at: (times(text[max(0, at - WIDTH) : at], caseless), at))
    window = text[max(0, end - WIDTH) : end]
    return Piece(window if times(window, caseless) < RARE else text[max(0, end - LONGEST) : end], caseless)


def _windows(text: bytes) -> Iterator[bytes]:
    yield from (text[at : at + WIDTH] for at in range(max(1, len(text) - WIDTH + 1)))


def _shared(texts: list[bytes]) -> frozenset[bytes]:
    """Return rare windows until each text that has one holds one, the window of most texts first."""
    holders: dict[bytes, set[int]] = defaultdict(set)
    for number, text in enumerate(texts):
        for window in _windows(text):
            if times(window, False) < RARE:
                holders[window].add(number)
    left, chosen = set(range(len(texts))), set[bytes]()
    heap = [(-len(held), times(window, False), window) for window, held in holders.items()]
    heapify(heap)
    while heap:
        promised, seen, window = heappop(heap)
        holds = len(holders[window] & left)
        if holds == -promised:
            chosen.add(window)
            left -= holders[window]
        elif holds:  # others took some of its texts since it was put here
            heappush(heap, (-holds, seen, window))
    return frozenset(chosen)
