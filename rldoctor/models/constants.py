"""What weights take for granted and no shape shows: the base of the rotary embedding, the norms' epsilon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from rldoctor.models.json_files import read_object
from rldoctor.models.names import bundled
from rldoctor.types import RLDoctorError

QWEN3: Final = (1e6, 1e-6)
LLAMA3: Final = (5e5, 1e-5)
NAMED: Final[Mapping[str, tuple[float, float]]] = {
    **{f"Qwen3-{size}": QWEN3 for size in ("0.6B", "1.7B", "4B", "8B", "14B", "32B", "30B-A3B", "235B-A22B")},
    **{f"Qwen2.5-{size}": (1e6, 1e-6) for size in ("0.5B", "3B", "7B")},
    "Qwen2.5-32B": (1e6, 1e-5),
    **{name: LLAMA3 for name in ("Llama-3-8B", "Llama-3.1-8B", "Llama-3.2-3B")},
}
"""Base and epsilon by the table's name: THUDM/slime@624b824a8 scripts/models."""
LATER: Final = {"Qwen3-4B": 5e6}
"""Bases of the models of July 2025 (THUDM/slime@624b824a8:scripts/models/qwen3-4B-Instruct-2507.sh)."""
_AS_RELEASED: Final = re.compile(
    r"([-_](base|instruct|thinking|hf|bf16|fp8|torch|dist))*(?P<later>[-_]2507)?", re.IGNORECASE
)
"""Words behind a name that leave the constants alone: what somebody trained further may have others."""


class Constants(Struct, frozen=True):
    """Base of the rotary embedding and epsilon of the norms, None where nobody knows."""

    rope_base: float | None = None
    norm_eps: float | None = None


def constants(name_or_path: str) -> Constants:
    """Return the constants of a model folder, or of a known name."""
    folder = Path(name_or_path).expanduser()
    try:
        config = read_object(folder / "config.json") if (folder / "config.json").is_file() else None
    except (OSError, ValueError, RLDoctorError):  # told where the shape is read
        config = None
    return _named(name_or_path) if config is None else _of_config(config)


def _of_config(config: Mapping[str, Any]) -> Constants:
    text = config.get("text_config")
    inner = text if isinstance(text, dict) else config
    ropes = inner.get("rope_parameters")
    base = ropes.get("rope_theta") if isinstance(ropes, dict) else None
    return Constants(
        _number(inner.get("rope_theta") if base is None else base), _number(inner.get("rms_norm_eps"))
    )


def _named(name: str) -> Constants:
    found, last = bundled(name), name.rstrip("/").rpartition("/")[2]
    if found is None or found[0] not in NAMED or found[0].lower() not in last.lower():
        return Constants()
    rest = _AS_RELEASED.fullmatch(last[last.lower().index(found[0].lower()) + len(found[0]) :])
    if rest is None:
        return Constants()
    base, eps = NAMED[found[0]]
    return Constants(LATER.get(found[0]) if rest["later"] else base, eps)


def _number(value: Any) -> float | None:
    told = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if told and value > 0 else None
