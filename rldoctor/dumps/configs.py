"""Resolved configurations beside logs: Hydra's, a trainer's own, W&B's with its wrapping taken off."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from rldoctor import dialects, sources
from rldoctor.types import Document, RLDoctorError

LARGEST: Final = 4 << 20
ANCHOR: Final = re.compile(r"[\s:\[{,-]&\w")  # aliases of aliases would grow without end
FORMS: Final = {".hydra": "the resolved configuration of Hydra", "files": "the configuration that W&B kept"}


def read_config(path: str) -> tuple[Document, str] | None:
    """Return a configuration as a document, and what it is; None where no system speaks so."""
    file = Path(path)
    if file.stat().st_size > LARGEST:
        return None
    form = FORMS.get(file.parent.name, "a configuration beside the log")
    text = file.read_text(encoding="utf-8", errors="replace")
    unwrapped = _unwrapped(text) if "value:" in text and not ANCHOR.search(text) else None
    try:
        document = sources.read_text(unwrapped or text, path, "yaml")
    except RLDoctorError:
        return None  # broken or no configuration; the logs are read all the same
    document = replace(document, kind="log", files={})
    return (document, form) if dialects.detect(document) else None


def _unwrapped(text: str) -> str | None:
    """Return W&B's `key: {desc: …, value: …}` as plain keys, None where it is something else."""
    import yaml

    try:
        told = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    if not isinstance(told, Mapping):
        return None
    values: dict[str, Any] = {
        str(key): item["value"] for key, item in told.items() if isinstance(item, Mapping) and "value" in item
    }
    return json.dumps(values, default=str, indent=1) if values else None
