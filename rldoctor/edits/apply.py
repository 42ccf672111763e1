"""Edits into files: all of them or none, each file whole at every moment."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct, field

from rldoctor.edits.splice import by_file, splice
from rldoctor.types import Edit, RLDoctorError

BACKUP_SUFFIX = ".rldoctor-backup"


class Applied(Struct, frozen=True):
    """A file that was changed, and where its former text is kept."""

    file: str
    edits: tuple[Edit, ...]
    backup: str | None = None


class _Plan(Struct):
    """One real file with its old and new bytes; ``names`` are those it was read under."""

    target: Path
    old: bytes
    edits: list[Edit] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    new: bytes = b""
    staged: Path | None = None
    backup: Path | None = None


def apply(edits: Iterable[Edit], files: Mapping[str, bytes], *, backup: bool = True) -> tuple[Applied, ...]:
    """Write the edits; ``files`` are the bytes as read.

    RLDoctorError, and every file as it was, if one of them changed since, is not a plain writable
    file, or cannot be replaced. Owner and mode stay; the former text goes to FILE.rldoctor-backup.
    """
    plans = [plan for plan in _plans(edits, files) if plan.new != plan.old]
    for plan in plans:
        _check_writable(plan)
        _check_unchanged(plan)
    with ExitStack() as undo:
        for plan in plans:
            _stage(plan, backup, undo)
        for plan in plans:
            _swap(plan, undo)
        undo.pop_all()
    return tuple(Applied(p.names[0], tuple(p.edits), str(p.backup) if p.backup else None) for p in plans)


def _plans(edits: Iterable[Edit], files: Mapping[str, bytes]) -> list[_Plan]:
    plans: dict[Path, _Plan] = {}
    for name, own in by_file(edits).items():
        if name not in files:
            raise RLDoctorError("an edit of a file that was not read", file=name)
        target = _target(name)
        plan = plans.setdefault(target, _Plan(target, files[name]))
        if plan.old != files[name]:
            raise RLDoctorError("read twice with different contents", file=name, hint="check it again")
        plan.edits += own
        plan.names.append(name)
    for plan in plans.values():
        plan.new = splice(plan.old, plan.edits)
    return list(plans.values())


def _target(name: str) -> Path:
    """Return the file behind a name; a link is followed only within its own folder."""
    path = Path(name)
    folder = path.parent.resolve()
    target = path.resolve()
    if path.is_symlink() and not target.is_relative_to(folder):
        raise RLDoctorError(
            f"a link to {target}, outside of its folder", file=name, hint="name the real file to change it"
        )
    if not target.exists():
        raise RLDoctorError("the file is gone", file=name)
    if not stat.S_ISREG(target.stat().st_mode):
        raise RLDoctorError("not a regular file", file=name)
    return target


def _check_writable(plan: _Plan) -> None:
    if not os.access(plan.target, os.W_OK):
        raise RLDoctorError("the file is read-only", file=plan.names[0], hint="nothing was changed")
    if not os.access(plan.target.parent, os.W_OK | os.X_OK):
        raise RLDoctorError(
            f"the folder {plan.target.parent} is read-only", file=plan.names[0], hint="nothing was changed"
        )


def _check_unchanged(plan: _Plan) -> None:
    try:
        now = plan.target.read_bytes()
    except OSError as error:
        raise RLDoctorError(f"cannot be read: {error.strerror}", file=plan.names[0]) from error
    if now != plan.old:
        raise RLDoctorError("the file changed after it was read", file=plan.names[0], hint="check it again")


def _stage(plan: _Plan, backup: bool, undo: ExitStack) -> None:
    """Write the new text and the backup beside the file; the file itself is not touched."""
    try:
        plan.staged = _written(plan, plan.new, undo)
        if backup:
            plan.backup = _backed_up(plan, undo)
    except OSError as error:
        raise _failure(plan, error) from error


def _written(plan: _Plan, data: bytes, undo: ExitStack) -> Path:
    """Return a temporary file in the target's folder with its owner and mode."""
    handle, name = tempfile.mkstemp(prefix=f".{plan.target.name}.", suffix=".tmp", dir=plan.target.parent)
    path = Path(name)
    undo.callback(path.unlink, missing_ok=True)
    with os.fdopen(handle, "wb") as file:
        _like(plan.target, file.fileno())
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


def _like(original: Path, handle: int) -> None:
    info, mine = original.stat(), os.fstat(handle)
    if (info.st_uid, info.st_gid) != (mine.st_uid, mine.st_gid):
        os.fchown(handle, info.st_uid, info.st_gid)
    os.fchmod(handle, stat.S_IMODE(info.st_mode))


def _backed_up(plan: _Plan, undo: ExitStack) -> Path:
    """Return a new file with the old text; an existing backup is never overwritten."""
    copy = _written(plan, plan.old, undo)
    path = _reserved(plan.target, number=0)
    undo.callback(path.unlink, missing_ok=True)
    return copy.replace(path)


def _reserved(target: Path, number: int) -> Path:
    path = target.with_name(target.name + BACKUP_SUFFIX + (f".{number}" if number else ""))
    try:
        path.touch(exist_ok=False)
    except FileExistsError:  # an older backup is someone's only copy: never overwritten
        return _reserved(target, number + 1)
    return path


def _swap(plan: _Plan, undo: ExitStack) -> None:
    """Put the new text in the file's place; on a later failure the old one comes back."""
    assert plan.staged is not None
    _check_unchanged(plan)
    try:
        undo.callback(_put_back, plan)
        plan.staged.replace(plan.target)
        _sync_folder(plan.target.parent)
    except OSError as error:
        raise _failure(plan, error) from error


def _put_back(plan: _Plan) -> None:
    if plan.target.read_bytes() == plan.new:
        with ExitStack() as undo:
            _written(plan, plan.old, undo).replace(plan.target)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _failure(plan: _Plan, error: OSError) -> RLDoctorError:
    return RLDoctorError(
        f"cannot be written: {error.strerror or error}", file=plan.names[0], hint="nothing was changed"
    )
