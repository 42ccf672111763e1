"""Hold the sizes of files and functions against the budgets of docs/architecture.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

PACKAGES = ("rldoctor/", "trainer_core/")
FILE_MEDIAN, FILE_MOST, FILE_MAX = 120, 300, 400
FUNCTION_MEDIAN, FUNCTION_MOST, FUNCTION_MAX = 10, 30, 50
BANNED = {"utils", "helpers", "common", "manager", "base", "core", "misc"}

Sized = list[tuple[int, str]]


def tracked() -> list[Path]:
    """Return the packages' Python files that git knows."""
    names = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in names.split() if name.startswith(PACKAGES) and Path(name).exists()]


def functions(path: Path) -> Sized:
    """Return the length in lines of each function of a file, nested ones on their own."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]
    return [((node.end_lineno or 0) - node.lineno + 1, f"{path}:{node.lineno} {node.name}") for node in nodes]


def share(sizes: Sized, quantile: float) -> int:
    """Return the size below which that share of the entries lies."""
    ordered = sorted(size for size, _ in sizes)
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] if ordered else 0


def complaints(what: str, sizes: Sized, limits: tuple[int, int, int]) -> list[str]:
    """Return a line for each budget that these sizes exceed."""
    median, most, largest = limits
    found = [f"{name}: {size} lines, at most {largest}" for size, name in sizes if size > largest]
    if share(sizes, 0.5) > median:
        found.append(f"{what}: median {share(sizes, 0.5)} lines, at most {median}")
    if share(sizes, 0.9) > most:
        found.append(f"{what}: 90 % have up to {share(sizes, 0.9)} lines, at most {most}")
    return found


def main() -> int:
    """Print the figures and each excess; return the exit code."""
    files = tracked()
    lines = [(path.read_text().count("\n"), str(path)) for path in files]
    bodies = [item for path in files for item in functions(path)]
    for what, sizes in (("files", lines), ("functions", bodies)):
        largest = max(sizes, default=(0, "-"))
        print(
            f"{what}: {len(sizes)}, median {share(sizes, 0.5)}, 90 % {share(sizes, 0.9)}, "
            f"largest {largest[0]} ({largest[1]})"
        )
    found = complaints("files", lines, (FILE_MEDIAN, FILE_MOST, FILE_MAX))
    found += complaints("functions", bodies, (FUNCTION_MEDIAN, FUNCTION_MOST, FUNCTION_MAX))
    found += [f"{path}: no module is named {path.stem}" for path in files if path.stem in BANNED]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
