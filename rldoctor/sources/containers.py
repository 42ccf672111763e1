"""Containers that a script starts a program in: where their own options end, and which variables they get."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from rldoctor.sources.shell.text import Word

_DOCKER: Final = (
    r"-[itdPq]+|--(interactive|tty|detach|rm|privileged|init|read-only|oom-kill-disable|publish-all|quiet"
    r"|no-healthcheck)"
)
_APPTAINER: Final = (
    r"-[ecCfuipns]+|--(nv|nvccli|rocm|cleanenv|contain|containall|writable|writable-tmpfs|no-home|no-eval"
    r"|fakeroot|userns|ipc|pid|net|compat|no-init|no-privs|keep-privs|no-umask|unsquash|disable-cache)"
)
_BARE: Final = {
    **dict.fromkeys(("docker run", "docker exec", "podman run", "podman exec", "nerdctl run"), _DOCKER),
    **dict.fromkeys(("apptainer exec", "apptainer run", "singularity exec", "singularity run"), _APPTAINER),
    "kubectl exec": r"-[itq]+|--(stdin|tty|quiet)",
}
"""Options without a value; of all others the next word is one, if they have none behind a sign."""
_SETTING: Final = ("-e", "--env")


class Entered(Struct, frozen=True):
    """How a container is entered: its options, the variables set, and the word that the program begins at."""

    program: str
    options: tuple[Word, ...]
    variables: tuple[Word, ...]
    begins: int


def entered(words: list[Word]) -> Entered | None:
    """Return how a command enters a container; None where it enters none, or starts what the image names."""
    program = " ".join(word.text for word in words[:2])
    if program not in _BARE:
        return None
    end, variables = _end(words, _BARE[program])
    begins = end + 1  # behind the image, the container or the pod
    rest = [word.text for word in words[begins:]]
    if program == "kubectl exec":
        begins = begins + rest.index("--") + 1 if "--" in rest else len(words)
    if begins >= len(words) or words[begins].text.startswith("-"):
        return None
    docker = _BARE[program] is _DOCKER
    return Entered(program, tuple(words[2:end]), tuple(variables) if docker else (), begins)


def _end(words: list[Word], bare: str) -> tuple[int, list[Word]]:
    """Return where the options end, and what ``-e NAME=VALUE`` among them sets."""
    at, variables = 2, []
    while at < len(words) and words[at].text.startswith("-"):
        text = words[at].text
        alone = "=" in text or re.fullmatch(bare, text) is not None
        if text in _SETTING and at + 1 < len(words) and "=" in words[at + 1].text:
            variables.append(words[at + 1])
        at += 1 if alone else 2
    return at, variables
