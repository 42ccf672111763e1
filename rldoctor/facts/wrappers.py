"""Programs that another launcher starts than theirs: a Ray driver once a GPU, ranks without torchrun."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rldoctor.dialects import catalogue, grammar, suggest
from rldoctor.facts.refusal import Refusal
from rldoctor.facts.walk import Facts
from rldoctor.types import Command, Event

_RANKED: Final = r"verl[./]trainer[./](?:fsdp_)?sft_trainer(?:\.py)?"
_DRIVERS: Final = {
    "verl": r"(?:.*/)?(?:verl|recipe)[./].*main(?:_\w+)?(?:\.py)?",
    "slime": r"(?:.*/)?train(?:_async)?\.py",
}
_A_RANK_EACH: Final = (
    "torchrun",
    "torch.distributed.run",
    "torch.distributed.launch",
    "accelerate launch",
    "deepspeed",
)
_COUNTS: Final = ("--nproc_per_node", "--nproc-per-node", "--num_processes", "--num_gpus")
_TASKS: Final = ("--ntasks", "-n", "--ntasks-per-node")
_FILE: Final = rb"(?:\w+=\S+\s+)*(?:nohup\s+|uv run\s+)?[\w./]*python[\d.]*(?:\s+-[uBOE])*\s+\Z"
_PLAIN: Final = rb"(?:\w+=\S+\s+)*(?:nohup\s+|uv run\s+)?[\w./]*python[\d.]*\s"


def mislaunched(facts: Facts) -> Iterator[Event]:
    """Yield a program that its launcher starts once a GPU, or once alone, where it wants the other."""
    command, document = facts.start.command, facts.document
    if command is None or document is None or document.kind not in ("shell", "command"):
        return
    yield from _misnamed(command, facts)
    driver = _DRIVERS.get(str(facts.system))
    if driver is not None and re.fullmatch(driver, command.program):
        yield from _multiplied(command, facts)
    elif re.fullmatch(_RANKED, command.program) and not command.wrapped_by and _is_plain(command, facts):
        right = f"torchrun --standalone --nproc_per_node=8 -m {command.program}"
        says = f"{command.program} is a rank: without torchrun it finds no RANK, LOCAL_RANK and WORLD_SIZE"
        yield _event(command, says, "verl/utils/distributed.py", right)


def _misnamed(command: Command, facts: Facts) -> Iterator[Event]:
    """Yield a module of verl that Python does not find as it is written."""
    if facts.system != "verl" or not command.program.startswith("verl.") or command.place is None:
        return
    data = facts.document.files.get(command.place.file, b"") if facts.document is not None else b""
    before = data[command.place.start : command.place.end].partition(b"verl.")[0]
    name = command.program.removesuffix(".py")
    if name != command.program:
        yield _event(
            command,
            f"-m takes the name of a module, and {command.program} is no module",
            "Python",
            f"-m {name}",
        )
    elif b"-m" not in before and re.match(_FILE, before) is not None:
        yield _event(
            command, f"There is no file {name}: a module is started with -m", "Python", f"python3 -m {name}"
        )
    elif not grammar.is_entry("verl", name):
        known = [grammar.module(entry) for entry, _, _ in catalogue.load("verl").entries]
        near = next((each for each in known if suggest.distance(name, each) <= suggest.TYPO), None)
        if near is not None:
            yield _event(command, f"verl has no {name}, but {near}", "Python", f"-m {near}")


def _multiplied(command: Command, facts: Facts) -> Iterator[Event]:
    starter = next((name for name in command.wrapped_by if name in _A_RANK_EACH), None)
    if starter is None:
        yield from _tasks(command, facts)
        return
    settings = [each for other in facts.world if other.program == starter for each in other.settings]
    if any(each.key in _COUNTS and str(each.value) == "1" for each in settings):
        return
    says = (
        f"{starter} starts {command.program} once a GPU: so many drivers, each of which asks Ray for all GPUs"
    )
    where = "Ray starts the ranks; the driver is one process"
    yield _event(command, says, where, f"Start it once: python3 -m {command.program}")


def _tasks(command: Command, facts: Facts) -> Iterator[Event]:
    """Yield a driver that srun starts in several tasks."""
    before = facts.world[: facts.world.index(command)] if command in facts.world else ()
    srun = next((each for each in reversed(before) if each.program == "srun"), None)
    if "srun" not in command.wrapped_by or srun is None:
        return
    tasks = next((each for each in srun.settings if each.key in _TASKS and str(each.value).isdigit()), None)
    if tasks is not None and int(tasks.value) > 1:
        says = f"srun starts {command.program} {tasks.value} times: each driver asks Ray for all GPUs"
        yield _event(
            command,
            says,
            "Ray starts the ranks; the driver is one process",
            f"srun --nodes=1 --ntasks=1 ({tasks.key})",
        )


def _is_plain(command: Command, facts: Facts) -> bool:
    """Say whether a command begins with Python itself, in a script that sets no ranks."""
    place, document = command.place, facts.document
    data = document.files.get(place.file, b"") if place is not None and document is not None else b""
    own = any(each.key in ("RANK", "LOCAL_RANK") for each in command.env)
    return place is not None and not own and re.compile(_PLAIN).match(data, place.start) is not None


def _event(command: Command, says: str, where: str, advice: str) -> Event:
    return Refusal(command.program, says, "The launcher", where, advice=advice).at(command.place)
