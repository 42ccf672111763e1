"""Several edits of one file as one new text, all other bytes equal."""

from __future__ import annotations

from collections.abc import Iterable

from rldoctor.types import Edit, RLDoctorError


def by_file(edits: Iterable[Edit]) -> dict[str, list[Edit]]:
    """Return the edits of each file, files and edits in the order given."""
    files: dict[str, list[Edit]] = {}
    for edit in edits:
        files.setdefault(edit.file, []).append(edit)
    return files


def splice(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the bytes with all edits made; identical edits count once.

    RLDoctorError if a span does not hold what the edit says, or two edits want different things
    of the same bytes. Different inserts at one place all happen, in the order given.
    """
    ordered = sorted(_distinct(edits), key=lambda edit: (edit.start, edit.end))
    pieces: list[bytes] = []
    at, before = 0, None
    for edit in ordered:
        if before is not None and edit.start < at:
            raise _conflict(before, edit)
        _check(data, edit)
        pieces += [data[at : edit.start], edit.new.encode("utf-8")]
        at, before = edit.end, edit
    return b"".join([*pieces, data[at:]])


def _distinct(edits: Iterable[Edit]) -> list[Edit]:
    return list({(edit.start, edit.end, edit.new): edit for edit in edits}.values())


def _check(data: bytes, edit: Edit) -> None:
    if edit.end > len(data) or data[edit.start : edit.end] != edit.old.encode("utf-8"):
        raise RLDoctorError(
            f"the text to change is not there any more: {_short(edit.old)}",
            file=edit.file,
            line=edit.line,
            hint="the file is not the one that was read; check it again",
        )


def _conflict(first: Edit, second: Edit) -> RLDoctorError:
    return RLDoctorError(
        f"two changes of the same text: {_short(first.new)} (line {first.line}) and {_short(second.new)}",
        file=second.file,
        line=second.line,
        hint="apply one, check again, then the other",
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else f"{line[:57]}...")
