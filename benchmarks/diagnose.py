"""How fast `rldoctor diagnose` is beside ripgrep, and how much memory it takes.

    python benchmarks/diagnose.py [FOLDER] [GIB] [PART …]

Whole processes, one after the other in one run, the matcher's cache warm; ripgrep counts lines with the same
patterns (`rg --no-unicode -c`; those that its syntax refuses are left out). Parts: speed, storm, gz, memory,
first, ranks, fallback; without one all of them. FOLDER takes about 7 GiB.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from diagnose_log import write

from rldoctor.logs import reader, shapes
from rldoctor.logs.patterns import parse
from rldoctor.rules import index

MIB: Final = 1 << 20
ENVIRONMENT: Final = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
DIAGNOSE: Final = (sys.executable, "-m", "rldoctor", "diagnose", "--format", "json")
NO_HYPERSCAN: Final = "import sys; sys.modules['hyperscan'] = None; from rldoctor.cli import main; main()"
NAMED: Final = re.compile(r"\(\?P<\w+>")
ESCAPED: Final = re.compile(r"""\\(["'/=:,;!@%`~ <>])""")


class Cost(NamedTuple):
    """Seconds by the wall and of the CPU, and the peak in bytes of the process itself."""

    wall: float
    cpu: float
    peak: int


def cost(command: Sequence[str], **environment: str) -> Cost:
    """Run a command and return what it took."""
    began = time.perf_counter()
    with Path(os.devnull).open("w") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=ENVIRONMENT | environment)
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def patterns(folder: Path) -> Path:
    """Write the doctor's patterns as ripgrep reads them."""
    wanted = parse([*index().patterns, *reader.own_patterns(shapes.load())])
    texts = [ESCAPED.sub(r"\1", NAMED.sub("(?:", f"(?:{pattern.loose})")) for pattern in wanted]
    file = folder / "patterns.txt"
    kept = _taken(texts, folder / "try.txt")
    file.write_text("\n".join(kept) + "\n")
    print(f"{len(wanted)} patterns, ripgrep takes {len(kept)} of them; {_version()}")
    return file


def _taken(texts: list[str], file: Path) -> list[str]:
    file.write_text("\n".join(texts) + "\n")
    done = subprocess.run(
        ["rg", "--no-unicode", "-c", "-f", str(file), os.devnull], capture_output=True, check=False
    )
    if done.returncode in (0, 1):
        return texts
    half = len(texts) // 2
    return [*_taken(texts[:half], file), *_taken(texts[half:], file)] if half else []


def _version() -> str:
    return subprocess.run(["rg", "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[
        0
    ]


def row(what: str, size: int, took: Cost, floor: Cost | None = None) -> None:
    """Print one row: throughput by the wall and by the CPU, the ratio to a reference, the peak."""
    ratio = f"{floor.cpu / took.cpu:6.2f} × per core {floor.wall / took.wall:6.2f} × wall" if floor else ""
    speed = f"{size / MIB / took.wall:8.0f} MiB/s  cpu {size / MIB / took.cpu:8.0f} MiB/s"
    print(f"{what:28s} {took.wall:8.2f} s {speed}  peak {took.peak / MIB:5.0f} MiB  {ratio}", flush=True)


def speed(folder: Path, size: int, name: str = "plain", storm: float = 0.0) -> None:
    """Compare on one large file."""
    log, file = folder / f"{name}.log", patterns(folder)
    write(log, size, storm)
    row(f"{name}: wc -l", size, cost(["wc", "-l", str(log)]))
    grep = cost(["rg", "--no-unicode", "-j1", "-c", "-f", str(file), str(log)])
    row(f"{name}: rg", size, grep)
    row(f"{name}: diagnose", size, cost([*DIAGNOSE, str(log)]), grep)


def packed(folder: Path, size: int) -> None:
    """Compare on a gz file."""
    log, file = folder / "packed.log", patterns(folder)
    write(log, size)
    subprocess.run(["gzip", "-1", "-f", str(log)], check=True)
    pipe = f"zcat {log}.gz | rg --no-unicode -c -f {file}"
    reference = cost(["sh", "-c", pipe])
    row("gz: zcat | rg", size, reference)
    row("gz: diagnose", size, cost([*DIAGNOSE, f"{log}.gz"]), reference)


def memory(folder: Path, size: int) -> None:
    """Show the peak on four times the size, and on a single line of the size."""
    log = folder / "large.log"
    write(log, 4 * size)
    row("4 × size", 4 * size, cost([*DIAGNOSE, str(log)]))
    log.unlink()
    line = folder / "line.log"
    with line.open("wb") as out:
        for _ in range(size // MIB):
            out.write(b"a line without an end, loss: 0.1 " * (MIB // 33))
    row("one line", size, cost([*DIAGNOSE, str(line)]))
    line.unlink()


def first(folder: Path, _size: int) -> None:
    """Show how long a log of 10 MB takes."""
    log = folder / "small.log"
    write(log, 10 * MIB, 0.001)
    for _ in range(3):
        row("10 MiB", 10 * MIB, cost([*DIAGNOSE, str(log)]))


def ranks(folder: Path, _size: int) -> None:
    """Compare 4096 files of 1 MiB (linked, so that the disk holds few) with one file of the same bytes."""
    below = folder / "ranks"
    below.mkdir(exist_ok=True)
    write(below / "rank_0.log", MIB)
    kept = (below / "rank_0.log").read_bytes()[:MIB]
    (below / "rank_0.log").write_bytes(kept[: kept.rfind(b"\n") + 1])
    for number in range(1, 4096):
        if not (below / f"rank_{number}.log").exists():
            os.link(below / "rank_0.log", below / f"rank_{number}.log")
    size = 4096 * (below / "rank_0.log").stat().st_size
    whole = folder / "whole.log"
    with whole.open("wb") as out:
        for _ in range(4096):
            out.write((below / "rank_0.log").read_bytes())
    one = cost([*DIAGNOSE, str(whole)])
    row("one file", size, one)
    row("4096 files", size, cost([*DIAGNOSE, str(below)]), one)
    whole.unlink()


def fallback(folder: Path, size: int) -> None:
    """Compare the matcher of RE2 with hyperscan."""
    log = folder / "fallback.log"
    write(log, size)
    best = cost([*DIAGNOSE, str(log)])
    row("hyperscan", size, best)
    other = [sys.executable, "-c", NO_HYPERSCAN, "diagnose", "--format", "json", str(log)]
    cost([*other[:-1], str(folder / "warm.log")])
    row("RE2", size, cost(other), best)


PARTS: Final[Mapping[str, Callable[[Path, int], None]]] = {
    "speed": speed,
    "storm": lambda folder, size: speed(folder, size, "storm", 0.1),
    "gz": packed,
    "memory": memory,
    "first": first,
    "ranks": ranks,
    "fallback": fallback,
}


def main() -> None:
    """Run the parts that are asked for."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    size = int(float(sys.argv[2] if len(sys.argv) > 2 else 1) * 1024) * MIB
    folder.mkdir(exist_ok=True)
    write(folder / "warm.log", MIB)
    cost([*DIAGNOSE, str(folder / "warm.log")])
    for name in sys.argv[3:] or PARTS:
        PARTS[name](folder, size)


if __name__ == "__main__":
    main()
