"""Where rule files are: those of the program, and a folder of the user's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    return [path for folder in folders for path in sorted(folder.glob("**/*.yaml"))]
