"""What an exit code alone lets one advise: a process ended, and nothing that was read says why."""

from __future__ import annotations

import re
from typing import Final

from rldoctor.types import Remedy

CODE: Final = re.compile(r"(?i)\b(?:code|status|exitcode)\b\W{0,4}(?:(?:is|was|of) )?(-?\d{1,3})\b")
ELSEWHERE: Final = (
    "Read what the process itself said last: its own error stream, the log of that rank or task (Slurm's "
    "--error file, one a task by srun --output=%j.%t.log; torchrun --log-dir LOGS --redirects 3; kubectl "
    "logs --previous), of several that of the task that ended first"
)
MEANS: Final = (
    (
        (2,),
        "Look at the command line first: 2 is how programs refuse their arguments and shells a syntax",
    ),
    (
        (126,),
        "Make the program executable (chmod +x, bash script.sh, no file system mounted noexec): 126 says so",
    ),
    (
        (127,),
        "Give the job its PATH (the environment sourced inside the job, module load, absolute paths): 127 "
        "says that a command was not found",
    ),
    (
        (134, -6),
        "Find the check that aborted it on its error stream (terminate called, Assertion failed, free()) and "
        "have the stack printed in the next run (PYTHONFAULTHANDLER=1)",
    ),
    (
        (255,),
        "See whether ssh or the launcher lost that node; a program that ends by exit(-1) shows 255 too",
    ),
)
LACKS_PATH: Final = re.compile(r"\[Errno 2\] No such file or directory: '(?P<path>[^']{1,200})'")
GIVE_PATH: Final = (
    "Put {path} where the job looks for it, on every node (in a container: mounted), or give its full path: "
    "a relative one counts from the folder that the job was started in"
)
PRINT_MORE: Final = (
    "Have the next run say more: PYTHONUNBUFFERED=1, PYTHONFAULTHANDLER=1, set -x in the script, @record of "
    "torch.distributed.elastic around main, so that torchrun's table holds the traceback"
)


def advise(text: str) -> tuple[Remedy, ...]:
    """Return where the cause of an ending stands that a text tells by its code; nothing if it tells none."""
    lacking = LACKS_PATH.search(text)
    if lacking is not None:
        return (Remedy(GIVE_PATH.format(path=lacking["path"]), "manual"),)
    found = CODE.search(text)
    if found is None:
        return ()
    means = next((cure for codes, cure in MEANS if int(found[1]) in codes), None)
    told = (Remedy(means, "manual"),) if means else ()
    return (*told, Remedy(ELSEWHERE, "manual"), Remedy(PRINT_MORE, "manual"))
