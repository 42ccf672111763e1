"""Command substitution: what a few pure commands print; everything else is unknown."""

from __future__ import annotations

import re
from typing import Final

from rldoctor.sources.shell.lexer import Part
from rldoctor.sources.shell.state import MOST_DEPTH, State
from rldoctor.sources.shell.text import (
    Piece,
    Pieces,
    assuming,
    blurred,
    from_pieces,
    raw,
    slice_pieces,
    unknown,
)

_COUNTS: Final = (
    r"torch\.cuda\.device_count\(\)|nvidia-smi\s[^|]*(-L|--list-gpus|--query-gpu=\w+)[^|]*(2>\s*/dev/null\s*)?"
    r"\|\s*(wc\s+-l|grep\s+-c\b)|rocm-smi[^|]*--showid[^|]*\|"
)


def output(state: State, part: Part) -> Pieces:
    """Return what ``$(…)`` prints in this world, without the newlines at its end."""
    whole = state.source.text[part.start : part.end]
    state.status = "presumed"
    if state.run.told.gpus is not None and re.search(_COUNTS, part.text):
        count = state.run.told.gpus
        return (Piece(str(count), assumes=(f"{count} GPUs a node, as told",)),)
    if state.run.depth >= MOST_DEPTH:
        return (unknown(whole, "nesting that is too deep"),)
    inside = state.source.cut(part.inner, part.inner + len(part.text))
    if part.kind == "backtick" and "\\" in part.text:
        inside = (Piece(re.sub(r"\\([`$\\])", r"\1", part.text)),)
    inner = state.fork()
    inner.output, inner.commands, inner.stop = (), (), ""
    inner.options |= {"captured"}
    state.run.depth += 1
    ends = state.run.execute(from_pieces(inside, state.source.file, state.source.path), inner)
    state.run.depth -= 1
    outputs = {raw(end.output or ()): end.output or () for end in ends}
    if len(outputs) != 1:
        return (unknown(whole, whole),)
    if len(ends) == 1:
        state.status = ends[0].status
    found = _trimmed(outputs.popitem()[1])
    if any(piece.unknown and not piece.text for piece in found):
        return (blurred(whole, found),)
    return assuming(found, inner.assumes[len(state.assumes) :])


def _trimmed(pieces: Pieces) -> Pieces:
    content = raw(pieces)
    kept = len(content.rstrip("\n"))
    silent = tuple(piece for piece in pieces if piece.unknown and not piece.text)
    return silent or slice_pieces(pieces, 0, kept) or (Piece(""),)
