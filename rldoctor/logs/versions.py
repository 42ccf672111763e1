"""Which systems and which versions of them a log names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rldoctor.logs.failures import Failure
from rldoctor.types import Event, LogLine

ROWS: Final = (
    ("vllm", "vLLM API server version", r"vLLM API server version v?(\d[\w.+]{1,40})"),
    ("vllm", "/Initializing an? (?:V\\d )?LLM engine \\(v/", r"LLM engine \(v(\d[\w.+]{1,40})\)"),
    ("sglang", "/sglang[ =]+v?\\d+\\.\\d/", r"sglang[ =]+v?(\d[\w.+]{1,40})"),
    ("nccl", "/NCCL version \\d/", r"NCCL version (\d[\d.]{1,20})"),
    (
        "torch",
        "/(?:PyTorch|torch)(?: version)? ?(?:[:=]|==) ?\\d/",
        r"orch(?: version)? ?(?:[:=]|==) ?(\d[\w.+]{1,40})",
    ),
    (
        "ray",
        "/[Rr]ay(?:_version|, version| version)[ :='\\x22]+\\d/",
        r"[Rr]ay(?:_version|, version| version)[ :='\x22]+(\d[\w.]{1,40})",
    ),
    (
        "transformers",
        "/[Tt]ransformers(?:_version| version)\\W{1,4}\\d/",
        r"ransformers(?:_version| version)\W{1,4}(\d[\w.]{1,40})",
    ),
    (
        "verl",
        "/\\bverl(?:[ =-]+|_version\\W{1,4})v?\\d+\\.\\d/",
        r"verl(?:[ =-]+|_version\W{1,4})v?(\d[\w.]{1,40})",
    ),
)
PATTERNS: Final = tuple(dict.fromkeys(key for _, key, _ in ROWS))
LIMIT: Final = 4
OWN_PATHS: Final = ("verl", "slime", "areal", "chatlearn", "trainer_core", "openrlhf", "nemo_rl", "prime_rl")
SYSTEM_PATHS: Final = (
    (
        "easyr1",
        re.compile(
            r"/EasyR1[^/]*/|verl/(?:trainer/(?:main|data_loader)|workers/rollout/vllm_rollout_spmd)\.py"
        ),
    ),
    *((system, re.compile(rf"(?:^|[/\s(\"'.]){system}[/.](?!yaml|json|log)")) for system in OWN_PATHS),
    ("swift", re.compile(r"/swift/(?:rlhf_trainers|trainers|llm|cli|megatron|arguments|pipelines)/")),
    ("trl", re.compile(r"/trl/(?:trainer|scripts|extras|generation|experimental)/")),
)
BACKENDS: Final = (
    ("megatron", re.compile(r"megatron/(?:core|training)")),
    ("sglang", re.compile(r"sglang/srt|sgl-workspace")),
    ("vllm", re.compile(r"/vllm/")),
)


def read_versions(hits: Mapping[str, tuple[LogLine, ...]]) -> dict[str, str]:
    """Return the versions that lines tell; the last one told counts."""
    found: dict[str, str] = {}
    for name, key, pattern in ROWS:
        for line in hits.get(key, ()):
            version = re.search(pattern, line.text)
            if version is not None:
                found[name] = version[1].rstrip(".")
    return found


def systems_of_frames(failures: Iterable[Failure], events: Iterable[Event]) -> Iterator[str]:
    """Yield the systems whose files stand in stacks: those that train before the engines below them."""
    files = [frame.file for failure in failures for frame in failure.frames]
    files += [str(frame) for event in events for frame in event.fields.get("frames") or ()]
    files += [failure.call or "" for failure in failures]
    text = "\n".join(files)
    for system, pattern in (*SYSTEM_PATHS, *BACKENDS):
        if pattern.search(text):
            yield system
