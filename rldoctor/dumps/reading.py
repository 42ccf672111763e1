"""The reading of dumps: binary ones reduced in a process of their own, then all ranks side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from rldoctor.dumps import apart, configs, desync, flight, ray_status, snapshot, stacks
from rldoctor.dumps.finding import Found
from rldoctor.dumps.nouns import DumpReading
from rldoctor.dumps.unpickle import LARGEST, load_file
from rldoctor.types import Document, Event, RLDoctorError

T = TypeVar("T")

LEAST_MEMORY: Final = 512 << 20
MEMORY_PER_BYTE: Final = 40
MOST_MEMORY: Final = 16 << 30
LONGEST_TEXT: Final = 64 << 20


def read(found: Iterable[Found]) -> DumpReading:
    """Return what dumps and configurations say; each that cannot be read is a note."""
    by_kind: dict[str, list[str]] = {}
    for one in found:
        by_kind.setdefault(one.kind, []).append(one.path)
    notes: list[str] = []
    binary = [*by_kind.get("pickle", ()), *by_kind.get("json", ())]
    reduced = [(path, _kept(partial(_reduced, path), notes)) for path in binary]
    told = [*_collectives(reduced, notes), *_memory(reduced)]
    told += _stacks(by_kind.get("stacks", ()), notes)
    for path in by_kind.get("ray_status", ()):
        told += _kept(partial(_ray, path), notes) or ()
    documents = [_kept(partial(configs.read_config, path), notes) for path in by_kind.get("config", ())]
    kept: tuple[tuple[Document, str], ...] = tuple(each for each in documents if each is not None)
    notes += [f"{document.path} was taken into account ({form})" for document, form in kept]
    return DumpReading(
        tuple(path for kind, paths in by_kind.items() if kind != "config" for path in paths),
        tuple(told),
        kept,
        tuple(notes),
    )


def peak_bytes(path: str) -> int:
    """Return the most bytes allocated at once in a memory snapshot's history; RLDoctorError without one."""
    found = _reduced(path).get("snapshot")
    if found is None:
        raise RLDoctorError("this is no memory snapshot", file=path)
    if not found["recorded"]:
        hint = "torch.cuda.memory._record_memory_history() before the steps"
        raise RLDoctorError("the snapshot has no history, so no peak", file=path, hint=hint)
    if found["asked"]:
        raise RLDoctorError("the snapshot ends where memory ran out: the peak would be above it", file=path)
    return int(found["peak"])


def _kept(work: Callable[[], T], notes: list[str]) -> T | None:
    """Return what one file says; one that cannot be read is told and does not spoil the others."""
    try:
        return work()
    except RLDoctorError as error:
        notes.append(f"{error.file or ''}: {error.message}".removeprefix(": "))
    except OSError as error:
        notes.append(f"{error.filename}: was left out: {error.strerror}")
    return None


def _reduced(path: str) -> dict[str, Any]:
    size = Path(path).stat().st_size
    if size > LARGEST:
        raise RLDoctorError(f"this dump has {size >> 30} GiB; it was left out", file=path)
    memory = min(MOST_MEMORY, LEAST_MEMORY + MEMORY_PER_BYTE * size)
    return dict(apart.run(partial(_reduce, path), memory, path))


def _reduce(path: str) -> dict[str, Any]:
    """Return what counts of a dump; runs in a process of its own."""
    with Path(path).open("rb") as file:
        value = flight.parse_json(file.read()) if file.peek(1)[:1] != b"\x80" else load_file(file)
    if flight.is_trace(value):
        return {"flight": flight.reduce(value)}
    if snapshot.is_snapshot(value):
        return {"snapshot": snapshot.reduce(value)}
    raise RLDoctorError("this is neither a flight-recorder dump nor a memory snapshot; it was left out")


def _collectives(reduced: Sequence[tuple[str, Any]], notes: list[str]) -> list[Event]:
    """Return what the flight recorders of all ranks say together."""
    dumps: dict[int, desync.Dump] = {}
    for path, value in reduced:
        if value is not None and "flight" in value:
            rank = flight.rank_of(path)
            if rank is None:
                notes.append(f"{path}: its name tells no rank; it was left out")
            elif rank not in dumps:
                dumps[rank] = desync.Dump(rank, flight.trace(value["flight"]), path)
    if dumps:
        calls = sum(len(dump.trace.calls) for dump in dumps.values())
        what = f"{len(dumps)} flight-recorder dump{'s' * (len(dumps) != 1)}"
        notes.append(
            f"{what} {'were' if len(dumps) != 1 else 'was'} taken into account ({calls} collectives)"
        )
    return list(desync.events([dumps[rank] for rank in sorted(dumps)]))


def _memory(reduced: Sequence[tuple[str, Any]]) -> list[Event]:
    return [
        snapshot.event(value["snapshot"], path, flight.rank_of(path))
        for path, value in reduced
        if value is not None and "snapshot" in value
    ]


def _stacks(paths: Sequence[str], notes: list[str]) -> list[Event]:
    told = [(path, _kept(partial(_threads, path), notes)) for path in paths]
    event = stacks.event([(path, threads) for path, threads in told if threads])
    return [event] if event else []


def _threads(path: str) -> list[stacks.Stack]:
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        return stacks.parse(file.read(LONGEST_TEXT).splitlines())


def _ray(path: str) -> tuple[Event, ...]:
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        return ray_status.events(path, file.read(LONGEST_TEXT).splitlines())
