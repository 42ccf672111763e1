"""What the user told beyond the file: environment and further arguments."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


class Told(Struct, frozen=True):
    """The environment a script is started in, and the arguments it is given (``"$@"``)."""

    env: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
