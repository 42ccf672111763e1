"""Where rule files are: those of the program, and a folder of the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rldoctor.compiled import PACKAGE
from rldoctor.types import RLDoctorError

VARIABLE: Final = "RLDOCTOR_RULES"
_SHIPPED: Final = PACKAGE / "_rules"
_CHECKOUT: Final = PACKAGE.parent / "rules"


def own_folder() -> Path:
    """Return the folder of the rules that come with the program."""
    return _SHIPPED if _SHIPPED.is_dir() else _CHECKOUT


def users_folder() -> Path | None:
    """Return the folder that RLDOCTOR_RULES names, None where it is unset."""
    told = os.environ.get(VARIABLE)
    if not told:
        return None
    folder = Path(told).expanduser()
    if not folder.is_dir():
        raise RLDoctorError(f"{VARIABLE}: no such folder: {told}", hint=f"unset {VARIABLE}, or name a folder")
    return folder


def folders() -> tuple[Path, ...]:
    """Return all folders that rules are read from."""
    users = users_folder()
    return (own_folder(), users) if users else (own_folder(),)


def files(folders: Sequence[Path]) -> list[Path]:
    """Return the rule files of some folders, ordered by name within each."""
    return [Path(entry.path) for entry in entries(folders)]


def entries(folders: Sequence[Path]) -> list[os.DirEntry[str]]:
    """Return the rule files as the folders list them: cheap, there may be hundreds."""
    return [entry for folder in folders for entry in sorted(_within(str(folder)), key=lambda item: item.path)]


def _within(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from _within(entry.path)
            elif entry.name.endswith(".yaml"):
                yield entry
