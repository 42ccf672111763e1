"""Whether a value is one that its key can take, as the system's own parser sees it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from msgspec.structs import replace

from rldoctor.dialects.catalogue import SECTION, Known
from rldoctor.dialects.grammar import Manner
from rldoctor.dialects.rows import Row
from rldoctor.dialects.suggest import distance
from rldoctor.dialects.values import FALSE, TRUE, unquoted
from rldoctor.types import Setting

_INT: Final = r"(?a)\s*[-+]?\d+(_\d+)*\s*"
_NUMBER: Final = r"(?a)(?P<digits>[-+]?\d[\d_]*(?:\.\d+)?(?:e[-+]?\d+)?)(?P<unit>k|%|s|sec|m|min|g|gb|gib|)"
_UNITS: Final = {"k": 1024, "%": 0.01}  # of seconds, minutes and GiB the key's own unit is meant
_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "flag": "no value",
    "list": "a list",
    SECTION: "a section",
}
FROM_ONE: Final = "a whole number from 1"
_PERIODS: Final = ("after_each_epoch",)  # what verl's fine-tuning takes in place of a number of steps
_COUNTED: Final = {
    "train": ("tp", "pp", "cp", "ep", "etp", "ulysses_sp"),
    "rollout": ("tp", "pp", "dp", "ep", "gpus_per_engine", "max_batched_tokens", "max_seqs"),
    "batch": (
        *(
            "global",
            "micro",
            "micro_total",
            "mini_prompts",
            "logprob_micro",
            "n_samples",
            "steps_per_rollout",
        ),
        *(
            "max_tokens_per_gpu",
            "max_tokens_logprob",
            "max_prompt_len",
            "max_response_len",
            "max_context_len",
        ),
        "samples_per_episode",
    ),
}
_UNTOLD: Final = r"\$|\?\?\?|`"


def expected(known: Known, value: Any, manner: Manner) -> str | None:
    """Return what a key asks for where a value is not that, None where the value fits or nobody can tell."""
    if isinstance(value, str) and re.search(_UNTOLD, value):
        return None
    test = {"argparse": _argument, "structured": _field, "hydra": _override}[manner]
    return None if test(known.kind, unquoted(value), known) else _WORDS.get(known.kind, "a number")


def meant(known: Known, value: Any) -> str | None:
    """Return the value that was most likely meant in the words of its type, None where nobody can tell."""
    word = str(unquoted(value)).strip("=,; \t").lower()
    truth = next((each for each in (word, *_near(word)) if each in TRUE | FALSE), None)
    if known.kind == "bool" and truth is not None:
        return "true" if truth in TRUE else "false"
    whole = known.kind == "int" or type(known.default) is int
    number = re.fullmatch(_NUMBER, word)
    if not (whole or known.kind == "float" or type(known.default) is float) or number is None:
        return None
    said = float(number["digits"].replace("_", "")) * _UNITS.get(number["unit"], 1)
    if number["unit"] == "k":
        said = float(int(said))
    if said.is_integer() and whole:
        return str(int(said))
    return None if whole else number["digits"] if number["unit"] not in _UNITS else f"{said:g}"


def usual(known: Known) -> str | None:
    """Return the default of a key that takes a number, None where nobody wrote one."""
    numeric = isinstance(known.default, int | float) and not isinstance(known.default, bool)
    return str(known.default) if numeric else None


def _near(word: str) -> list[str]:
    """Return true or false where a word is a slip away from it."""
    return [each for each in ("true", "false") if distance(word, each) <= 1]


def choice(known: Known, value: Any, manner: Manner) -> bool:
    """Say whether a value is one of a key's choices, where it has any."""
    word = unquoted(value)
    if not known.choices or (isinstance(word, str) and re.search(_UNTOLD, word)) or word is True:
        return True
    if manner != "argparse" and (word is None or str(word).lower() in ("null", "none", "")):
        return True
    words = word if isinstance(word, list) else [word]
    return all(str(each) in {str(choice) for choice in known.choices} for each in words)


def _argument(kind: str, value: Any, _: Known) -> bool:
    """Say whether argparse would take a value."""
    if kind == "flag":
        return value is True
    if kind not in _WORDS or kind == "list":
        return True
    if value is True:
        return False
    if isinstance(value, list):  # further words after a flag that takes one
        return True
    return _is_int(str(value)) if kind == "int" else _is_float(str(value))


def _field(kind: str, value: Any, known: Known) -> bool:
    """Say whether a structured OmegaConf node would take a value."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("null", "none", "~", "")):
        return True
    if kind == SECTION:
        return isinstance(value, dict | list) or str(value)[:1] in "{["
    if kind == "list":
        return isinstance(value, list | tuple) or str(value)[:1] in "[("
    if isinstance(value, dict | list):
        return kind not in ("int", "float", "bool")
    if kind == "bool":
        return isinstance(value, bool | int) or str(value).strip().lower() in TRUE | FALSE
    if kind == "int":
        return not isinstance(value, bool | float) and _is_int(str(value))
    return kind != "float" or (not isinstance(value, bool) and _is_float(str(value)))


def _override(kind: str, value: Any, known: Known) -> bool:
    """Say whether a value means what it should in a plain Hydra configuration, which takes any."""
    word = str(value).strip().lower()
    if kind == "any" and type(known.default) is int:  # plain YAML names no types
        kind = "int"
    if kind not in ("int", "float", "bool") or word in ("null", "none", "") or isinstance(value, dict | list):
        return True
    if kind == "bool":
        return word in ("true", "false", "0", "1")
    return word[:1] in "[{" or _is_float(word) or word in _PERIODS


def _is_int(text: str) -> bool:
    return re.fullmatch(_INT, text) is not None


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def word(setting: Setting) -> str:
    """Return a setting's value without quotes around it."""
    return str(setting.value).strip("'\"")


def least(system: str, setting: Setting) -> bool:
    """Say whether a size or a number of things is less than one."""
    row = _rows(system).get(setting.key)
    group, _, name = (row.concept if row is not None else "").partition(".")
    number = str(unquoted(setting.value))
    return name in _COUNTED.get(group, ()) and _is_int(number) and int(number) < 1


def typed(known: Known, system: str, key: str) -> Known:
    """Return what is known of a key, with the type of our own table where upstream's file names none."""
    row = _rows(system).get(key) if known.kind == "any" and known.default is None else None
    return replace(known, type=f"{row.type}?") if row is not None and row.type in ("int", "float") else known


@lru_cache(maxsize=8)
def _rows(system: str) -> dict[str, Row]:
    from rldoctor import dialects

    rows = (row for row in dialects.load(system).rows if row.part is None and row.scale is None)
    return {key: row for row in rows for key in row.keys}
