"""What a system refuses among its own settings (``limits.yaml``) or silently ignores (``regrets.yaml``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, to_builtins
from msgspec.json import decode

from rldoctor import compiled, expr
from rldoctor.compiled import Twin
from rldoctor.dialects.borrowed import LOANS, Loan, is_lent, is_there, spoken
from rldoctor.types import RLDoctorError
from rldoctor.vocabulary import unknown_word

FILES: Final = ("limits.yaml", "regrets.yaml")
FOLDER: Final = Path(__file__).parent
ROW_KEYS: Final = (
    "refuses",
    "key",
    "choices",
    "means",
    "open",
    "when",
    "says",
    "where",
    "severity",
    "set",
    "unset",
    "advice",
    "safety",
    "since",
    "until",
    "own",
    "example",
    "fine",
)
SEVERITIES: Final = ("error", "warning", "hint")
SAFETIES: Final = ("safe", "unsafe")
FLAGS: Final = ("megatron", "slime", "vllm", "sglang")
_COUNT, _READERS = "count", "readers"
_TEXTS: Final = ("says", "where", "severity", "advice", "safety")


class Cure(Struct, frozen=True):
    """One setting that ends a refusal: its new value, or None to take it out."""

    key: str
    value: expr.Node | None = None


class Limit(Struct, frozen=True):
    """A combination that a system refuses, ignores or regrets, in its own keys.

    ``reads`` are the names of the condition, flags with their dashes, ``shows`` those whose value is told;
    ``choices`` are the words that one key takes, where ``refuses`` holds if there is one, ``means`` what
    another system's words stand for; a registry is ``open`` to words of one's own. ``example`` breaks the
    limit, ``fine`` does not.
    """

    reads: tuple[str, ...]
    shows: tuple[str, ...] = ()
    refuses: expr.Node | None = None
    choices: tuple[str, ...] = ()
    means: Mapping[str, str] = {}
    open: bool = False
    says: str = ""
    where: str = ""
    severity: str = "error"
    cures: tuple[Cure, ...] = ()
    advice: str = ""
    safety: str = "unsafe"
    since: str | None = None
    until: str | None = None
    example: Mapping[str, Any] = {}
    fine: Mapping[str, Any] = {}


def load(system: str) -> tuple[Limit, ...]:
    """Return the limits of a system and of those whose arguments it takes over."""
    twin = _twin(system)
    return tuple(_row(twin, number) for number in range(twin.part(_COUNT)))


def has_any(system: str) -> bool:
    """Say whether a system, or one whose arguments it takes over, has limits."""
    return bool(_sources(system))


def reading(system: str, written: Mapping[str, Any]) -> Iterator[Limit]:
    """Yield the limits that read something that is written: others hold by default, and are not built."""
    twin, readers = _twin(system), _readers(system)
    asked = {number for name in written for number in readers.get(name, ())}
    yield from (_row(twin, number) for number in sorted(asked))


@cache
def _readers(system: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = _twin(system).part(_READERS)
    return found


@cache
def _twin(system: str) -> Twin:
    code = (Path(__file__), FOLDER / "borrowed.py", FOLDER.parent / "expr" / "compiling.py")
    sources = (*(path for path, _ in _sources(system)), *code)
    return compiled.twin(f"limits-{system}", lambda: compiled.stamp_of(sources), lambda: _parts(system))


def _parts(system: str) -> dict[str, Any]:
    """Return each limit by its number, and the numbers of those that read a name."""
    limits = _build(system)
    readers: dict[str, list[int]] = {}
    for number, limit in enumerate(limits):
        for name in limit.reads:
            readers.setdefault(name, []).append(number)
    bodies = {str(number): to_builtins(limit) for number, limit in enumerate(limits)}
    return {_COUNT: len(limits), _READERS: readers, **bodies}


def _row(twin: Twin, number: int) -> Limit:
    return decode(twin.raw(str(number)), type=Limit)


@cache
def _sources(system: str) -> tuple[tuple[Path, Loan], ...]:
    loans = (Loan(system), *LOANS.get(system, ()))
    files = ((FOLDER / loan.system / name, loan) for loan in loans for name in FILES)
    return tuple((path, loan) for path, loan in files if path.is_file())


def _build(system: str) -> list[Limit]:
    import yaml

    found: list[Limit] = []
    for path, loan in _sources(system):
        own = loan.system == system
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))["limits"]
        mistakes = [f"{path}: {text}" for row in rows for text in _mistakes(row)]
        if mistakes:
            raise RLDoctorError("\n".join(mistakes), file=str(path))
        found += [
            _limit(lent, system, own)
            for row in rows
            if own or (is_lent(row, loan) and not row.get("own"))
            for each in _each(row)
            if is_there(lent := spoken(each, loan), loan, system)
        ]
    return found


def _each(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a row for each of its keys; the example is of the first one."""
    keys = row.get("key")
    for number, key in enumerate(keys if isinstance(keys, list) else [keys]):
        yield {**row, "key": key, **({} if number == 0 else {"example": {}, "fine": {}})}


def _mistakes(row: Mapping[str, Any]) -> Iterator[str]:
    yield from (unknown_word("key", str(key), ROW_KEYS) for key in row if key not in ROW_KEYS)
    if ("refuses" in row) == ("choices" in row):
        yield f"{row.get('says', row.get('key'))}: one of refuses and choices"
    if "refuses" in row and not row.get("says"):
        yield f"{row['refuses']}: says is missing"
    if not row.get("example"):
        yield f"{row.get('says', row.get('key'))}: example is missing"
    for key, allowed in (("severity", SEVERITIES), ("safety", SAFETIES)):
        if row.get(key, allowed[0]) not in allowed:
            yield f"{key} is one of {', '.join(allowed)}"


def _limit(row: Mapping[str, Any], system: str, own: bool) -> Limit:
    text = row.get("refuses", row.get("when"))
    condition = expr.compile(str(text)) if text is not None else None
    names = (str(row["key"]),) if "choices" in row else expr.names(condition) if condition is not None else ()
    cures = [Cure(str(key), _value(value)) for key, value in row.get("set", {}).items()]
    cures += [Cure(str(key)) for key in row.get("unset", ())]
    plain = {name: str(row[name]) for name in _TEXTS if name in row}
    bounds = {name: str(row[name]) for name in ("since", "until") if name in row and own}
    return Limit(
        reads=tuple(spelled(name, system) for name in names),
        shows=tuple(spelled(name, system) for name in names if name in _asked(condition)),
        refuses=condition,
        choices=tuple(str(word) for word in row.get("choices", ())),
        means={str(word): str(ours) for word, ours in row.get("means", {}).items()},
        open=bool(row.get("open")),
        cures=tuple(cures),
        example=row["example"],
        fine=row.get("fine", {}),
        **plain,
        **bounds,
    )


def _asked(condition: expr.Node | None) -> tuple[str, ...]:
    """Return the names whose value matters, not only whether somebody wrote them."""
    if condition is None:
        return ()
    written = [node for node in expr.walk(condition) if node[0] == "call" and node[1] in ("written", "given")]
    inside = Counter(name for node in written for name in expr.names(node))
    every = Counter(node[1] for node in expr.walk(condition) if node[0] == "name")
    return tuple(every - inside)


def _value(value: Any) -> expr.Node:
    """Return the compiled value of a cure: a text is an expression, as in a rule."""
    return expr.compile(value) if isinstance(value, str) else ["const", value]


def spelled(name: str, system: str) -> str:
    """Return a name of a condition as the key that is written: ``min_lr`` is ``--min-lr``."""
    flag = system in FLAGS and "." not in name and not name.startswith("-")
    return "--" + name.replace("_", "-") if flag else name
