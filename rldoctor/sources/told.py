"""What the user told beyond the file: environment and further arguments."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


class Told(Struct, frozen=True):
    """The environment a script is started in, the arguments it is given (``"$@"``), and the GPUs of a node."""

    env: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    gpus: int | None = None
