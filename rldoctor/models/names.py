"""Facts of common models by name: what a config.json would say, without one."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from rldoctor.models.quantized import NAMED

# Words after a model's name that leave its shape alone.
_VARIANTS: Final = ("instruct", "base", "chat", "it", "thinking", "math", "coder", "reasoner", "zero")
_FORMATS: Final = (
    "hf",
    "fp8",
    "bf16",
    "fp16",
    "int4",
    "int8",
    "w4a16",
    "nvfp4",
    "fp4",
    "awq",
    "gptq",
    "torch",
    "dist",
    "mcore",
    "to",
)
_RUNS: Final = (
    "sft",
    "rl",
    "rlhf",
    "grpo",
    "ppo",
    "dpo",
    "rm",
    "iter",
    "step",
    "global",
    "checkpoint",
    "ckpt",
)
_PLACES: Final = ("slime", "megatron", "fsdp", "dcp", "main", "latest")
_HARMLESS: Final = frozenset((*_VARIANTS, *_FORMATS, *_RUNS, *_PLACES))
_PREFIXES: Final = ("meta-",)


def bundled(name: str) -> tuple[str, dict[str, Any]] | None:
    """Return the table's name and facts for a model name or path, by its last component."""
    last = re.sub(r"[_\s]+", "-", name.rstrip("/").rpartition("/")[2]).lower()
    for prefix in _PREFIXES:
        last = last.removeprefix(prefix)
    for known in sorted(_table(), key=len, reverse=True):
        rest = last.removeprefix(known)
        if rest == last or not _leaves_shape_alone(rest):
            continue
        return _row(known, frozenset(rest.split("-")))
    return None


def _leaves_shape_alone(rest: str) -> bool:
    words = rest.split("-")
    return not words[0] and all(
        word in _HARMLESS or re.fullmatch(r"v?\d+(\.\d+)*k?", word) for word in words[1:]
    )


def _row(known: str, words: frozenset[str]) -> tuple[str, dict[str, Any]]:
    row = _table()[known]
    facts = dict(row["config"])
    for word, more in row.get("variants", {}).items():
        if word in words:
            facts |= more
    method = next((word for word in NAMED if word in words), None)
    if method is not None:
        facts["quantization_config"] = {"quant_method": method}
    return str(row["name"]), facts


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = Path(__file__).with_name("families.json").read_text("utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    table: dict[str, dict[str, Any]] = {}
    for row in rows:
        like = table[row["like"].lower()] if "like" in row else {}
        whole = {**like, **row, "config": {**like.get("config", {}), **row.get("config", {})}}
        table[row["name"].lower()] = whole
    return table
