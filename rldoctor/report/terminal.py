"""Drawing to a terminal with colours; the only place that needs rich."""

from __future__ import annotations

import os
import sys
from typing import Final

from rldoctor.report import text
from rldoctor.report.pieces import WIDTH
from rldoctor.types import Report

NARROWEST: Final = 40
COLOURS: Final = {
    "plain": "",
    "error": "bold red",
    "warning": "bold yellow",
    "hint": "cyan",
    "dim": "dim",
    "old": "red",
    "new": "green",
    "strong": "bold",
}


def draw(report: Report, verbose: bool = False) -> None:
    """Print the report to standard output, coloured and as wide as a terminal where that is one."""
    drawn = text.lines(report, verbose, _width())
    if not _wants_colours():
        sys.stdout.write("".join(line.text + "\n" for line in drawn))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in drawn:
        console.print(Text(line.text, style=COLOURS[line.style]))


def _width() -> int:
    """Return the columns to fill: those of a terminal within reason, elsewhere the usual ones."""
    if not sys.stdout.isatty():
        return WIDTH
    import shutil  # only a terminal has a size

    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size().columns))


def _wants_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
