"""What a checkpoint folder is, told from its files' names alone; nothing is ever unpickled."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.models.json_files import read_object
from rldoctor.types import RLDoctorError

Format = Literal[
    "torch_dist", "zarr", "torch", "torch_dcp", "fsdp_dtensor", "fsdp", "hf", "empty", "absent", "unknown"
]
TRACKER: Final = "latest_checkpointed_iteration.txt"
_STEP_FOLDER = re.compile(r"(iter|global_step)_0*(\d{1,15})")
_FSDP_SHARD = re.compile(r"model_world_size_(\d{1,6})_rank_(\d{1,6})\.pt")
_HF_WEIGHTS = re.compile(r".*\.safetensors|pytorch_model.*\.bin")
_HF_INDEXES: Final = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
# Where verl puts an actor's weights below global_step_N, by release.
_INNER: Final = (".", "actor", "actor/model/dist_ckpt", "actor/dist_ckpt", "model/dist_ckpt", "dist_ckpt")
_INNER_HF: Final = ("actor/model/huggingface", "actor/huggingface", "model/huggingface", "huggingface")


class Markers(Struct, frozen=True):
    """What a checkpoint folder is and whether a loader would find its weights.

    ``iteration`` is what the tracker says (0 for a release), ``iterations`` what is there;
    ``weights`` the folder that would be loaded; ``metadata`` the file that tells its format.
    """

    folder: str
    format: Format
    iteration: int | None = None
    release: bool = False
    iterations: tuple[int, ...] = ()
    tracker: str | None = None
    weights: str | None = None
    metadata: str | None = None
    complete: bool = False
    note: str = ""


def markers(folder: str | Path, step: int | None = None) -> Markers:
    """Return what a checkpoint folder holds; ``step`` asks for an iteration other than the newest."""
    path = Path(folder)
    try:
        names = sorted(child.name for child in path.iterdir())
    except NotADirectoryError:
        return Markers(str(folder), "unknown", note="a file, not a folder")
    except FileNotFoundError:
        return Markers(str(folder), "absent")
    except (OSError, ValueError) as error:
        return Markers(str(folder), "unknown", note=f"cannot be listed: {error}")
    if not names:
        return Markers(str(folder), "empty")
    return _judged(path, names, step)


def _judged(path: Path, names: list[str], step: int | None) -> Markers:
    steps = {int(found[2]): name for name in names if (found := _STEP_FOLDER.fullmatch(name))}
    base = Markers(str(path), "unknown", iterations=tuple(sorted(steps)))
    if TRACKER in names:
        base = _tracked(base, path / TRACKER)
    if base.note:
        return base
    wanted = step if step is not None else base.iteration
    if base.release and step is None:
        return _loadable(base, path / "release")
    if wanted is not None:
        return _numbered(base, path, steps, wanted)
    if _format_of(path)[0] != "unknown" or not steps:
        return _loadable(base, path)
    newest = _loadable(base, path / steps[max(steps)])
    return replace(newest, complete=False, note=f"no {TRACKER}: a loader starts from random weights")


def _tracked(base: Markers, tracker: Path) -> Markers:
    text = _head(tracker).strip()
    base = replace(base, tracker=str(tracker))
    if text == "release":
        return replace(base, iteration=0, release=True)
    if text.isdecimal() and len(text) < 16:
        return replace(base, iteration=int(text))
    return replace(base, note=f"{TRACKER} holds {text[:40]!r}, neither a number nor 'release'")


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(200).decode("utf-8", "replace")
    except OSError as error:
        return f"({error.strerror})"


def _numbered(base: Markers, path: Path, steps: dict[int, str], wanted: int) -> Markers:
    if wanted in steps:
        return _loadable(base, path / steps[wanted])
    near = _loadable(base, path / steps[max(steps)]).format if steps else "unknown"
    asks = f"{TRACKER} says" if base.iteration == wanted else "asked for is"
    have = ", ".join(str(number) for number in base.iterations[-5:]) or "none"
    return replace(base, format=near, note=f"{asks} iteration {wanted}, which is not there (there: {have})")


def _loadable(base: Markers, folder: Path) -> Markers:
    """Return the markers with format and completeness of the folder that holds the weights."""
    for inner in (*_INNER, *_INNER_HF):
        place = folder / inner
        kind, metadata = _format_of(place)
        if kind != "unknown":
            lacks = _lacks(place, kind)
            return replace(
                base,
                format=kind,
                weights=str(place),
                metadata=str(metadata) if metadata else None,
                complete=not lacks,
                note=lacks,
            )
    note = "" if folder.is_dir() else f"{folder.name} is not there"
    return replace(base, note=note)


def _names(folder: Path) -> list[str]:
    readable = folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
    return sorted(child.name for child in folder.iterdir()) if readable else []


def _format_of(folder: Path) -> tuple[Format, Path | None]:
    """Return the format of one folder of weights, in the order in which Megatron-LM itself looks."""
    names = _names(folder)
    if "metadata.json" in names:
        backend = _backend(folder / "metadata.json")
        if backend != "unknown":
            return backend, folder / "metadata.json"
    if any(name.startswith("mp_rank_") for name in names):
        return "torch", None
    if ".metadata" in names:
        return _dcp(folder / ".metadata"), folder / ".metadata"
    if any(name.endswith(".distcp") for name in names):
        return "torch_dcp", None
    if any(_FSDP_SHARD.fullmatch(name) for name in names):
        return "fsdp", None
    if any(_HF_WEIGHTS.fullmatch(name) for name in names) or any(name in names for name in _HF_INDEXES):
        index = next((folder / name for name in _HF_INDEXES if name in names), None)
        return "hf", index
    return "unknown", None


def _backend(path: Path) -> Format:
    try:
        backend = read_object(path).get("sharded_backend")
    except RLDoctorError:  # someone else's metadata.json
        return "unknown"
    if backend == "torch_dist":
        return "torch_dist"
    return "zarr" if backend == "zarr" else "unknown"


def _dcp(metadata: Path) -> Format:
    """Tell Megatron-FSDP's checkpoints from plain DCP by the prefix of the names in the pickle's bytes."""
    try:
        with metadata.open("rb") as file:
            return "fsdp_dtensor" if b"model.module." in file.read(2**24) else "torch_dcp"
    except OSError:
        return "torch_dcp"


def _lacks(folder: Path, kind: Format) -> str:
    """Return what a loader would miss in a folder, empty if it has all."""
    names = _names(folder)
    if kind in ("torch_dist", "torch_dcp", "fsdp_dtensor"):
        if ".metadata" not in names:
            return ".metadata is missing: the save did not end"
        return "" if any(name.endswith(".distcp") for name in names) else "no .distcp file"
    if kind == "torch":
        ranks = [name for name in names if name.startswith("mp_rank_")]
        bare = [name for name in ranks if not _names(folder / name)]
        return f"{bare[0]} is empty" if bare else ""
    if kind == "fsdp":
        return _lacks_ranks(names)
    return _lacks_shards(folder, names) if kind == "hf" else ""


def _lacks_ranks(names: list[str]) -> str:
    found = [match for name in names if (match := _FSDP_SHARD.fullmatch(name))]
    worlds = {int(match[1]) for match in found}
    if len(worlds) > 1:
        return f"shards of several world sizes: {sorted(worlds)}"
    missing = sorted(set(range(max(worlds))) - {int(match[2]) for match in found})
    return f"rank {missing[0]} of {max(worlds)} has no shard" if missing else ""


def _lacks_shards(folder: Path, names: list[str]) -> str:
    index = next((name for name in _HF_INDEXES if name in names), None)
    present = {name for name in names if (folder / name).stat().st_size > 0}
    if index is None:
        weights = [name for name in names if _HF_WEIGHTS.fullmatch(name)]
        empty = [name for name in weights if name not in present]
        return f"{empty[0]} is empty" if empty else ""
    try:
        listed = read_object(folder / index).get("weight_map")
    except RLDoctorError as error:
        return f"{index}: {error.message}"
    files = {str(name) for name in listed.values()} if isinstance(listed, dict) else set()
    missing = sorted(files - present)
    return f"{missing[0]} is missing or empty" if missing else ""
