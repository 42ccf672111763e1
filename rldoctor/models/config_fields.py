"""Fields of a config.json, each checked for being what it claims to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from rldoctor.types import RLDoctorError

LARGEST: Final = 10**8  # no width or vocabulary comes near
MOST_LAYERS: Final = 10**4


class Fields(Struct, frozen=True):
    """The facts of a config.json, read with checks; ``file`` is named in errors."""

    config: Mapping[str, Any]
    file: str

    def count(self, name: str) -> int:
        """Return a positive integer that must be there."""
        found = self.first_count(name)
        if found is None:
            raise RLDoctorError(f"{name} is missing, so the model's shape is not known", file=self.file)
        return found

    def first_count(self, *names: str) -> int | None:
        """Return the first of these fields that is set, a positive integer, or None."""
        for name in names:
            value = self.config.get(name)
            if value is not None:
                return self._integer(name, value, 1)
        return None

    def amount(self, name: str) -> int:
        """Return an integer from 0 on, 0 where it is not set."""
        value = self.config.get(name)
        return 0 if value is None else self._integer(name, value, 0)

    def flag(self, name: str) -> bool:
        """Return a boolean, False where it is not set."""
        value = self.config.get(name)
        if value is not None and not isinstance(value, bool):
            raise RLDoctorError(f"{name} is {value!r}, not true or false", file=self.file)
        return bool(value)

    def divided(self, hidden: int, heads: int) -> int:
        """Return the width of a head where the file does not tell it."""
        if hidden % heads:
            raise RLDoctorError(
                f"hidden_size {hidden} is no multiple of num_attention_heads {heads}; no head_dim is given",
                file=self.file,
            )
        return hidden // heads

    def _integer(self, name: str, value: Any, least: int) -> int:
        most = MOST_LAYERS if "layers" in name else LARGEST
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            shown = repr(value) if len(repr(value)) < 60 else type(value).__name__
            raise RLDoctorError(f"{name} is {shown}, not a number that a model can have", file=self.file)
        return value
