"""What starters are told against what there is: GPUs hidden or not allocated, a dashboard's port."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor.dialects import starting, suggest
from rldoctor.facts.refusal import Refusal
from rldoctor.facts.walk import Facts
from rldoctor.types import Command, Event, Setting

DASHBOARD: Final = "8265"
VISIBLE: Final = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES")
MACHINES: Final = (("policy", "cluster.gpus_per_node"), ("policy", "cluster.gpus"))
RAYS_OWN: Final = ("ray start", "ray job submit")
_PROCESSES: Final = ("--nproc_per_node", "--nproc-per-node", "--num-gpus", "--num_processes")
_STARTERS: Final = ("torchrun", "ray start", "torch.distributed.run", "torch.distributed.launch")
_COUNTED: Final = (
    r"NCCL_(?:\w+_)?(?:DISABLE|ENABLE)|CUDA_LAUNCH_BLOCKING|CUDA_DEVICE_MAX_CONNECTIONS"
    r"|TORCH_NCCL_\w*(?:WAIT|HANDLING)"
)
_TRUTHS: Final = {"true": "1", "yes": "1", "on": "1", "false": "0", "no": "0", "off": "0"}
_RANGE: Final = r"\[?(\d{1,2})(?:-|\.\.)(\d{1,2})\]?"
_WORDS: Final = r"(?i)all|\d+(?:[ ;:|]+\d+)+|\[.*\]"
_HERE: Final = r"(?:https?://)?(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::(?P<port>\d+))?/?"
_ALLOCATED: Final = (
    rb"(?m)^#SBATCH[ \t]+(?P<said>--(?:gres[= ]gpu|gpus-per-node)[=: ]?"
    rb"(?:[A-Za-z][\w.-]*[:=])?(?P<gpus>\d{1,2}))\b"
)


def misstarted(facts: Facts) -> Iterator[Event]:
    """Yield starters of a script that are told more than there is, or another address than the one given."""
    document = facts.document
    if document is None or document.kind not in ("shell", "command"):
        return
    yield from _no_lists(facts.world)
    for command in facts.world:
        yield from _unknown(command)
        setting = _processes(command)
        if setting is not None:
            yield from _hidden(setting, command)
            yield from _unallocated(setting, facts)
    yield from _elsewhere(facts.world)
    yield from _asked_of_fewer(facts)


def _processes(command: Command) -> Setting | None:
    """Return the setting that says how many GPUs of a node a starter takes."""
    if command.program.rpartition("/")[2] not in _STARTERS:
        return None
    counts = (each for each in command.settings if each.key in _PROCESSES and each.state != "unknown")
    return next((each for each in counts if str(each.value).isdigit()), None)


def _unknown(command: Command) -> Iterator[Event]:
    """Yield an option that a starter does not have."""
    program = command.program.rpartition("/")[2]
    for setting in command.settings:
        if not setting.key.startswith("--") or starting.is_known(program, setting.key):
            continue
        near = suggest.word(starting.plain(setting.key), list(starting.OPTIONS[program]))
        right = near.replace("_", "-" if "-" in setting.key[2:] else "_") if near else None
        says = f"{program} has no option {setting.key}"
        advice = (
            f"--{right} in place of {setting.key}" if right else f"{setting.key} out, or behind the program"
        )
        yield _event(setting, says, "", advice)


def _no_lists(world: Sequence[Command]) -> Iterator[Event]:
    """Yield visible GPUs that are told as a range, as a word or with another sign than a comma."""
    every = {(each.key, str(each.value)): each for command in world for each in command.env}
    for shown in every.values():
        right = _TRUTHS.get(str(shown.value).strip("'\"").lower())
        if right is not None and re.fullmatch(_COUNTED, shown.key):
            says = f"{shown.key} is read as a number, and {shown.value} is none"
            yield _event(shown, says, f"{shown.key}={shown.value}", f"{shown.key}={right}", "warning")
        text = str(shown.value).strip("'\" ")
        if shown.key not in VISIBLE[:2] or shown.state == "unknown" or shown.form == "delete" or not text:
            continue
        found = re.fullmatch(_RANGE, text)
        if found is None and re.fullmatch(_WORDS, text) is None:
            continue
        numbers = range(int(found[1]), int(found[2]) + 1) if found is not None else re.findall(r"\d+", text)
        right = ",".join(str(number) for number in numbers) or "0,1,2,3,4,5,6,7"
        says = (
            f"{shown.key}={text} is no list: CUDA shows the GPUs up to the first entry that it does not know"
        )
        yield _event(shown, says, f"{shown.key}={text}", f"{shown.key}={right}")


def _hidden(setting: Setting, command: Command) -> Iterator[Event]:
    """Yield a starter that counts on more GPUs than the environment shows it."""
    yield from _fewer(f"{command.program} counts on", setting, int(setting.value), command)


def _asked_of_fewer(facts: Facts) -> Iterator[Event]:
    """Yield a launch that is shown fewer GPUs of a node than it asks for, whatever the machine has."""
    command, table = facts.start.command, facts.table
    told = table is not None and not table.told.isdisjoint(MACHINES)
    if command is None or table is None or not told:
        return
    if any(each.program.endswith(RAYS_OWN) for each in facts.world):
        return  # the processes of Ray have an environment of their own
    asked, setting = table.get("train.gpus_per_node"), table.setting("train.gpus_per_node", "policy")
    if isinstance(asked, int) and setting is not None:
        yield from _fewer("The launch asks for", setting, asked, command)


def _fewer(what: str, setting: Setting, asked: int, command: Command) -> Iterator[Event]:
    """Yield each variable that shows a command fewer GPUs than a setting asks for."""
    for shown, count in _shown(command):
        if count < asked:
            says = f"{what} {asked} GPUs of a node, and {shown.key} shows it {count}"
            every = ",".join(map(str, range(asked)))
            advice = f"{setting.key} {count}, or {shown.key}={every}"
            yield _event(shown, says, f"{setting.key} {asked}, {shown.key}={shown.value}", advice)


def _shown(command: Command) -> Iterator[tuple[Setting, int]]:
    """Yield each variable that shows a command some of the GPUs, and how many."""
    for shown in command.env:
        if shown.key in VISIBLE and shown.state != "unknown" and shown.form != "delete":
            names = [name.strip() for name in str(shown.value).strip("'\" ").split(",")]
            if all(name.isdigit() for name in names):
                yield shown, len(names)


def _unallocated(setting: Setting, facts: Facts) -> Iterator[Event]:
    """Yield a starter that counts on more GPUs than Slurm gives the job on a node."""
    document = facts.document
    data = document.files.get(document.path, b"") if document is not None else b""
    found = re.search(_ALLOCATED, data)
    if found is not None and 0 < int(found["gpus"]) < int(setting.value):
        said = found["said"].decode()
        says = (
            f"The job asks Slurm for {int(found['gpus'])} GPUs of a node, and {setting.value} are counted on"
        )
        more = said.removesuffix(found["gpus"].decode()) + str(setting.value)
        advice = f"#SBATCH {more}, or {setting.key} {int(found['gpus'])}"
        yield _event(setting, says, f"#SBATCH {said}, {setting.key} {setting.value}", advice)


def _elsewhere(world: Sequence[Command]) -> Iterator[Event]:
    """Yield a job that is sent to a port of this machine at which its dashboard does not listen."""
    heads = [each for each in world if each.program.endswith("ray start") and _of(each, "--head") is not None]
    port = _of(heads[-1], "--dashboard-port") if heads else None
    there = str(port.value) if port is not None else DASHBOARD
    if not heads or (port is not None and port.state == "unknown"):
        return
    for each in world:
        address = _of(each, "--address") if each.program.endswith("ray job submit") else None
        found = re.fullmatch(_HERE, str(address.value).strip("'\"")) if address is not None else None
        if address is None or found is None or found["port"] in (None, there):
            continue
        says = f"The job goes to port {found['port']}, and the dashboard listens at {there}"
        right = str(address.value).replace(found["port"], there)
        advice = f"--address={right}, or ray start --head --dashboard-port={found['port']}"
        yield _event(address, says, f"--address {address.value}, --dashboard-port {there}", advice)


def _of(command: Command, key: str) -> Setting | None:
    return next((each for each in reversed(command.settings) if each.key == key), None)


def _event(setting: Setting, says: str, shown: str, advice: str, severity: str = "error") -> Event:
    where = "torchrun, Ray and Slurm count GPUs and ports as they are told"
    told = Refusal(setting.key, says, "The launcher", where, str(setting.value), shown, advice)
    return replace(told, severity=severity).at(setting.place or setting.defined_at)
