"""Fill the transcripts of README.md from the commands that stand above them.

A block that follows ``<!-- transcript: COMMAND -->`` holds what the command prints at the root.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path("README.md")
_BLOCK = re.compile(r"(<!-- transcript: (?P<command>[^\n]+?) -->\n```\w*\n)(?P<text>.*?)(```\n)", re.DOTALL)
_PROGRAMS = {"rldoctor": [sys.executable, "-m", "rldoctor"]}


def output(command: str) -> str:
    """Return what a command prints, with the prompt line above it."""
    program, *words = shlex.split(command)
    done = subprocess.run(
        [*_PROGRAMS[program], *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
    )
    return f"$ {command}\n{done.stdout}"


def filled(page: str) -> str:
    """Return the page with every transcript as the commands print it now."""
    return _BLOCK.sub(lambda found: found[1] + output(found["command"]) + found[4], page)


def main() -> int:
    """Write the page, or with ``--check`` compare; return the exit code."""
    page = PAGE.read_text()
    fresh = filled(page)
    if "--check" not in sys.argv:
        PAGE.write_text(fresh)
    elif fresh != page:
        print(f"{PAGE} is out of date: make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
