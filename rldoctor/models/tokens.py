"""Stop tokens of a checkpoint: those it names, and those its chat template ends a turn with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from rldoctor.models.json_files import read_object
from rldoctor.types import RLDoctorError

_TURN_ENDS: Final = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|end|>",
    "<|return|>",
    "<end_of_turn>",
    "<turn|>",
    "<｜end▁of▁sentence｜>",
    "[/INST]",
    "<|END_OF_TURN_TOKEN|>",
)
_USES_EOS = re.compile(r"\beos_token\b")


class StopTokens(Struct, frozen=True):
    """``ids`` end an answer as the checkpoint says, in the file ``source``; ``chat_end_ids`` end a turn.

    ``has_template`` tells of the chat template, None where there are no tokenizer files. ``missing`` are turn
    ends that would not stop generation. ``notes`` name files that are broken.
    """

    ids: tuple[int, ...] = ()
    source: str | None = None
    chat_end_ids: tuple[int, ...] = ()
    has_template: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[int, ...]:
        """Return the turn ends that are not among the stop tokens."""
        return tuple(token for token in self.chat_end_ids if token not in self.ids)


def stop_token_ids(folder: str | Path) -> StopTokens:
    """Return the stop tokens that a checkpoint's files name; all empty where it has none or is not here."""
    notes: list[str] = []
    files = {name: _object(Path(folder) / name, notes) for name in _FILES}
    known = _known_tokens(Path(folder), files, notes)
    eos = known.get(_content(files["tokenizer_config.json"].get("eos_token")) or "")
    ids, source = _first(files)
    if not ids and eos is not None:
        ids, source = (eos,), "tokenizer_config.json"
    template = _template(Path(folder), files, notes)
    chat = tuple(_chat_ends(template, known, eos))
    return StopTokens(
        ids, source, chat, bool(template) if files["tokenizer_config.json"] else None, tuple(notes)
    )


_FILES: Final = (
    "generation_config.json",
    "config.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "chat_template.json",
)


def _object(path: Path, notes: list[str]) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        return read_object(path)
    except RLDoctorError as error:  # the other files may still tell
        notes.append(f"{path.name}: {error.message}")
        return {}


def _first(files: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[int, ...], str | None]:
    for name in ("generation_config.json", "config.json"):
        inner = files[name].get("text_config")
        nested = inner.get("eos_token_id") if isinstance(inner, dict) else None
        ids = _ids(files[name].get("eos_token_id", nested))
        if ids:
            return ids, name
    return (), None


def _ids(value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(
        dict.fromkeys(v for v in values if isinstance(v, int) and not isinstance(v, bool) and v >= 0)
    )


def _content(token: Any) -> str | None:
    """Return a token's text; tokenizer files write it bare or as an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _known_tokens(folder: Path, files: Mapping[str, Mapping[str, Any]], notes: list[str]) -> dict[str, int]:
    """Return the ids of added tokens; tokenizer.json, which is large, only where the others have none."""
    decoder = files["tokenizer_config.json"].get("added_tokens_decoder")
    known = dict(_decoded(decoder)) if isinstance(decoder, dict) else {}
    known |= {k: v for k, v in files["added_tokens.json"].items() if isinstance(v, int)}
    if not known:
        added = _object(folder / "tokenizer.json", notes).get("added_tokens")
        known = dict(_listed(added)) if isinstance(added, list) else {}
    return known


def _decoded(decoder: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for number, token in decoder.items():
        text = _content(token)
        if text is not None and number.isdecimal():
            yield text, int(number)


def _listed(added: list[Any]) -> Iterator[tuple[str, int]]:
    for token in added:
        text = _content(token)
        if text is not None and isinstance(token, dict) and isinstance(token.get("id"), int):
            yield text, token["id"]


def _template(folder: Path, files: Mapping[str, Mapping[str, Any]], notes: list[str]) -> str:
    path = folder / "chat_template.jinja"
    if path.is_file() and path.stat().st_size < 2**20:
        return path.read_text("utf-8", "replace")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = files[name].get("chat_template")
        if isinstance(found, str):
            return found
        if isinstance(found, list):  # several named templates; the default counts
            named = {t.get("name"): t.get("template") for t in found if isinstance(t, dict)}
            if isinstance(named.get("default"), str):
                return str(named["default"])
    return ""


def _chat_ends(template: str, known: Mapping[str, int], eos: int | None) -> Iterator[int]:
    for text in _TURN_ENDS:
        if text in template and text in known:
            yield known[text]
    uses_literal = any(known.get(text) == eos and text in template for text in _TURN_ENDS)
    if eos is not None and _USES_EOS.search(template) and not uses_literal:
        yield eos
