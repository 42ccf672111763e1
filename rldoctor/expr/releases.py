"""The order of releases."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=1024)
def version_key(text: str) -> tuple[tuple[int, ...], int]:
    """Return a key that orders releases: 0.7 = 0.7.0 < 0.10, and 0.7.0rc1 and 0.7.0.dev1 before 0.7."""
    found = re.match(r"\s*v?(?P<release>\d+(?:\.\d+)*)(?P<rest>[^+]*)", text)
    if found is None:
        return ((), 0)
    release = [int(part[:9]) for part in found["release"].split(".")]
    while release and release[-1] == 0:
        release.pop()
    early = re.match(r"[._-]?(a|b|rc|c|alpha|beta|pre|preview|dev)[._-]?\d*\b", found["rest"].strip())
    return (tuple(release), -1 if early else 0)
