"""The keys that a name in a system's code or messages stands for: those that end in it, longest way first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from rldoctor import dialects
from rldoctor.dialects import catalogue
from rldoctor.dialects.catalogue import SECTION
from rldoctor.dialects.suggest import OTHER_ROLES

ANY: Final = "trl"  # whose arguments those of a trainer are that nobody can tell: most stand on transformers
_ARGUMENTS: Final = {
    "trl": ("huggingface", "llamafactory", "deepspeed"),
    "swift": ("swift", "huggingface", "deepspeed"),
    "openrlhf": ("openrlhf", "deepspeed"),
    "nemo_rl": ("nemo_rl",),
    "axolotl": ("axolotl", "huggingface", "deepspeed"),
    "roll": ("roll",),
    "skyrl": ("skyrl",),
}
"""Lists of arguments of systems without a catalogue; they hold names of all releases."""
_FLAGS: Final = ("swift", "openrlhf")  # whose arguments are flags, the others' keys of a file
_BY_CODE: Final = {
    "axolotl": re.compile(r"/axolotl/\w.*\.py$"),
    "roll": re.compile(r"/roll/(?:configs|datasets|distributed|pipeline|third_party|utils)/.*\.py$"),
    "skyrl": re.compile(r"/skyrl(?:[_-]train)?/(?!integrations).*\.py$"),
}
"""Trainers that have no dialect and are told by whose code failed."""
_FOLDER: Final = Path(__file__).parent / "arguments"
_SAME: Final = r"(?:real|total|actual|effective|given|current|requested|configured|n)_"
_HANDED_ON: Final = {
    "vllm": re.compile(r".+\.engine_kwargs\.vllm"),
    "sglang": re.compile(r".+\.engine_kwargs\.sglang"),
    "megatron": re.compile(r".+\.actor\..*override_transformer_config"),
}
"""The section of a system's configuration whose settings are handed on to an engine as they are."""


def parts_of(key: str) -> tuple[str, ...]:
    """Return the words of a dotted key or of a flag, as code would write them."""
    return tuple(key.lstrip("-+").replace("-", "_").split("."))


def keys_of(system: str, path: Sequence[str]) -> tuple[str, ...]:
    """Return the keys that a dotted name of the code may stand for; other roles' only if it says so."""
    same = [key for key in tails(system).get(path[-1], ()) if not _is_section(system, key)]
    ranked = {key: _agreement(path, parts_of(key)) for key in same}
    best = max(ranked.values(), default=(0, 0))
    found = [key for key in same if ranked[key] == best]
    own = [key for key in found if OTHER_ROLES.isdisjoint(set(parts_of(key)[:-1]) - set(path))] or found
    spread = {key: _spread(system, key) for key in own}
    most = max(spread.values(), default=0)
    return tuple(key for key in own if 2 * spread[key] >= most)


def shortened(system: str, name: str) -> str:
    """Return the end of a name that is a key's: ``train_batch_size`` of ``real_train_batch_size``."""
    end = re.compile(_SAME).sub("", name, count=1) if re.match(_SAME, name) else name
    return end if end in tails(system) else name


def trainer_of(files: Iterable[str]) -> str | None:
    """Return the trainer without a dialect whose code some files are, None if there is none."""
    seen = tuple(files)
    return next((name for name, code in _BY_CODE.items() if any(map(code.search, seen))), None)


def concepts_of(engine: str, name: str) -> tuple[str, ...]:
    """Return the concepts that an engine or trainer calls by a name: another system spells them otherwise."""
    rows = dialects.load(engine).rows
    return tuple(
        dict.fromkeys(
            row.concept
            for row in rows
            if row.role == "policy" and any(parts_of(k) == (name,) for k in row.keys)
        )
    )


def handed_on(system: str, engine: str, name: str) -> str | None:
    """Return how a system's user sets an engine's own argument, None where it cannot be told."""
    flag = f"--{name.replace('_', '-')}"
    if system == engine or not catalogue.has(engine):
        return None
    if flag not in catalogue.load(engine) and off_switch(engine, name) is None:
        return None
    section = _section(system, engine)
    key = f"{section}.{name}"
    if section is None or key in catalogue.load(system):
        return key if section else None
    return f"+{key}" if dialects.load(system).hydra else key


def off_switch(engine: str, name: str) -> str | None:
    """Return the flag that switches a field of an engine's code off, None if it has none of its own."""
    if not catalogue.has(engine):
        return None
    ends = (name, name.partition("_")[2])  # --no-rope-fusion for apply_rope_fusion
    flags = (f"--{off}-{end.replace('_', '-')}" for end in ends if end for off in ("no", "disable"))
    return next((flag for flag in flags if flag in catalogue.load(engine)), None)


@cache
def tails(system: str) -> Mapping[str, tuple[str, ...]]:
    """Return a system's keys by the last word of each, those of its table first."""
    found: dict[str, dict[str, None]] = {}
    for key in _keys(system):
        found.setdefault(parts_of(key)[-1], {})[key] = None
    for embed in () if system in _BY_CODE else dialects.load(system).embeds:
        for flag in _catalogued(embed.system):
            found.setdefault(parts_of(flag)[-1], {})[f"{embed.prefix or '--'}{flag.lstrip('-')}"] = None
    return {tail: tuple(keys) for tail, keys in found.items()}


def _keys(system: str) -> Iterator[str]:
    """Yield a system's arguments, the keys of its table, of several spellings the first, its catalogue's."""
    dashes = "--" if system in _FLAGS else ""
    rows = () if system in _BY_CODE else dialects.load(system).rows
    ends = {parts_of(row.key)[-1] for row in rows if "." in row.key}
    names = (name for family in _ARGUMENTS.get(system, ()) for name in _names(family))
    listed = dict.fromkeys(f"{dashes}{name}" for name in names if name not in ends)
    yield from listed
    for row in rows:
        if not row.env and not row.key.startswith("@") and listed.keys().isdisjoint((row.key, *row.aliases)):
            yield row.key
    yield from _catalogued(system)


@cache
def _names(family: str) -> tuple[str, ...]:
    return tuple((_FOLDER / f"{family}.txt").read_text(encoding="utf-8").split())


def _catalogued(system: str) -> Iterator[str]:
    yield from catalogue.load(system) if catalogue.has(system) else ()


@cache
def _section(system: str, engine: str) -> str | None:
    """Return the section of the policy's configuration that is handed on to an engine."""
    pattern = _HANDED_ON.get(engine)
    named = (key for key in _catalogued(system) if pattern is not None and pattern.fullmatch(key))
    return next(
        (key for key in named if OTHER_ROLES.isdisjoint(parts_of(key)) and _is_section(system, key)), None
    )


def _is_section(system: str, key: str) -> bool:
    rows = catalogue.load(system).rows(key) if catalogue.has(system) else ()
    return bool(rows) and all(row[1].rstrip("?") == SECTION for row in rows)


def _spread(system: str, key: str) -> int:
    """Return in how many releases, under how many roots, a key is known."""
    if not catalogue.has(system):
        return 0
    known = catalogue.load(system)
    return sum(len(known.roots_of(key, release)) for release in known.releases_of(key))


def _agreement(path: Sequence[str], parts: Sequence[str]) -> tuple[int, int]:
    """Return how many words agree from the end on, and how many at all."""
    pairs = list(zip(reversed(path), reversed(parts), strict=False))
    alike = next((n for n, (one, other) in enumerate(pairs) if one != other), len(pairs))
    return alike, len(set(path) & set(parts))
