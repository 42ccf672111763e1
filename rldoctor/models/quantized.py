"""Quantized weights: how many bytes a parameter takes, by the method that a checkpoint or an engine names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from rldoctor.models.nouns import Stored

FP8 = Stored(1.0)
GROUPED = 0.5 + (2 + 0.5) / 128
"""4 bits, and for each group of 128 an fp16 scale and a 4-bit zero (AWQ, GPTQ)."""
METHODS: Final = (
    (r"experts[-_]?int8", Stored(1.0, experts_only=True)),
    (r"mxfp4", Stored(0.5 + 1 / 32, experts_only=True)),  # a scale byte for each 32
    (r"nvfp4|fp4", Stored(0.5 + 1 / 16)),  # an fp8 scale for each 16
    (r"w4afp8|moe[-_]?wna16", Stored(GROUPED, experts_only=True)),
    (r"awq|gptq|marlin|int4|w4a16|4[-_]?bit|qoq", Stored(GROUPED)),
    (r"nf4|bitsandbytes|bnb", Stored(0.5 + 1 / 64)),  # an int8 scale for each 64
    (r"fp8|float8|int8|w8a8|8[-_]?bit", FP8),
    (r"^modelopt$", FP8),
)
BY_BITS: Final = {4: Stored(GROUPED), 8: FP8}
NAMED: Final = ("fp8", "awq", "gptq", "int4", "int8", "w4a16", "nvfp4", "fp4")


def of_method(text: str) -> Stored | None:
    """Return how a quantization method stores the layers' matrices; None for one that nobody knows."""
    found = (stored for pattern, stored in METHODS if re.search(pattern, text.lower()))
    return next(found, None)


def of_config(config: Mapping[str, Any]) -> Stored | None:
    """Return how a checkpoint is stored as its ``quantization_config`` tells; None: in half precision."""
    told = config.get("quantization_config")
    if not isinstance(told, dict):
        return None
    method = str(told.get("quant_method") or "")
    bits = _bits(told)
    found = BY_BITS.get(bits) if bits is not None else of_method(method)
    kept = str(told.get("ignore") or told.get("modules_to_not_convert") or "")
    if found is not None and "attn" in kept:
        return Stored(found.bytes, experts_only=True)
    return found


def _bits(told: Mapping[str, Any]) -> int | None:
    """Return the width of a weight: told as a whole, or for the first group (compressed-tensors)."""
    if isinstance(told.get("bits"), int):
        return int(told["bits"])
    groups = told.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = first.get("weights") if isinstance(first, dict) else None
    bits = weights.get("num_bits") if isinstance(weights, dict) else None
    return bits if isinstance(bits, int) else None
