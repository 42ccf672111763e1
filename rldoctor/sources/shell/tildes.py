"""Tilde expansion: ``~`` is the home folder, which only the environment tells."""

from __future__ import annotations

import re

from msgspec.structs import replace

from rldoctor.sources.shell.state import State
from rldoctor.sources.shell.text import Piece, Pieces, unknown


def tildes(state: State, piece: Piece) -> Pieces:
    """Return a literal with its ``~`` as the home folder, at its start and after colons."""
    if piece.quoted or piece.unknown:
        return (piece,)
    found: list[Piece] = []
    at = 0
    for match in re.finditer(r"(?:^|(?<=:))~[^/:]*", piece.text):
        found += [piece.cut(at, match.start())] if match.start() > at else []
        found += _home(state, match[0])
        at = match.end()
    return (*found, piece.cut(at, len(piece.text))) if at < len(piece.text) else tuple(found)


def _home(state: State, tilde: str) -> Pieces:
    home = state.variables.get("HOME")
    if tilde == "~" and home is not None and home.kind == "scalar":
        return tuple(replace(piece, quoted=True) for piece in home.pieces)
    return (unknown(tilde, "HOME" if tilde == "~" else tilde),)
