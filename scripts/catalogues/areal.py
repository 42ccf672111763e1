"""AReaL: the experiment configurations, dataclasses in one file that YAML is merged into."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rldoctor.dialects.declared import Class, Flattening, fields
from scripts.catalogues.reading import Release, known_classes

EXPERIMENT = "BaseExperimentConfig"


def read(root: Path) -> Release:
    """Return the keys of each experiment configuration."""
    known = known_classes(sorted(root.glob("areal/api/*.py")))
    found = Release()
    for name in sorted(known):
        if name != EXPERIMENT and EXPERIMENT in _above(name, known):
            found.roots[name] = Flattening(known).of(name)
    gateway = [name for name in ("GatewayConfig", "InferenceServiceConfig") if fields(name, known)]
    found.roots |= {name: Flattening(known).of(name) for name in gateway}
    return found


def _above(name: str, known: Mapping[str, Class]) -> set[str]:
    bases = known[name].bases if name in known else ()
    return {each for base in bases for each in (base, *_above(base, known))}
