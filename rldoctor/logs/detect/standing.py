"""Logs that end while something is under way: set up, capture, load, sync, a first step that never comes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from rldoctor.logs.detect import pasted_stacks
from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.pasted import end_of
from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

MOST_LOGS: Final = 16
AT_START: Final = (
    "nccl",
    "meeting",
    "engine",
    "graphs",
    "download",
    "ray",
    "extensions",
)  # not once a step has ended
ROWS: Final = (
    ("graphs", "rollout.graph_capture", r"Capturing (?:CUDA|ACL|NPU|XPU)? ?graphs?\b.{0,80}?: +\d{1,2}%\|"),
    (
        "graphs",
        "rollout.graph_capture",
        r"Capture cuda graph begin|Capturing batches \(|Capturing a cudagraph",
    ),
    (
        "graphs",
        "rollout.graph_capture",
        r"CUDA graphs can take additional|[Cc]apturing the model for CUDA graphs",
    ),
    ("nccl", "start", r"NCCL (?:INFO|version) (?!.{0,60}(?:Init COMPLETE|Destroy COMPLETE|Abort COMPLETE))"),
    (
        "nccl",
        "start",
        r"vLLM is using nccl==|Found nccl from (?:library|environment)|Init torch distributed begin",
    ),
    ("nccl", "start", r"world_size=\d+ rank=\d+ local_rank=\d+ distributed_init_method="),
    ("nccl", "start", r"(?:reading|generating) GPU P2P access cache|\[Gloo\] Rank \d+ is connected to"),
    ("nccl", "start", r"rank \d+ in world size \d+ is assigned as DP rank|Init dist group|HCCL_CONNECT"),
    (
        "nccl",
        "start",
        r"(?<!NCCL )\bINFO (?:NET(?:/IB|/Socket)? ?:|Using (?:internal Network|NCCL )|comm 0x)",
    ),
    ("meeting", "start", r"Initializing TorchBackend in DeepSpeed|Added key: store_based_barrier_key:"),
    ("meeting", "start", r"Setting ds_accelerator to \w+ \(auto detect\)"),
    (
        "meeting",
        "start",
        r"Waiting in store based barrier|Rendezvous'ing worker group|initializing torch distributed",
    ),
    (
        "meeting",
        "start",
        r"Time to load \w+ op: |distributed backend: nccl|> initializing (?:tensor )?model parallel with",
    ),
    (
        "engine",
        "start",
        r"Waiting for \d+ local, \d+ remote core engine|Waiting for (?:vLLM|SGLang|the )?.{0,30}server",
    ),
    (
        "engine",
        "start",
        r"Initializing (?:an? )?(?:V\d )?LLM engine|Starting to load model|Load weight begin",
    ),
    ("engine", "start", r"Using model weights format|Loading safetensors checkpoint shards: +\d{1,2}%"),
    (
        "engine",
        "start",
        r"Loading weights took|Worker ready; awaiting tasks|[Ss]erver is not (?:up|ready) yet",
    ),
    (
        "engine",
        "start",
        r"torch\.compile takes|Compiling a graph for|GPU KV cache size|Maximum concurrency for",
    ),
    (
        "engine",
        "start",
        r"Graph capturing finished in|Asynchronous scheduling is enabled",
    ),
    ("extensions", "start", r"as PyTorch extensions root|Loading extension module|Building extension module"),
    ("extensions", "start", r"Emitting ninja build file|Detected CUDA files, patching ldflags"),
    ("engine", "rollout", r"No available shared memory broadcast block|run together took [\d.]+ s in total"),
    ("ray", "start", r"Creating a new placement group|Waiting for (?:creating a )?placement group"),
    ("download", "start", r"(?:Fetching \d+ files|Downloading (?:shards|.{0,60})): +\d{1,2}%\|"),
    (
        "data",
        "data",
        r"(?:Map|Filter|Tokenizing|Filtering|Running tokenizer|Applying chat).{0,80}?: +\d{1,2}%\|",
    ),
    (
        "ray",
        "start",
        r"Started a local Ray instance|Connect(?:ing|ed) to existing Ray cluster|Connected to Ray cluster",
    ),
    (
        "sync",
        "sync",
        r"[Uu]pdat(?:e|ing) weights?:? +\d{1,2}%\||Timer update_weights start|update_weights? begin",
    ),
    ("step", "train", r"Timer (?:actor_train|train|train_wait|log_probs|ref_log_probs) start"),
    ("step", "rollout", r"Timer (?:rollout|generate|data_preprocess|sleep|wake_up) start"),
    (
        "step",
        "train",
        r"(?:^\s*|[Tt]rain(?:ing)?(?: [\w-]{1,20}){0,3}|[Ee]pochs?(?: [\d/]+)?|[Ss]teps?|[Ii]terations?):? *"
        r"0%\|.{0,160}\| 0/\d+ \[\d",
    ),
    (
        "step",
        "train",
        r"\*{3,} Running training \*{3,}|Number of trainable parameters = |Training starts? now",
    ),
)
BEGUN: Final = tuple((what, phase, re.compile(pattern)) for what, phase, pattern in ROWS)
HEARTBEAT: Final = re.compile(
    r"\"GET /(?:health|metrics|get_model_info|server_info|v1/models)|Running: \d+ reqs?, (?:Swapped|Waiting)"
    r"|#running-req: \d+|Resource usage"
    r"|have not registered within the timeout|Still waiting|still waiting"
)
NOTHING: Final = re.compile(
    r"[\s`.…~=*>_-]*|\^C.*|.*(?:flashinfer\.jit|Loading JIT ops|Warning: |warnings\.warn\().*"
)
ELAPSED: Final = re.compile(r"\b0/\d{1,9} \[(?:(\d{1,3}):)?(\d{1,2}):(\d\d)<\?")
LONG: Final = 300.0  # seconds of heartbeats alone after which whatever was said before stands still


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield what each log was about when it ended; where anything failed, that is what ended it."""
    if any(not (failure.ignored or failure.recovered) for failure in seen.failures):
        return
    for log in range(min(len(seen.text.logs), MOST_LOGS)):
        lines = list(end_of(seen.text, log))
        yield from pasted_stacks.detect(lines, seen)
        yield from _end(lines, seen.text.logs[log].name in seen.main)


def _end(lines: Sequence[LogLine], started: bool) -> Iterator[Sighting]:
    """Yield what is under way at the last line that is no mere sign of life."""
    said = [line for line in lines if not NOTHING.fullmatch(line.text)]
    alive = [line for line in said if HEARTBEAT.search(line.text)]
    said = [line for line in said if not HEARTBEAT.search(line.text)]
    if not said:
        return
    last, seconds = said[-1], _seconds(said[-1], alive)
    what, phase = next(
        ((what, phase) for what, phase, shape in BEGUN if shape.search(last.text)), (None, None)
    )
    if what is None or (started and what in AT_START):
        if seconds is None or seconds < LONG:
            return
        what, phase = "silence", None
    fields = {"what": what, "phase": phase, "seconds": seconds}
    yield sighting("standstill", last, fields, (what, last.file))


def _seconds(last: LogLine, alive: Sequence[LogLine]) -> float | None:
    """Return for how long nothing but signs of life came, by a bar's own clock or by the lines' times."""
    bar = ELAPSED.search(last.text)
    if bar is not None and any(int(part or 0) for part in bar.groups()):
        hours, minutes, seconds = (int(part or 0) for part in bar.groups())
        return float(hours * 3600 + minutes * 60 + seconds)
    times = [line.time for line in alive if line.time is not None and line.number > last.number]
    return max(times) - last.time if times and last.time is not None else None
