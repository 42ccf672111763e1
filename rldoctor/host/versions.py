"""Installed packages that do not fit one another, read from what they say of themselves; none is imported."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

from msgspec import Struct

from rldoctor.dialects.versions import version_key
from rldoctor.host.lines import Line

WATCHED: Final = (
    "verl",
    "slime",
    "areal",
    "chatlearn",
    "megatron-core",
    "megatron-bridge",
    "mbridge",
    "vllm",
    "sglang",
    "sgl-kernel",
    "flashinfer-python",
    "flash-attn",
    "transformer-engine",
    "torch",
    "torchvision",
    "torchaudio",
    "triton",
    "transformers",
    "tokenizers",
    "numpy",
    "ray",
    "tensordict",
    "xformers",
    "peft",
    "accelerate",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
)
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?(?P<bounds>[^;)]*)\)?\s*(?P<marker>;.*)?"
)
_BOUND: Final = re.compile(r"(?P<how>===?|~=|!=|>=|<=|>|<)\s*(?P<version>[\w.*+!-]+)")
_CUDA: Final = re.compile(r"\+cu(\d+)(\d)\b")
MOST_BYTES: Final = 2_000_000


class Package(Struct, frozen=True):
    """An installed package: version, and what it requires, as written."""

    version: str
    requires: tuple[str, ...] = ()


def lines(cuda: str | None) -> Iterator[Line]:
    """Yield what is installed and what of it does not fit; ``cuda`` is the newest that the driver runs."""
    for folder in _folders():
        yield from judged(str(folder), installed(folder), cuda)


def _folders() -> list[Path]:
    """Return the site-packages of this Python and of the environment that is switched on."""
    found = [Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if os.environ.get(name):
            found += sorted(Path(os.environ[name]).glob("lib/python3*/site-packages"))
    return list(dict.fromkeys(each.resolve() for each in found if each.is_dir()))


def installed(folder: Path) -> dict[str, Package]:
    """Return the watched packages in a folder."""
    found = {}
    for path in sorted(folder.glob("*.dist-info")):
        name, _, version = path.name.removesuffix(".dist-info").partition("-")
        if (name := _plain(name)) in WATCHED:
            found[name] = Package(version, tuple(_requires(path / "METADATA")))
    return found


def _requires(file: Path) -> list[str]:
    if not file.is_file() or file.stat().st_size > MOST_BYTES:
        return []
    headers = HeaderParser().parsestr(file.read_text(encoding="utf-8", errors="replace"))
    return [str(each) for each in headers.get_all("Requires-Dist", [])]


def judged(folder: str, found: Mapping[str, Package], cuda: str | None) -> Iterator[Line]:
    """Yield the packages of a folder and each pair that does not fit."""
    if not found:
        return
    broken = list(_unmet(found))
    for text in broken:
        yield Line("versions", "warning", text, "install what the first of the two asks for")
    torch = found.get("torch")
    built = _CUDA.search(torch.version) if torch else None
    if built and cuda and version_key(".".join(built.groups())) > version_key(cuda):
        text = f"torch {torch.version if torch else ''} is built for CUDA {'.'.join(built.groups())}, "
        older = built[1] != cuda.partition(".")[0]
        hint = "a newer driver, or a torch for an older CUDA"
        yield Line("versions", "error" if older else "note", f"{text}the driver runs up to {cuda}", hint)
    if len({"nvidia-nccl-cu12", "nvidia-nccl-cu13"} & set(found)) == 2:
        text = "NCCL for CUDA 12 and for CUDA 13 are both installed: which one is loaded is chance"
        yield Line("versions", "warning", text, "uninstall the one that torch was not built for")
    said = ", ".join(f"{name} {package.version}" for name, package in found.items())
    values = {"folder": folder, "packages": {name: package.version for name, package in found.items()}}
    yield Line("versions", "ok" if not broken else "note", f"{said} ({folder})", values=values)


def _unmet(found: Mapping[str, Package]) -> Iterator[str]:
    for name, package in found.items():
        for text in package.requires:
            wanted = _REQUIREMENT.match(text)
            if wanted is None or wanted["marker"] or _plain(wanted["name"]) not in found:
                continue  # a marker speaks of extras and other platforms
            other = _plain(wanted["name"])
            bounds = _BOUND.findall(wanted["bounds"])
            if not _meets(found[other].version, bounds):
                said = ",".join(f"{how}{version}" for how, version in bounds)
                yield f"{name} {package.version} requires {other}{said}, installed is {found[other].version}"


def _meets(version: str, bounds: Iterable[tuple[str, str]]) -> bool:
    return all(_meets_one(version.partition("+")[0], how, bound) for how, bound in bounds)


def _meets_one(version: str, how: str, bound: str) -> bool:
    bound = bound.partition("+")[0]
    if how in ("==", "===", "!=") and bound.endswith(".*"):
        same = _numbers(version)[: bound.count(".")] == _numbers(bound[:-2])
        return same == (how != "!=")
    mine, other = version_key(version), version_key(bound)
    if how == "~=":
        start = _numbers(bound)[:-1]
        return mine >= other and _numbers(version)[: len(start)] == start
    if how in ("==", "===", "!="):
        return (mine == other) == (how != "!=")
    return {">=": mine >= other, "<=": mine <= other, ">": mine > other, "<": mine < other}[how]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
