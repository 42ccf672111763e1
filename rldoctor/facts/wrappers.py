"""Programs that another launcher starts than theirs: a Ray driver once a GPU, ranks without torchrun."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rldoctor.facts.walk import Facts
from rldoctor.types import Command, Event, LogLine

_RANKED: Final = re.compile(r"verl[./]trainer[./](?:fsdp_)?sft_trainer(?:\.py)?")
_DRIVERS: Final = {
    "verl": re.compile(r"(?:.*/)?(?:verl|recipe)[./].*main(?:_\w+)?(?:\.py)?"),
    "slime": re.compile(r"(?:.*/)?train(?:_async)?\.py"),
}
_A_RANK_EACH: Final = (
    "torchrun",
    "torch.distributed.run",
    "torch.distributed.launch",
    "accelerate launch",
    "deepspeed",
)
_COUNTS: Final = ("--nproc_per_node", "--nproc-per-node", "--num_processes", "--num_gpus")
_PLAIN: Final = re.compile(rb"(?:\w+=\S+\s+)*(?:nohup\s+|uv run\s+)?[\w./]*python[\d.]*\s")


def mislaunched(facts: Facts) -> Iterator[Event]:
    """Yield a program that its launcher starts once a GPU, or once alone, where it wants the other."""
    command, document = facts.start.command, facts.document
    if command is None or document is None or document.kind not in ("shell", "command"):
        return
    driver = _DRIVERS.get(str(facts.system))
    if driver is not None and driver.fullmatch(command.program):
        yield from _multiplied(command, facts)
    elif _RANKED.fullmatch(command.program) and not command.wrapped_by and _is_plain(command, facts):
        right = f"torchrun --standalone --nproc_per_node=8 -m {command.program}"
        says = f"{command.program} is a rank: without torchrun it finds no RANK, LOCAL_RANK and WORLD_SIZE"
        yield _event(command, says, "verl/utils/distributed.py", right)


def _multiplied(command: Command, facts: Facts) -> Iterator[Event]:
    starter = next((name for name in command.wrapped_by if name in _A_RANK_EACH), None)
    if starter is None:
        return
    settings = [each for other in facts.world if other.program == starter for each in other.settings]
    if any(each.key in _COUNTS and str(each.value) == "1" for each in settings):
        return
    says = (
        f"{starter} starts {command.program} once a GPU: so many drivers, each of which asks Ray for all GPUs"
    )
    where = "Ray starts the ranks; the driver is one process"
    yield _event(command, says, where, f"Start it once: python3 -m {command.program}")


def _is_plain(command: Command, facts: Facts) -> bool:
    """Say whether a command begins with Python itself, in a script that sets no ranks."""
    place, document = command.place, facts.document
    data = document.files.get(place.file, b"") if place is not None and document is not None else b""
    own = any(each.key in ("RANK", "LOCAL_RANK") for each in command.env)
    return place is not None and not own and _PLAIN.match(data, place.start) is not None


def _event(command: Command, says: str, where: str, advice: str) -> Event:
    place = command.place
    fields = {
        "key": command.program,
        "written": command.program,
        "value": None,
        "system": "The launcher",
        "says": says,
        "where": where,
        "severity": "error",
        "shown": "",
        "advice": advice,
        "safety": "unsafe",
        "certain": True,
    }
    return Event("refused_setting", fields, lines=(LogLine(place.file, place.line, ""),) if place else ())
