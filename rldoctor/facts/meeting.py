"""How the processes of a launch are to meet: addresses, ports, ranks of nodes, tasks of Slurm, Ray's head."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from rldoctor.dialects.values import plain
from rldoctor.facts.slips import line_of, of_place, slip
from rldoctor.facts.walk import Facts
from rldoctor.types import Command, Document, Event, Setting

HIGHEST_PORT: Final = 65535
TORCHRUN: Final = ("torchrun", "torch.distributed.run", "torch.distributed.launch")
_ADDRESSED: Final = r"(?:\w+://)?(?P<host>[\w.-]+)(?::\d+)?/?"
_LOCAL: Final = r"(?:localhost|127\.0\.0\.1)(?::\d+)?"
_TASKS: Final = rb"(?m)^#SBATCH[ \t]+--ntasks-per-node[= ](\d+)"
_EARLY: Final = rb"\s-\w*c\s+\"(?:[^\"\\]|\\.)*?(?<!\\)\$\{?(SLURM_(?:NODEID|PROCID|LOCALID))\b"
_REFERENCE: Final = r"\$\{?([A-Za-z_]\w*)\}?"
_PARTED: Final = rb"[ \t\n]--(?=[ \t\n\\])"


def misled(facts: Facts) -> Iterator[Event]:
    """Yield starters whose processes do not meet, or that start nothing below them."""
    document = facts.document
    if document is None or document.kind not in ("shell", "command"):
        return
    for command in facts.world:
        if command.program.rpartition("/")[2] in TORCHRUN:
            yield from _addresses(command)
            yield from _ranks(command)
            yield from _tasks(command, facts)
        elif command.program == "srun":
            yield from _early(command, document)
        elif command.program == "ray job submit":
            yield from _parted(command, document)
    yield from _blocked(facts.world, document)
    yield from _unexported(facts)


def _said(command: Command, *names: str) -> Setting | None:
    """Return what an option was told, in either spelling."""
    keys = {f"--{name}" for name in names} | {f"--{name.replace('_', '-')}" for name in names}
    return next((each for each in reversed(command.settings) if each.key in keys), None)


def _addresses(command: Command) -> Iterator[Event]:
    """Yield an address that is more than a host, and a port that is none."""
    address, port = _said(command, "master_addr"), _said(command, "master_port")
    found = re.fullmatch(_ADDRESSED, plain(address))
    if address is not None and found is not None and found["host"] != plain(address):
        says = f"{address.key} {address.value} is no host: it takes a name or an address alone"
        why = "torchrun joins it with the port and asks the resolver for the whole text"
        yield slip(address.key, says, why, f"{address.key} {found['host']}", of_place(address.place))
    if port is not None and plain(port).isdigit() and not 0 < int(plain(port)) <= HIGHEST_PORT:
        says = f"{port.key} {port.value} is no port"
        why = f"Ports go from 1 to {HIGHEST_PORT}"
        yield slip(port.key, says, why, f"{port.key} 29500", of_place(port.place))


def _ranks(command: Command) -> Iterator[Event]:
    """Yield several nodes that all take themselves for the first."""
    nodes, rank = _said(command, "nnodes"), _said(command, "node_rank")
    meeting, alone = _said(command, "rdzv_endpoint"), _said(command, "standalone")
    most = plain(nodes).rpartition(":")[2]
    if nodes is None or not most.isdigit() or int(most) < 2:
        return
    if meeting is not None and re.fullmatch(_LOCAL, plain(meeting)):
        says = f"{most} nodes are to meet at {meeting.value}, which each takes for itself"
        why = "At localhost each node finds itself alone, and waits until its timeout"
        advice = f"{meeting.key} HOST:PORT with the address of the first node"
        yield slip(meeting.key, says, why, advice, of_place(meeting.place), "warning")
    elif alone is not None:
        says = f"{alone.key} is for one node, and {nodes.key} asks for {most}"
        advice = f"{alone.key} out, --rdzv-backend c10d --rdzv-endpoint HOST:PORT in its place"
        yield slip(
            alone.key, says, "Each node then meets itself alone", advice, of_place(alone.place), "warning"
        )
    elif rank is None and meeting is None and _said(command, "rdzv_backend", "rdzv_id") is None:
        says = f"{nodes.key} {nodes.value} without --node_rank: each node takes itself for node 0"
        why = "The rank of a node is 0 unless told, and with a fixed master address nobody else gives it one"
        advice = "--node_rank $NODE_RANK, another on each node (with Slurm $SLURM_NODEID inside of srun)"
        yield slip(nodes.key, says, why, advice, of_place(nodes.place), "warning")


def _tasks(command: Command, facts: Facts) -> Iterator[Event]:
    """Yield a launcher that Slurm starts several times on a node, though it starts all processes itself."""
    document, each = facts.document, _said(command, "nproc_per_node")
    if document is None or "srun" not in command.wrapped_by or plain(each) in ("", "1"):
        return
    steps = [step for step in facts.world if step.program == "srun"]
    data = document.files.get(document.path, b"")
    own = next((said for step in steps if (said := _said(step, "ntasks_per_node", "ntasks"))), None)
    asked = re.search(_TASKS, data)
    if own is not None and own.key == "--ntasks":
        return
    count = plain(own) if own is not None else asked[1].decode() if asked is not None else "1"
    if count.isdigit() and int(count) > 1 and each is not None:
        says = f"srun starts {count} torchrun on each node, and each starts {each.value} processes"
        why = "torchrun starts the processes of a node itself: several of them take the same port and GPUs"
        line = line_of(data, asked.start()) if asked is not None and own is None else 0
        place = (document.path, line) if line else of_place(own.place if own is not None else command.place)
        yield slip("--ntasks-per-node", says, why, "--ntasks-per-node=1", place)


def _early(command: Command, document: Document) -> Iterator[Event]:
    """Yield a task's own number that the batch script's shell fills in, the same for all."""
    place = command.place
    data = document.files.get(place.file, b"") if place is not None else b""
    found = re.compile(_EARLY).search(data, place.start, place.end) if place is not None else None
    if place is None or found is None:
        return
    name = found[1].decode()
    says = f"${name} is filled in before srun starts: all nodes get the number of the first"
    why = "Inside double quotes the shell of the batch script puts its own value in place of a variable"
    advice = f"Write \\${name}, or the text of bash -c in single quotes"
    yield slip(name, says, why, advice, (place.file, line_of(data, found.start(1))), "warning")


def _parted(command: Command, document: Document) -> Iterator[Event]:
    """Yield a job whose own options Ray takes for its own."""
    place = command.place
    data = document.files.get(place.file, b"") if place is not None else b""
    text = data[place.start : place.end] if place is not None else b""
    entry = re.search(rb"[ \t](?:python[\d.]*|bash)[ \t]", text)
    if place is None or entry is None or re.search(_PARTED, text) or b" --" not in text[entry.end() :]:
        return
    says = "There is no -- before what ray job submit is to start"
    why = 'Ray takes the options behind it for its own and refuses them ("No such option")'
    word = entry[0].decode().strip()
    yield slip(
        "ray job submit", says, why, f"-- {word} …", (place.file, line_of(data, place.start + entry.start()))
    )


def _blocked(world: Sequence[Command], document: Document) -> Iterator[Event]:
    """Yield a head that the script waits for, with commands below it."""
    for at, head in enumerate(world):
        block = _said(head, "block") if head.program.endswith("ray start") else None
        if block is None or _said(head, "head") is None or head.place is None or head.wrapped_by:
            continue
        data = document.files.get(head.place.file, b"")
        behind = re.match(rb"[^\n;|]*?&(?!&)", data[head.place.end :])
        below = [each for each in world[at + 1 :] if "ray start" not in each.program and each.settings]
        if below and behind is None:
            says = "Nothing below ray start --head --block is ever reached: it waits until Ray ends"
            why = "--block keeps the command in the foreground"
            yield slip(block.key, says, why, f"{block.key} out, or & behind it", of_place(block.place))


def _unexported(facts: Facts) -> Iterator[Event]:
    """Yield a variable that a job's environment refers to and that Ray's own processes do not have."""
    command = facts.start.command
    heads = [each for each in facts.world if each.program.endswith("ray start")]
    document = facts.document
    if command is None or not heads or document is None:
        return
    there = {setting.key for each in heads for setting in each.env}
    data = b"\n".join(document.files.values())
    for setting in command.env:
        for name in re.findall(_REFERENCE, str(setting.value)) if setting.form == "json" else ():
            own = re.search(rb"^[ \t]*%b=" % name.encode(), data, re.MULTILINE)
            if setting.state == "known" and own is not None and name not in there and name != setting.key:
                says = f"{setting.key} of the job is empty: in single quotes, and ${name} is not exported"
                why = (
                    "In single quotes the shell fills nothing in; Ray does, from the environment of ray start"
                )
                advice = f'export {name} above ray start, or the JSON in double quotes with \\" inside'
                place = of_place(setting.place or setting.defined_at)
                yield slip(setting.key, says, why, advice, place, "warning")
