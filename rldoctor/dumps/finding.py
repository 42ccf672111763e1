"""Which files beside logs are dumps or resolved configurations, told by their first bytes and their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

Kind = Literal["pickle", "json", "stacks", "ray_status", "config"]

HEAD: Final = 4096
MOST_FILES: Final = 50_000
MOST_CONFIGS: Final = 20
PICKLE: Final = re.compile(rb"\x80[\x02-\x05]")
TRACE_KEYS: Final = (b'"pg_config"', b'"comm_lib_version"', b'"nccl_version"', b'"profiling_name"')
STACKS: Final = re.compile(
    r"\s*(?:(?:Current thread|Thread) 0x[0-9a-f]{1,20} .{0,80}\(most recent call first\):"
    r"|Timeout \(\d+:\d\d:\d\d(?:\.\d+)?\)!|Process \d{1,10}: )"
)
STATUS: Final = "======== Autoscaler status:"
DUMP_NAME: Final = re.compile(
    r"trace|flight|nccl|(?:^|[_.-])fr[_.-]|snapshot|memory|(?:^|[_.-])mem[_.-]|dump|rank", re.IGNORECASE
)
TEXTS: Final = ("stacks", "ray_status")  # their words are read as a log's as well
SKIPPED: Final = frozenset({".git", "__pycache__", "node_modules", "site-packages"})
RUN_EVENTS: Final = "events.jsonl"


class Found(Struct, frozen=True):
    """A dump or a configuration and what kind it is."""

    path: str
    kind: Kind


def split(paths: Sequence[str]) -> tuple[tuple[Found, ...], tuple[str, ...]]:
    """Return the dumps among and below the paths, and the paths to be read as logs, dumps of text too."""
    found: dict[str, Found] = {}
    rest: list[str] = []
    for path in paths:
        if Path(path).is_dir():
            rest.append(path)
            found |= {os.path.realpath(one.path): one for one in _below(path)}
            continue
        kind = _kind(Path(path)) if path != "-" and Path(path).is_file() else None
        if kind is None or kind in TEXTS:
            rest.append(path)
        if kind is not None:
            found.setdefault(os.path.realpath(path), Found(path, kind))
    return tuple(found.values()), tuple(rest)


def _below(folder: str) -> Iterator[Found]:
    """Yield what lies below a folder; linked folders are not followed, unreadable files are no dumps."""
    seen = configs = 0
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(files):
            seen += 1
            if seen > MOST_FILES:
                return
            path = Path(parent, name)
            if _is_config(path, files):
                configs += 1
                if configs <= MOST_CONFIGS:
                    yield Found(str(path), "config")
            elif not name.endswith((".log", ".gz", ".zst", ".yaml", ".py", ".safetensors", ".jsonl")):
                kind = _kind(path)
                if kind is not None and (kind != "pickle" or DUMP_NAME.search(f"{path.parent.name}_{name}")):
                    yield Found(str(path), kind)


def _is_config(path: Path, beside: Sequence[str]) -> bool:
    """Say whether a file is the resolved configuration of a run; beside its events they tell of it."""
    if path.name == "args.json":
        return True
    return path.name in ("config.yaml", "config.yml") and RUN_EVENTS not in beside


def _kind(path: Path) -> Kind | None:
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return None
    if PICKLE.match(head):
        return "pickle"
    if head.lstrip()[:1] == b"{" and any(key in head for key in TRACE_KEYS):
        return "json"
    text = head.decode("utf-8", "replace")
    if _is_stacks(text):
        return "stacks"
    return "ray_status" if _is_status(text) else None


def _is_stacks(head: str) -> bool:
    """Say whether a text begins as a dump of stacks."""
    first = next((text for text in head.splitlines() if text.strip()), "")
    return STACKS.match(first) is not None


def _is_status(head: str) -> bool:
    """Say whether a text is the output of ``ray status``."""
    return STATUS in head[:4096] and "Resources" in head
