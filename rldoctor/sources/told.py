"""What the user told beyond the file: environment and further arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Told:
    """The environment a script is started in, and the arguments it is given (``"$@"``)."""

    env: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
