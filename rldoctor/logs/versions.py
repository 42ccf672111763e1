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
ACTORS: Final = (
    (
        "verl",
        re.compile(
            r"WorkerDict|\w*TaskRunner\w*|main_task|AgentLoopWorker\w*|Reward(?:Loop|Compute)Worker"
            r"|\w+HttpServer"
        ),
    ),
    ("slime", re.compile(r"MegatronTrainRayActor|RolloutManager")),
    ("openrlhf", re.compile(r"(?:Policy|Critic|Reference|Reward|Actor)Model(?:Ray)?Actor|LLMRayActor")),
    ("nemo_rl", re.compile(r"(?:Megatron|DTensor)PolicyWorker\w*|VllmGenerationWorker\w*")),
)  # of Ray, by the classes that each system starts
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


def systems_of_frames(
    failures: Iterable[Failure], events: Iterable[Event], actors: Iterable[str] = ()
) -> Iterator[str]:
    """Yield the systems whose files stand in stacks or whose actors spoke; engines behind trainers."""
    files = [frame.file for failure in failures for frame in failure.frames]
    files += [str(frame) for event in events for frame in event.fields.get("frames") or ()]
    files += [failure.call or "" for failure in failures]
    text = "\n".join(files)
    yield from (system for system, pattern in SYSTEM_PATHS if pattern.search(text))
    named = {actor.partition("(")[0] for actor in actors}
    yield from (system for system, pattern in ACTORS if any(pattern.fullmatch(name) for name in named))
    yield from (system for system, pattern in BACKENDS if pattern.search(text))
