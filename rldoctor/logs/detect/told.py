"""Events that one line tells in full: a row each, with the fields that its groups name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.seen import Seen

ROWS: Final = (
    ("port_in_use", "EADDRINUSE", r"port: ?(?P<port>\d{1,5})"),
    (
        "port_in_use",
        "/[Aa]ddress already in use/",
        r"(?:port:? ?|\('?(?P<host>[\w.*]+)'?, |:)(?P<port>\d{2,5})\b",
    ),
    ("port_in_use", "has failed to listen on any local network address", r"port: ?(?P<port>\d{1,5})"),
    ("disk_full", "/[Nn]o space left on device/", r"(?:'|\")?(?P<path>/[\w./+@=-]{2,300})"),
    ("disk_full", "Disk quota exceeded", r"(?:'|\")?(?P<path>/[\w./+@=-]{2,300})"),
    ("disk_full", "/PytorchStreamWriter failed writing file|unexpected pos \\d+ vs \\d+/", ""),
    ("connection_lost", "ActorUnavailableError", r"(?P<reason>The (?P<peer>actor) .{0,200})"),
    ("connection_lost", "keepalive watchdog timeout", r"(?P<reason>keepalive watchdog timeout)"),
    (
        "connection_lost",
        "/Connection reset by peer|Connection closed by (?:remote )?peer|Broken pipe/",
        r"(?:\[|peer )(?P<host>[\w.:-]{3,60})[\]:]",
    ),
    ("connection_lost", "/remote process exited or there was a network error/", r""),
    (
        "connection_lost",
        "/Max retries exceeded with url/",
        r"host='(?P<host>[^']{1,100})', port=(?P<port>\d{1,5})\).*?url: (?P<path>\S{1,200})",
    ),
    (
        "connection_lost",
        "/RpcError|StatusCode\\.UNAVAILABLE|rpc_code: 14/",
        r"(?P<reason>failed to connect to all addresses|Socket closed|Connection refused)?",
    ),
    (
        "connection_lost",
        "/Failed to (?:connect to GCS (?:at|within)|get cluster ID from GCS)/",
        r"(?P<peer>GCS)(?: at address (?P<host>[\w.-]+):(?P<port>\d+))?",
    ),
    (
        "connection_lost",
        "/NCCL WARN .{0,80}(?:ibv_modify_qp failed|Connection (?:refused|timed out)|Got completion)/",
        r"(?P<reason>NCCL WARN .{0,200})",
    ),
    (
        "resources_missing",
        "No available node types can fulfill resource request",
        r"request \{(?:(?=[^}\n]{0,120}'CPU': (?P<asked_cpus>[\d.]+)))?"
        r"(?:[^}\n]{0,120}'GPU': (?P<asked_gpus>[\d.]+))?",
    ),
    (
        "resources_missing",
        "/Total available GPUs [\\d.]+ is less than total desired GPUs/",
        r"GPUs (?P<present_gpus>[\d.]+) is less than total desired GPUs (?P<asked_gpus>[\d.]+)",
    ),
    ("random_weights", "/will not load any checkpoints? and will start from random/", r""),
    (
        "checkpoint_missing",
        "/could not find the metadata file (?P<path>\\S+)/",
        r"metadata file (?P<path>\S{1,300})",
    ),
    ("hardware_error", "/NVRM: Xid/", r"\(PCI:(?P<device>[\w:.]+)\): (?P<code>\d{1,4})"),
    (
        "hardware_error",
        "/uncorrectable (?:ECC|NVLink) error|GPU has fallen off the bus/",
        r"(?P<code>ECC|NVLink|fallen off)",
    ),
    ("gpu_error", "/CUDA error: [a-z]/", r"CUDA error: (?P<message>[^\n]{1,200})"),
    (
        "gpu_error",
        "/\\], thread: \\[\\d+,\\d+,\\d+\\] Assertion [`'].{1,300}[`'] failed/",
        r"(?P<message>Assertion .{1,300})",
    ),
    (
        "checkpoint_saved",
        "/successfully saved checkpoint (?:from|at) iteration +\\d+/",
        r"iteration +(?P<step>\d+) to (?P<path>\S{1,300})",
    ),
)
PATTERNS: Final = tuple(dict.fromkeys(key for _, key, _ in ROWS))
SHAPES: Final = tuple((kind, key, re.compile(pattern)) for kind, key, pattern in ROWS)
INTEGERS: Final = frozenset({"port", "step"})
NUMBERS: Final = frozenset({"asked_gpus", "present_gpus", "asked_cpus"})
SHARED: Final = frozenset({"port", "code", "host"})
# Logs are full of lines with these words about connections that are tried again.
RAISED_ONLY: Final = frozenset(key for kind, key, _ in ROWS if kind == "connection_lost" and "GCS" not in key)
NOT: Final[Mapping[str, tuple[str, ...]]] = {
    "gpu_error": ("out of memory",),
    "disk_full": ("shared memory", "/dev/shm"),
    "connection_lost": ("metrics exporter agent",),
}


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield a sighting for each line of the table above."""
    done: set[tuple[str, str, int]] = set()
    for kind, key, shape in SHAPES:
        for line in seen.lines(key):
            place = (kind, line.file, line.number)
            if place in done or any(word in line.text for word in NOT.get(kind, ())):
                continue
            failure = seen.failure_at(line)
            if key in RAISED_ONLY and failure is None and "NCCL" not in line.text:
                continue
            done.add(place)
            found = shape.search(line.text)
            fields: dict[str, Any] = {
                name: _value(name, text)
                for name, text in (found.groupdict() if found else {}).items()
                if text
            }
            if kind not in ("random_weights", "checkpoint_missing", "checkpoint_saved", "hardware_error"):
                fields["phase"] = seen.phase(
                    line, failure.frames if failure else (), failure.call if failure else None
                )
            shared = tuple(fields[name] for name in sorted(SHARED & fields.keys()))
            yield sighting(kind, line, fields, shared if kind != "checkpoint_saved" else (line.number,))


def _value(name: str, text: str) -> Any:
    if name in INTEGERS:
        return int(text)
    if name == "message" and text.startswith("Assertion"):
        return f"device-side assert: {text}"  # what the CUDA runtime calls it later
    return float(text) if name in NUMBERS and re.fullmatch(r"\d+(?:\.\d+)?", text) else text
