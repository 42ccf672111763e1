"""The key that a misspelt one most likely means: what people wrote down, the same end, the same letters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from rldoctor.dialects.catalogue import Rename

CLOSE: Final = 0.8
NEAR: Final = 8  # keys alike among which is one that is not in use
SAME_END: Final = 0.55
TYPO: Final = 2
MANY: Final = 2
PREFIXES: Final = ("sglang", "rollout", "eval", "actor")
OTHER_ROLES: Final = frozenset(
    {"ref", "ref_policy", "critic", "reward", "reward_model", "teacher", "val_kwargs", "rollout_manager"}
    | {"partial_rollout_manager", "eval_gconfig", "distillation", "profiler"}
)


class Suggestion(Struct, frozen=True):
    """A key, and whether no more than a slip of the fingers lies between."""

    key: str
    typo: bool = False


def renamed(key: str, renames: Iterable[Rename]) -> Rename | None:
    """Return what was written down of a key; a section's rename holds for what stands in it."""
    rows = [row for row in renames if row.value is None]
    for row in rows:
        if row.old == key:
            return row
        if row.old == f"{key}.*":
            return Rename(key, tuple(name.removesuffix(".*") for name in row.new), why=row.why)
    for row in rows:
        if row.old.endswith(".*") and key.startswith(row.old[:-1]):
            rest = key[len(row.old) - 1 :]
            new = tuple(name[:-1] + rest if name.endswith(".*") else name for name in row.new)
            return Rename(key, new, why=row.why)
    return None


def nearest(key: str, known: Sequence[str], taken: Collection[str] = ()) -> Suggestion | None:
    """Return the known key that is most like a key, None where none is like it; ``taken`` are in use."""
    free = [name for name in known if name not in taken and not key.startswith(f"{name}.")]
    flat = _flat(key)
    same = next((name for name in free if _flat(name) == flat), None)
    if same is not None:
        return Suggestion(same, True)
    found = [name for name in _close(key, tuple(known)) if name in free]
    if found and (distance(key, found[0]) <= TYPO or key.startswith("-")):
        return Suggestion(found[0], distance(key, found[0]) <= TYPO)
    short = _initials(key, free)
    if short is not None:
        return Suggestion(short)
    moved = _moved(key, free)
    if moved is not None:
        return Suggestion(moved)
    return Suggestion(found[0]) if found and _same_parent(key, found[0]) else None


@lru_cache(maxsize=1024)  # the same slip and the same fork's key stand in many scripts
def _close(key: str, known: tuple[str, ...]) -> list[str]:
    """Return the known keys that look most like a key, the most alike first."""
    import difflib  # where something is misspelt

    return difflib.get_close_matches(key, known, n=NEAR, cutoff=CLOSE)


def section(key: str, known: Sequence[str], taken: Collection[str]) -> Suggestion | None:
    """Return the section beside a misspelt one that is most like it, of those that nothing is written in."""
    above = key.rpartition(".")[0]
    sections = {name.rpartition(".")[0] for name in known} - {above, ""}
    beside = sorted(name for name in sections if name.rpartition(".")[0] == above)
    free = [name for name in beside if not any(each.startswith(f"{name}.") for each in taken)]
    found = next((name for name in free if _flat(name) == _flat(key)), None)
    slips = [name for name in free if distance(key, name) <= TYPO]
    if found is None and len(slips) != 1:
        return None
    return Suggestion(found or slips[0], True)


def word(said: str, choices: Sequence[str]) -> str | None:
    """Return the one of some words that a misspelt one is most like, None where none is."""
    same = next((choice for choice in choices if _flat(choice) == _flat(said)), None)
    slips = [choice for choice in choices if distance(said, choice) == 1]
    if same is not None or (len(slips) == 1 and len(said) > TYPO):
        return same or slips[0]
    import difflib

    return next(iter(difflib.get_close_matches(said, choices, n=1)), None)


def _initials(key: str, known: Sequence[str]) -> str | None:
    """Return the key of the same section that is named by the first letters: ``lr`` for ``learning_rate``."""
    section, _, last = key.lstrip("-").rpartition(".")
    words = [word for word in last.replace("-", "_").split("_") if word]
    if len(words) < MANY:
        return None
    dashes = "--" if key.startswith("--") else ""
    name = f"{dashes}{section}{'.' if section else ''}{''.join(word[0] for word in words)}"
    return name if name in known else None


def _moved(key: str, known: Sequence[str]) -> str | None:
    """Return the key of the same last name whose path is most like the key's."""
    if key.startswith("-"):
        near = (f"--{part}-{key[2:]}" for part in PREFIXES)
        return next((name for name in (*near, *_bare(key)) if name in known), None)
    last = key.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] == last]
    ranked = sorted(((_shared(key, name), name) for name in same), key=lambda pair: (-pair[0], pair[1]))
    tied = len(ranked) > 1 and ranked[0][0] == ranked[1][0]
    if ranked and not tied and (ranked[0][0] >= SAME_END or len(ranked) == 1):
        return ranked[0][1]
    main = [name for name in same if not OTHER_ROLES & set(name.split("."))]
    return main[0] if len(main) == 1 else None


def _bare(key: str) -> list[str]:
    """Return a flag without the prefix of a part that does not have it."""
    return [f"--{key.removeprefix(f'--{part}-')}" for part in PREFIXES if key.startswith(f"--{part}-")]


def _shared(one: str, other: str) -> float:
    import difflib

    return difflib.SequenceMatcher(None, one.split("."), other.split("."), autojunk=False).ratio()


def _same_parent(one: str, other: str) -> bool:
    return one.rpartition(".")[0] == other.rpartition(".")[0]


def _flat(key: str) -> str:
    return key.replace("-", "").replace("_", "").lower()


def distance(one: str, other: str, most: int = TYPO) -> int:
    """Return how many letters are wrong, missing, too many or swapped; ``most`` + 1 for any more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]
