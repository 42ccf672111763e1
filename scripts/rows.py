"""Make docs/rows.md: which promise of the source documents which test proves.

A test belongs to a cell when its name holds ROW_COMMAND, as in ``test_c4_check_warns`` or in the id of a
rule's own test, ``test_rule[c4_diagnose_...]``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

TABLE = Path("docs/rows.md")
COMMANDS = ("check", "diagnose", "run")
# A cell that is owed and has no test fails `make lint`.
OWED = {
    "check": "C2 C4 C5 C6 S1 S2 S3 S6 S10 S11 V1 V8 M1 M3 K1",
    "diagnose": "C4 C5 C6 S1 S2 S3 S8 S10 S11 S12 S13 V1 V2 V3 V7 V8 V9 V10 M1 M3 K1",
    "run": "",
}
_CELL = re.compile(r"(?:test|\[)_?([csvmak]\d+)_(check|diagnose|run)(?=_|\b)", re.IGNORECASE)


def collected() -> list[str]:
    """Return the ids of all tests that pytest finds."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=", "tests"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 5):
        raise SystemExit(done.stdout[-3000:] + done.stderr)
    return [line for line in done.stdout.splitlines() if "::" in line]


def cells(tests: list[str]) -> dict[tuple[str, str], list[str]]:
    """Return the tests of each cell (row, command)."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for test in tests:
        for row, command in _CELL.findall(test.partition("::")[2]):
            found[row.upper(), command.lower()].append(test)
    return found


def render(found: dict[tuple[str, str], list[str]]) -> str:
    """Return the page."""
    rows = sorted({row for row, _ in found}, key=lambda row: ("CSVMAK".index(row[0]), int(row[1:])))
    lines = [
        "# Rows",
        "Which promise of the source documents is held, and by how many tests. Made by `make docs`.",
        "",
        "| row | " + " | ".join(COMMANDS) + " |",
        "|---|" + "---|" * len(COMMANDS),
    ]
    for row in rows:
        counts = [str(len(found.get((row, command), ()))) for command in COMMANDS]
        lines.append(f"| {row} | " + " | ".join("" if n == "0" else n for n in counts) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or with ``--check`` compare; return the exit code."""
    found = cells(collected())
    missing = [f"{row} {c}" for c, rows in OWED.items() for row in rows.split() if (row, c) not in found]
    if missing:
        print("owed and without a test: " + ", ".join(missing))
        return 1
    page = render(found)
    if "--check" in sys.argv:
        if TABLE.read_text() != page:
            print(f"{TABLE} is out of date: make docs")
            return 1
    else:
        TABLE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
