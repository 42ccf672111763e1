"""ChatLearn: the dataclasses of an algorithm, the trainer's by the back end that is chosen."""

from __future__ import annotations

from pathlib import Path

from rldoctor.dialects.declared import Flattening, fields
from scripts.catalogues.reading import Release, known_classes

BACKENDS = {
    "fsdp": ("FSDPPolicyTrainerConfig", "FSDPRefPolicyConfig"),
    "megatron": ("MegatronPolicyTrainerConfig", "MegatronRefPolicyConfig"),
}
ENTRY = "chatlearn/entrypoint.py"


def read(root: Path) -> Release:
    """Return the keys of each algorithm and back end."""
    known = known_classes(
        [*sorted(root.glob("chatlearn/configs/**/*.py")), *sorted(root.glob("chatlearn/algorithm/*.py"))]
    )
    found = Release()
    for backend, (trainer, reference) in BACKENDS.items():
        if fields("GrpoConfig", known) and fields(trainer, known):
            keys = Flattening(known).of("GrpoConfig")
            for section, name in (("policy_trainer", trainer), ("ref_policy", reference)):
                keys |= Flattening(known).of(name, f"models.{section}.")
            found.roots[f"grpo+{backend}"] = keys
    found.entries = {ENTRY: next(iter(found.roots), "")} if found.roots else {}
    return found
