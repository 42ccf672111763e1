"""What the user told beyond the file: environment and further arguments."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


class Told(Struct, frozen=True):
    """The environment a script is started in, its arguments (``"$@"``), and the GPUs of a node."""

    env: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    gpus: int | None = None


def told_of(env: Mapping[str, str], args: tuple[str, ...], facts: Mapping[str, str]) -> Told:
    """Return what a script is started with; ``facts`` may tell the GPUs of a node."""
    count = facts.get("cluster.gpus_per_node", "")
    return Told(env, args, int(count) if count.isdecimal() else None)
