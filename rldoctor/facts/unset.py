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
_GIVEN: Final = (  # a text of names between blanks
    " HOME PWD USER HOSTNAME PATH PYTHONPATH LD_LIBRARY_PATH TMPDIR RANDOM SECONDS UID OLDPWD SHELL"
    " CONDA_PREFIX VIRTUAL_ENV RANK LOCAL_RANK NODE_RANK GROUP_RANK WORLD_SIZE LOCAL_WORLD_SIZE"
    " MASTER_ADDR MASTER_PORT NNODES NODE_COUNT NPROC_PER_NODE PROC_PER_NODE"
    " HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy "
)
_SURROUNDING: Final = (  # first words of names
    " SLURM PBS OMPI MPI PMI LSB LSF KUBERNETES AWS AZURE GCP CI MLP DLC ARNOLD WANDB HF HUGGINGFACE"
    " HUGGING SWANLAB RAY CUDA NVIDIA NCCL ASCEND NPU HCCL ROCM HIP TORCH TORCHELASTIC OPENAI MLFLOW"
    " PET VC VOLC JOB COND CONDA CONDOR BASH "
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
    first, ends, _ = name.partition("_")
    given = f" {name} " in _GIVEN or (bool(ends) and f" {first} " in _SURROUNDING)
    if name in assigned or given or nearest(name, assigned) or glued(name, assigned):
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
