"""Reads the valid keys of a system's releases from checkouts and writes its catalogue.

    python -m scripts.catalogues verl 0.10=/path/to/a/checkout

adds a release to ``rldoctor/dialects/verl/catalogue.json``, or reads it anew; of vLLM and SGLang the folder
is an unpacked package. Nothing of the checkout is imported. ``--fresh`` leaves out all other releases;
without any release only what people wrote (``renames.yaml``) is taken over again.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import yaml

from scripts.catalogues import encoding
from scripts.catalogues.reading import Release

HERE = Path(__file__).parent
DIALECTS = HERE.parent.parent / "rldoctor" / "dialects"
SYSTEMS = ("verl", "slime", "areal", "chatlearn", "megatron", "vllm", "sglang")


def main(argv: list[str]) -> int:
    """Write one catalogue and say how many keys each release has."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("releases", nargs="*", metavar="RELEASE=FOLDER")
    parser.add_argument("--fresh", action="store_true", help="leave out the releases that are there")
    told = parser.parse_intermixed_args(argv)
    path = DIALECTS / told.system / "catalogue.json"
    releases = encoding.decode(path) if path.is_file() and not told.fresh else {}
    for pair in told.releases:
        name, _, folder = pair.partition("=")
        releases[name] = read(told.system, Path(folder))
    path.parent.mkdir(exist_ok=True)
    path.write_text(encoding.encode(told.system, releases, renames(told.system)), encoding="utf-8")
    for name in sorted(releases):
        print(name, {root: len(keys) for root, keys in releases[name].roots.items()})
    print(path.stat().st_size, "bytes")
    return 0


def read(system: str, folder: Path) -> Release:
    """Return what a checkout gives; an error if it gives nothing."""
    reader: Any = importlib.import_module(f"scripts.catalogues.{system}")
    found: Release = reader.read(folder.resolve())
    if not any(found.roots.values()):
        raise SystemExit(f"{folder}: no keys of {system} found")
    return found


def renames(system: str) -> list[dict[str, Any]]:
    """Return what people wrote down of a system's renamed and removed keys."""
    table = yaml.safe_load((HERE / "renames.yaml").read_text(encoding="utf-8"))
    return list(table.get(system) or [])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
