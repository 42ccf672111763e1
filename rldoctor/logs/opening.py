"""Opening logs: files, folders, standard input, packed or not; never a whole file in memory."""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from msgspec import Struct, field

from rldoctor.logs.decoding import MAGIC, SNIFF, Binary, decode, is_plain
from rldoctor.types import RLDoctorError

CHUNK: Final = 1 << 19  # bytes; what is read, searched and counted in turn should lie in the cache of a core
DRIVE: Final = re.compile(r"([A-Za-z]):")
LARGE: Final = 16 << 20
"""Bytes on disk from which a packed log is unpacked ahead, and the end of a log held, slow to read again."""
TAIL: Final = 4  # pieces of it
OWN_RECORDS: Final = frozenset({"journal.jsonl"})  # what the doctor itself wrote is no evidence
LOG_SUFFIXES: Final = {".log", ".out", ".err", ".txt", ".jsonl", ".stdout", ".stderr", ".gz", ".zst"}
OTHER_SUFFIXES: Final = frozenset(
    [
        ".py",
        ".pyc",
        ".json",
        ".yaml",
        ".yml",
        ".toml",
        ".cfg",
        ".ini",
        ".sh",
        ".md",
        ".rst",
        ".html",
        ".css",
        ".js",
        ".csv",
        ".tsv",
        ".parquet",
        ".arrow",
        ".npy",
        ".npz",
        ".pt",
        ".pth",
        ".bin",
        ".safetensors",
        ".distcp",
        ".metadata",
        ".pkl",
        ".pickle",
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".svg",
        ".pdf",
        ".zip",
        ".tar",
        ".whl",
        ".so",
        ".db",
        ".sqlite",
        ".lock",
        ".pid",
        ".sock",
        ".tfevents",
        ".wandb",
    ]
)


class LogFile(Struct, frozen=True, eq=False):
    """A log as found: ``name`` is what reports show; standard input and pipes are put into ``spool``."""

    name: str
    size: int
    spool: IO[bytes] | None = None
    notes: list[str] = field(default_factory=list)
    tail: list[tuple[int, bytes]] = field(default_factory=list)

    def open(self) -> IO[bytes]:
        """Open the bytes as they lie on disk."""
        if self.spool is not None:
            return os.fdopen(os.dup(self.spool.fileno()), "rb")
        try:
            return Path(self.name).open("rb")
        except OSError as error:
            raise RLDoctorError(f"cannot read this log: {error.strerror}", file=self.name) from error

    def chunks(self) -> Iterator[bytes]:
        """Yield the text in pieces of about CHUNK bytes that end at line ends; endless lines are cut."""
        at, last = 0, deque[tuple[int, bytes]](maxlen=TAIL)
        for piece in self._pieces():
            if self.size >= LARGE:
                last.append((at, piece))
            at += len(piece)
            yield piece
        self.tail[:] = last

    def end_from(self, start: int) -> bytes | None:
        """Return the text from an offset to the end where the last pieces of a large log hold it."""
        if not self.tail or start < self.tail[0][0]:
            return None
        return b"".join(piece for _, piece in self.tail)[start - self.tail[0][0] :]

    def _pieces(self) -> Iterator[bytes]:
        carry = b""
        for data in self._decoded():
            cut = data.rfind(b"\n") + 1
            if cut == 0 and len(carry) + len(data) < CHUNK:
                carry += data
                continue
            cut = cut or len(data)
            yield carry + memoryview(data)[:cut] if carry else data[:cut]
            carry = data[cut:]
        if carry:
            yield carry

    def forward(self) -> Forward:
        """Return a reader of parts of the text, cheap as long as it only goes forward."""
        try:
            with self.open() as raw:
                return Forward(self, is_plain(raw))
        except RLDoctorError:  # gone since it was read, which `chunks` says
            return Forward(self, plain=False)

    def _decoded(self) -> Iterator[bytes]:
        notes: list[str] = []
        try:
            raw = self.open()
        except RLDoctorError as error:
            self._note([f"it vanished while it was read ({error.message})"])
            return
        with raw:
            raw.seek(0)
            yield from decode(raw, CHUNK, notes, ahead=self.size >= LARGE)
        self._note(notes)

    def _note(self, notes: Sequence[str]) -> None:
        """Keep what is to be said of this log, once although parts of it are read again."""
        self.notes.extend(note for note in notes if note not in self.notes)


class Forward:
    """Reads parts of a log again: by seeking where bytes are text, else by unpacking on, anew to go back."""

    def __init__(self, log: LogFile, plain: bool) -> None:
        self.log, self.plain = log, plain
        self.chunks, self.data, self.at = log.chunks(), b"", 0

    def take(self, start: int, end: int) -> bytes:
        """Return the bytes from start to end, fewer where the log ends."""
        if self.plain and (self.log.spool is not None or Path(self.log.name).is_file()):
            with self.log.open() as raw:
                raw.seek(start)
                return raw.read(end - start)
        held = self.log.end_from(start)
        if held is not None:
            return held[: end - start]
        if start < self.at:
            self.chunks, self.data, self.at = self.log.chunks(), b"", 0
        pieces = []
        while True:
            if start < self.at + len(self.data):
                pieces.append(self.data[max(0, start - self.at) : end - self.at])
            if end <= self.at + len(self.data):
                break
            self.at += len(self.data)
            self.data = next(self.chunks, b"")
            if not self.data:
                break
        return b"".join(pieces)


def find(paths: Sequence[str]) -> tuple[tuple[LogFile, ...], tuple[str, ...]]:
    """Return the logs under the given files, folders and ``-``, and notes on what was left out."""
    found: dict[str, LogFile] = {}
    notes: list[str] = []
    for path in paths:
        if path == "-":
            found["-"] = _spool(sys.stdin.buffer, "-")
        elif Path(path).is_dir():
            for name in _walk(Path(path)):
                _add(found, name, notes)
        else:
            found.setdefault(os.path.realpath(path), _named(path))
    if not found:
        raise RLDoctorError(
            f"no log found in {', '.join(paths) or 'nothing'}", hint="Name a file or a folder with logs."
        )
    return tuple(found.values()), tuple(notes)


def _named(path: str) -> LogFile:
    """Return a file that the user named; what cannot be read as a log is an error."""
    file = Path(path)
    if not file.exists():
        raise RLDoctorError("no such file or folder", file=path, hint=_meant(path))
    if file.is_fifo():  # what a shell makes of <(command)
        with file.open("rb") as stream:
            return _spool(stream, path)
    if not file.is_file():
        raise RLDoctorError("this is neither a file nor a folder", file=path, hint="Name a log or a folder.")
    log = LogFile(path, file.stat().st_size)
    kind = _binary(log)
    if kind:
        raise RLDoctorError(
            f"this is no text log ({kind})", file=path, hint="Name a text log, .gz, .zst or a folder."
        )
    return log


def _meant(path: str) -> str:
    """Return what helps somebody who names a place that this machine does not reach by that name."""
    if "://" in path:
        return "Nothing is fetched: save the log to a file and name that."
    drive = DRIVE.match(path)
    return f"Under WSL that drive is /mnt/{drive[1].lower()}/, with / for each backslash." if drive else ""


def _add(found: dict[str, LogFile], path: Path, notes: list[str]) -> None:
    """Add a file of a folder, unless it is a link to one seen, binary or unreadable."""
    real = os.path.realpath(path)
    if real in found:
        return
    try:
        log = LogFile(str(path), path.stat().st_size)
        if not _binary(log):
            found[real] = log
    except (OSError, RLDoctorError) as error:
        notes.append(f"{path} was left out: {getattr(error, 'message', error)}")


def _binary(log: LogFile) -> str:
    """Return what kind of binary data a file holds, or nothing for text."""
    with log.open() as raw:
        head = raw.read(8)
        raw.seek(0)
        kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")
        if kind:
            return kind
        try:
            next(decode(raw, SNIFF, []), b"")
        except Binary:
            return "binary data"
    return ""


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the log-like files below a folder, sorted; linked folders are not followed."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if _is_log_like(path) and path.is_file():
                yield path


def _is_log_like(path: Path) -> bool:
    if path.name.startswith(".") or path.name in OWN_RECORDS:
        return False
    suffix = path.suffix.lower()
    if suffix in (".gz", ".zst"):
        return Path(path.stem).suffix.lower() not in OTHER_SUFFIXES | {".tar"}
    return suffix in LOG_SUFFIXES or suffix not in OTHER_SUFFIXES


def _spool(stream: IO[bytes], name: str) -> LogFile:
    """Copy standard input or a pipe to a temporary file, because parts of it are read twice."""
    import tempfile

    spool = tempfile.TemporaryFile()  # noqa: SIM115 lives as long as the log
    size = 0
    while data := stream.read(CHUNK):
        size += spool.write(data)
    spool.flush()
    return LogFile(name, size, spool)
