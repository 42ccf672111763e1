"""Drawing to a terminal with colours; the only place that needs rich."""

from __future__ import annotations

import os
import sys
from typing import Final

from rldoctor.report import text
from rldoctor.types import Report

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
    """Print the report to standard output, coloured where that is a terminal that wants colours."""
    if not _wants_colours():
        sys.stdout.write(text.as_text(report, verbose))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in text.lines(report, verbose):
        console.print(Text(line.text, style=COLOURS[line.style]))


def _wants_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
