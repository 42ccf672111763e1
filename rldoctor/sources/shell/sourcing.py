"""Finds the files that a script reads with ``source`` or runs with ``bash``."""

from __future__ import annotations

import re
from pathlib import Path

from rldoctor.sources.opening import MOST_SCRIPT_BYTES, load
from rldoctor.sources.shell.state import State
from rldoctor.sources.shell.text import PLACEHOLDER, Pieces, Source, Span, Word, decoded, is_unknown, raw

_SYSTEM = (
    r"(^|/)(activate|conda\.sh|mamba\.sh|setvars\.sh|set_env\.sh|modules?\.sh|bash|\.\w*(profile|rc)|\.env|profile)$"
    r"|^(/etc/|~/\.|\$HOME/\.)"
)
_PLACEHOLDER = r"<([A-Za-z][A-Z0-9_]{2,}|YOUR[\w-]*|[Yy]our[-_][\w-]+|[Pp]ath[-_/]to[\w/-]*)>"
_MOST_PARENTS = 12
_MOST_FILES = 200


def find(state: State, word: Word) -> Source | None:
    """Return the script that a word names: next to the script, from the working folder, or by its suffix."""
    name = decoded(raw(word.pieces))
    if "\0" in name or len(name) > 4096 or len(state.run.files) >= _MOST_FILES:
        return None
    for candidate in _candidates(state, word.pieces, name):
        if candidate.is_file() and candidate.stat().st_size <= MOST_SCRIPT_BYTES:
            return _opened(state, candidate)
    return None


def _candidates(state: State, pieces: Pieces, name: str) -> list[Path]:
    folder = Path(state.source.path).parent if state.source.path else None
    found: list[Path] = []
    if not is_unknown(pieces[:1]):
        path = Path(name)
        if path.is_absolute():
            found.append(path)
        else:
            if not is_unknown(state.cwd):
                found.append(Path(decoded(raw(state.cwd))) / path)
            found += [folder / path] if folder else []
            found.append(path)
    if folder is not None:
        found += _by_suffix(folder.absolute(), name)
    return found


def _by_suffix(folder: Path, name: str) -> list[Path]:
    """Return where the longest tail of the path stands in the folders above the script."""
    parts = [part for part in re.split(r"/+", name) if part not in ("", ".", "..")]
    tails = [parts[at:] for at in range(len(parts)) if not any("$" in part for part in parts[at:])]
    parents = [folder, *folder.parents][:_MOST_PARENTS]
    return [parent.joinpath(*tail) for tail in tails for parent in parents]


def _opened(state: State, path: Path) -> Source | None:
    file = str(path)
    if file not in state.run.files:
        data = load(path)
        if b"\0" in data[:8192]:
            return None
        state.run.files[file] = data
    return Source(file, shell_text(state.run.files[file]), file)


def shell_text(data: bytes) -> str:
    """Return a script's bytes as text, one character a byte; Windows line ends and a BOM become blanks."""
    text = data.decode("latin-1")
    if text.startswith("\xef\xbb\xbf"):
        text = "   " + text[3:]
    if "\r\n" in text:
        text = re.sub(r"(?m)^(\w+)\r\n", r"\1\n\n", text.replace("\\\r\n", " \\\n"))
        text = text.replace("\r\n", " \n")
    return re.sub(_PLACEHOLDER, f"{PLACEHOLDER[0]}\\1{PLACEHOLDER[1]}", text)


def missing(state: State, word: Word, span: Span | None) -> list[State]:
    """Note a sourced file that is not here; what a system's own files set is not missed."""
    name = decoded(raw(word.pieces))
    if not re.search(_SYSTEM, name):
        state.missing = tuple(dict.fromkeys((*state.missing, f"source {name}")))
        state.run.problem(f"the sourced file {name} was not found", span, "what it sets is unknown")
    return state.ended("open")
