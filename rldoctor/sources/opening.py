"""Opens what the user names: bounded, never a folder, never binary."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path

from rldoctor.types import RLDoctorError

MOST_SCRIPT_BYTES = 10 * 1024 * 1024
MOST_NAMED = 3
LOG_SUFFIXES = (".log", ".out", ".err", ".stdout", ".stderr")
LOG_LINE = (
    rb"(?m)^(Traceback \(most recent call last\)|\[(rank|Rank )\d+\]|step:\d+ - "
    rb"|.{0,80}\b(INFO|WARNING|ERROR)\b)"
)


def load(path: Path) -> bytes:
    """Return a file's bytes; what cannot be a config is an error that says why."""
    name = str(path)
    try:
        if path.is_dir():
            raise RLDoctorError("this is a folder", file=name, hint=_in_folder(path))
        found = path.stat()
        if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            raise RLDoctorError("this is a device", file=name, hint="name a launch script or a YAML file")
        with path.open("rb") as file:
            data = file.read(MOST_SCRIPT_BYTES + 1)
        if len(data) > MOST_SCRIPT_BYTES:
            said = f"{found.st_size / 2**20:.0f} MiB" if found.st_size else "more"
            raise RLDoctorError(
                f"the file has {said}; a script or config may have 10 MiB",
                file=name,
                hint="a log is read by `rldoctor diagnose`",
            )
        return data
    except FileNotFoundError:
        raise RLDoctorError("there is no such file", file=name) from None
    except OSError as error:
        raise RLDoctorError(f"the file cannot be read: {error.strerror}", file=name) from error


def _in_folder(folder: Path) -> str:
    """Return what to name in a folder, with the scripts and configurations that stand in it."""
    found = sorted(str(path) for path in folder.iterdir() if path.suffix in (".sh", ".yaml", ".yml"))
    if not found:
        return "name a launch script or a YAML file in it"
    more = f" … ({len(found)} in all)" if len(found) > MOST_NAMED else ""
    return f"name what to look at: {' '.join(found[:MOST_NAMED])}{more}"


def standard_input() -> bytes:
    """Return what stands on standard input, bounded like a file."""
    data = sys.stdin.buffer.read(MOST_SCRIPT_BYTES + 1)
    if len(data) > MOST_SCRIPT_BYTES:
        raise RLDoctorError("standard input has more than the 10 MiB that a script or config may have")
    return data


def refuse_log(name: str, data: bytes) -> None:
    """Refuse a log, whose commands are history: what is changed in it changes nothing."""
    if name.lower().endswith(LOG_SUFFIXES) and re.search(LOG_LINE, data):
        raise RLDoctorError("this is a log, not a launch script", file=name, hint=f"rldoctor diagnose {name}")


def text_bytes(data: bytes, name: str) -> bytes:
    """Return the bytes if they are text with something in it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RLDoctorError("the file is UTF-16", file=name, hint="save it as UTF-8")
    if b"\0" in data[:65536]:
        raise RLDoctorError("this is a binary file", file=name, hint="name a launch script or a YAML file")
    if not data.strip(b" \t\r\n\xef\xbb\xbf"):
        raise RLDoctorError("the file is empty", file=name)
    return data
