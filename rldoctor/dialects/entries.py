"""Programs that a system's releases have under another name, or no more."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from rldoctor.dialects.versions import version_key


class Entry(Struct, frozen=True):
    """A program by a regular expression, the releases that have it, and what the others call it."""

    program: str
    elsewhere: str
    since: str = "0"
    until: str = "999"

    def there(self, release: str) -> bool:
        """Say whether a release has the program."""
        return version_key(self.since) <= version_key(release) < version_key(self.until)


ENTRIES: Final[dict[str, tuple[Entry, ...]]] = {
    "areal": (
        Entry(r"areal\.launcher\.(local|ray|slurm)", r"areal.infra.launcher.\1", until="1.0.0"),
        Entry(r"areal\.infra\.launcher\.(local|ray|slurm)", r"areal.launcher.\1", since="1.0.0"),
        Entry(r"((?:.*/)?examples/math/)gsm8k_(?:grpo|ppo)\.py", r"\1gsm8k_rl.py", until="0.5.0"),
        Entry(r"((?:.*/)?examples/math/)gsm8k_rl\.py", r"\1gsm8k_grpo.py", since="0.5.0"),
    ),
    "megatron": (
        Entry(r"((?:.*/)?)pretrain_hybrid\.py", r"\1pretrain_mamba.py", since="0.18"),
        Entry(r"((?:.*/)?)train_rl\.py", "", since="0.15"),
    ),
}
"""Read at the tags of AReaL v0.4.1 to v1.0.4 and Megatron-LM core_v0.12.0 to core_v0.19.0."""


def missing(system: str, program: str, releases: tuple[str, ...]) -> str | None:
    """Return what a program is called in releases that all lack it, empty where they have none like it."""
    for entry in ENTRIES.get(system, ()):
        found = re.fullmatch(entry.program, program)
        if found is not None:
            return None if any(entry.there(each) for each in releases) else found.expand(entry.elsewhere)
    return None
