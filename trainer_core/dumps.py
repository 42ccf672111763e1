"""Stacks, flight recorder and memory snapshot of this process, into files."""

from __future__ import annotations

import faulthandler
import json
import os
from pathlib import Path

import torch

SNAPSHOT_EVENTS = 100_000
RECORDER_ENTRIES = 2000


def record_collectives(folder: Path) -> None:
    """Switch the flight recorder on; before the process group exists."""
    os.environ.setdefault("TORCH_FR_BUFFER_SIZE", str(RECORDER_ENTRIES))
    os.environ.setdefault("TORCH_NCCL_DUMP_ON_TIMEOUT", "1")
    os.environ.setdefault("TORCH_FR_DUMP_TEMP_FILE", str(folder / "flight_recorder_rank_"))


def record_allocations() -> None:
    """Switch the history of CUDA allocations on, which a memory snapshot shows."""
    if torch.cuda.is_available():
        torch.cuda.memory._record_memory_history(max_entries=SNAPSHOT_EVENTS)


def write_stacks(folder: Path, name: str) -> Path:
    """Append the stacks of all threads of this process to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"stacks_{name}.txt"
    with path.open("a", encoding="utf-8") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.write("\n")
    return path


def write_all(folder: Path, name: str) -> list[Path]:
    """Write the stacks, and what was recorded of allocations and collectives."""
    written = [write_stacks(folder, name)]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        snapshot = folder / f"memory_{name}.pickle"
        torch.cuda.memory._dump_snapshot(str(snapshot))
        written.append(snapshot)
    trace = _flight_recorder()
    if trace:
        recorder = folder / f"flight_recorder_{name}.json"
        recorder.write_text(trace, encoding="utf-8")
        written.append(recorder)
    return written


def _flight_recorder() -> str | None:
    from torch._C import _distributed_c10d as c10d

    dump = getattr(c10d, "_dump_fr_trace_json", None) or getattr(c10d, "_dump_nccl_trace_json", None)
    if dump is None:
        return None
    raw = dump()
    text = raw.decode("utf-8", errors="replace") if isinstance(raw, bytes) else str(raw)
    return text if json.loads(text).get("entries") else None
