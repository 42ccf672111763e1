"""Variables that a launch hangs on and that nothing in its script sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rldoctor import dialects
from rldoctor.facts.torn import assignments, event, glued, nearest
from rldoctor.facts.walk import Facts
from rldoctor.types import Document, Event, Setting

_NUMBERS: Final = ("int", "float", "bool")
_GIVEN: Final = re.compile(
    r"HOME|PWD|USER|HOSTNAME|PATH|PYTHONPATH|LD_LIBRARY_PATH|TMPDIR|RANDOM|SECONDS|UID|OLDPWD|SHELL|CONDA_PREFIX|VIRTUAL_ENV"
    r"|RANK|(LOCAL_|NODE_|GROUP_)?RANK|(LOCAL_)?WORLD_SIZE|MASTER_(ADDR|PORT)|NNODES|NODE_COUNT|N?PROC_PER_NODE"
    r"|(SLURM|PBS|OMPI|MPI|PMI|LSB|LSF|KUBERNETES|AWS|AZURE|GCP|CI|MLP|DLC|ARNOLD|WANDB|HF|HUGGING_?FACE|SWANLAB|RAY|CUDA"
    r"|NVIDIA|NCCL|ASCEND|NPU|HCCL|ROCM|HIP|TORCH|TORCHELASTIC|OPENAI|MLFLOW|PET|VC|VOLC|JOB|COND(A|OR))_\w+"
    r"|BASH_\w+|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY"
)


def unset(facts: Facts) -> Iterator[Event]:
    """Yield the first setting of each variable that nothing sets or asks for, and no environment brings."""
    document, command = facts.document, facts.start.command
    if document is None or command is None or document.problems:
        return
    waiting = [setting for setting in command.settings if setting.state == "unknown" and setting.place]
    if not waiting:
        return
    assigned = assignments(document)
    seen: set[str] = set()
    for setting in waiting:
        for name in set(setting.depends) - seen:
            seen.add(name)
            if name.isidentifier() and _is_forgotten(name, assigned, document):
                about = {"name": name, "inner": name.islower() or _is_number(setting, facts)}
                yield event("variable_unset", setting.key, about, command, setting, facts)


def _is_forgotten(name: str, assigned: set[str], document: Document) -> bool:
    if name in assigned or _GIVEN.fullmatch(name) or nearest(name, assigned) or glued(name, assigned):
        return False
    spoken = re.compile(
        rb"(?<![\w$])(?<!\$\{)"
        + name.encode()
        + rb"(?!\w)|\$\{?"
        + name.encode()
        + rb"\}?\"? *(\]|==?|!=|:\?)"
    )
    return not any(spoken.search(data) for data in document.files.values())


def _is_number(setting: Setting, facts: Facts) -> bool:
    """Say whether a setting takes a number, which hardly anybody leaves to the environment."""
    rows = dialects.load(facts.system).rows if facts.system is not None else ()
    return any(row.type in _NUMBERS for row in rows if setting.key in row.keys)
