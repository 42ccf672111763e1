"""slime: its own flags, and those that its patch adds to Megatron-LM."""

from __future__ import annotations

import re
from pathlib import Path

from rldoctor.dialects.declared import Declared, arguments
from scripts.catalogues.reading import Release, tree

ROOT = "slime"
FILES = ("slime/utils/arguments.py", "slime/backends/*/arguments.py", "slime/utils/*args*.py")
_ADDED = re.compile(r"""^\+.*?add_argument\(\s*(?:\n\+\s*)?["'](--[\w-]+)["'](?P<rest>.*)""", re.MULTILINE)


def read(root: Path) -> Release:
    """Return the flags of slime; Megatron's and SGLang's stand in their own catalogues."""
    keys: dict[str, Declared] = {}
    for path in sorted(root.glob("docker/**/megatron*.patch")):
        for found in _ADDED.finditer(path.read_text(encoding="utf-8", errors="replace")):
            keys[found[1]] = Declared("flag" if "store_true" in found["rest"] else "any")
    for path in sorted({path for pattern in FILES for path in root.glob(pattern)}):
        keys |= arguments(tree(path))
    entries = {path.name: ROOT for path in sorted(root.glob("train*.py"))}
    return Release({ROOT: keys}, entries)
