"""Puts the rules, the JSON twins of all tables and the example into the wheel: no YAML is parsed there."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class IndexHook(BuildHookInterface):
    """Runs once a wheel; an editable installation reads the checkout's own files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add ``rules/`` as ``rldoctor/_rules``, the twins as ``rldoctor/_index/*.json``, and the example."""
        if version == "editable":
            return
        self.kept = tempfile.TemporaryDirectory(prefix="rldoctor-index-")
        build_data["force_include"][str(Path(self.root, "rules"))] = "rldoctor/_rules"
        example = Path(self.root, "examples", "laptop.yaml")
        build_data["force_include"][str(example)] = "rldoctor/_examples/laptop.yaml"
        for name, path in sorted(twins(Path(self.root), Path(self.kept.name)).items()):
            build_data["force_include"][str(path)] = f"rldoctor/_index/{name}.json"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the wheel was made of."""
        if version != "editable":
            self.kept.cleanup()


def twins(root: Path, folder: Path) -> dict[str, Path]:
    """Return the file of each twin by its name, made in a cache of their own."""
    sys.path.insert(0, str(root))
    os.environ["XDG_CACHE_HOME"] = str(folder)
    os.environ.pop("RLDOCTOR_RULES", None)
    from rldoctor import dialects, vocabulary
    from rldoctor.dialects import limits
    from rldoctor.rules import index
    from rldoctor.types import Document

    vocabulary.load()
    for name in dialects.NAMES:
        dialects.load(name)
        dialects.log_shape(name)
        limits.load(name)
    dialects.detect(Document("", "yaml", ()))
    if not index().ids:
        raise ValueError(f"no rules in {root / 'rules'}")
    return {path.stem.rpartition("-")[0]: path for path in (folder / "rldoctor").glob("*.json")}
