"""What systems say when something begins that a log may end in: set up, an engine's start, a step's parts."""

from __future__ import annotations

import re
from typing import Final

AT_START: Final = frozenset(
    {"nccl", "meeting", "engine", "graphs", "weights", "download", "ray", "extensions"}
)  # not once a step has ended
PERCENT: Final = r" +\d{1,2}%(?:\|| \d[\d,]*/\d)"  # a bar as terminals and as notebooks draw it
BAR: Final = rf"[^|]{{0,30}}:{PERCENT}"
WORDS: Final = r"(?: [\w-]{1,20}){0,3}"
ROWS: Final = (
    ("graphs", "rollout.graph_capture", r"Capturing (?:CUDA|ACL|NPU|XPU)? ?graphs?\b.{0,80}?:" + PERCENT),
    (
        "graphs",
        "rollout.graph_capture",
        r"Capture cuda graph begin|Capturing batches \(|Capturing a cudagraph|Registering \d+ cuda graph add",
    ),
    (
        "graphs",
        "rollout.graph_capture",
        r"CUDA graphs can take additional|[Cc]apturing the model for CUDA graphs",
    ),
    ("nccl", "start", r"NCCL CALL \w"),
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
    (
        "nccl",
        "start",
        r"All distributed processes registered\. Starting with \d+|LOCAL_RANK: \d+ - CUDA_VISIBLE_DEVICES: ",
    ),
    (
        "meeting",
        "start",
        r"Initializing TorchBackend in DeepSpeed|Added key: store_based_barrier_key:|Connecting to tcp://",
    ),
    ("meeting", "start", r"Setting ds_accelerator to \w+ \(auto detect\)|^cdb=None"),
    (
        "meeting",
        "start",
        r"Waiting in store based barrier|Rendezvous'ing worker group|initializing torch distributed",
    ),
    (
        "meeting",
        "start",
        r"Time to load \w+ op: |distributed backend: nccl|\binitializing (?:tensor )?model parallel with",
    ),
    (
        "meeting",
        "start",
        r"[Ii]nitializing (?:deepspeed )?(?:distributed|ddp): GLOBAL_RANK|distributed init \(rank \d"
        r"|Setting up process group for: env:"
        r"|initialized host \S+ as rank \d",
    ),
    (
        "engine",
        "start",
        r"Waiting for \d+ local, \d+ remote core engine|Waiting for (?:vLLM|SGLang|the )?.{0,30}server",
    ),
    (
        "engine",
        "start",
        r"Initializing (?:an? )?(?:V\d )?LLM engine|Starting to load model|Load weight begin|Load weight end",
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
        r"Dynamo bytecode transform time|for vLLM's torch\.compile|Directly load (?:the )?compiled graph",
    ),
    (
        "engine",
        "start",
        r"Graph capturing finished in|Asynchronous scheduling is enabled|Available KV cache memory",
    ),
    (
        "engine",
        "start",
        r"vLLM message queue communication handle|Model loading took|KV Cache is allocated|Memory pool end",
    ),
    ("weights", "start", r"Loading (?:checkpoint|weights)(?: shards)?" + BAR),
    ("extensions", "start", r"as PyTorch extensions root|Loading extension module|Building extension module"),
    ("extensions", "start", r"Emitting ninja build file|Detected CUDA files, patching ldflags"),
    ("extensions", "start", r"compiling and loading fused kernels|compiling dataset index builder"),
    ("engine", "rollout", r"No available shared memory broadcast block|run together took [\d.]+ s in total"),
    ("ray", "start", r"Status message: Job is currently running|Status for job '\w+': RUNNING"),
    ("ray", "start", r"Creating a new placement group|Waiting for (?:creating a )?placement group"),
    ("ray", "start", r"Waiting for register center actor|Waiting for (?:the )?(?:Ray|ray) (?:cluster|head)"),
    ("download", "start", r"(?:Fetching \d+ files|Downloading (?:shards|.{0,60})):" + PERCENT),
    (
        "data",
        "data",
        r"(?:Map|Filter|Tokenizing|Filtering|Running tokenizer|Applying chat).{0,80}?:" + PERCENT,
    ),
    (
        "data",
        "data",
        r"building train, validation,? and test datasets|> building (?:dataset|shuffle|sample) ind",
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
        "rollout",
        "rollout",
        rf"(?:Processed prompts|Adding requests|[Rr]ollouts?{WORDS}|[Gg]enerat\w+{WORDS}"
        rf"|[Cc]ollect\w+{WORDS}|[Mm]ak(?:e|ing)[ _]experience){BAR}",
    ),
    (
        "rollout",
        "rollout",
        r"▶ (?:Generating|Preparing for generation|Refitting)\b|After sync model weights in sharding manager"
        r"|del state_dict and empty_cache in sharding manager|test_gen_batch meta info: ",
    ),
    (
        "step",
        "train",
        rf"(?:[Uu]pdat\w+ (?:actor|critic|policy)|[Cc]omput\w+{WORDS} log[ _-]?probs?|[Rr]eward\w*{WORDS}"
        rf"|[Ss]coring{WORDS}|[Ee]valuat\w+{WORDS}|[Vv]alidat\w+{WORDS}){BAR}",
    ),
    (
        "step",
        "train",
        r"▶ (?:Processing|Computing|Preparing|Training|Starting|Validating)\b|Started: '\w+'$"
        r"|^(?:.{0,40}\) )?Training from scratch$",
    ),
    (
        "step",
        "train",
        r"(?:^\s*|[Tt]rain(?:ing)?(?: [\w-]{1,20}){0,3}|[Ee]pochs?(?: [\d/]+)?|[Ss]teps?|[Ii]terations?):? *"
        r"0%\|.{0,160}\| 0/\d+ \[\d",
    ),
    (
        "step",
        "train",
        r"\*{3,} Running training \*{3,}|Number of trainable parameters = |Training starts? now"
        r"|Total optimization steps = |Gradient Accumulation steps = |\[before the start of training step\]"
        r"|^ *training \.\.\. *$|^ *done with setup|\[after dataloaders are built\]",
    ),
)
BEGUN: Final = tuple((what, phase, re.compile(pattern)) for what, phase, pattern in ROWS)
OF_ENGINE: Final = re.compile(
    r"Using .{0,60}(?:[Aa]ttention|[Bb]ackend|[Ss]ampl)|Reducing Torch parallelism|[Cc]ustom all-?reduce"
    r"|^# (?:GPU|CUDA|CPU) blocks|Memory profiling takes|the current vLLM instance can use"
    r"|Started engine process|Cannot use|Automatically detected platform|Defaulting to use|engine process"
    r"|Enabled custom fusions|Resolved architecture|Cache the (?:compiled )?graph|Overriding|DeepGEMM"
    r"|[Ww]arm(?:ing)? ?up"
)  # what an engine says on its way to being ready


def begun(text: str) -> tuple[str | None, str | None]:
    """Return what a line says has begun, and in which phase that is."""
    return next(((what, phase) for what, phase, shape in BEGUN if shape.search(text)), (None, None))
