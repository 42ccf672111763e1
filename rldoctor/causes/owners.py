"""Whose the code of a failure is: the packages at its innermost frames, and those whose names are told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldoctor.logs.failures import Failure, Frame
    from rldoctor.types import Finding, Remedy

MOST: Final = 3  # packages that are named
PLACEHOLDER: Final = "LIBRARIES"  # in a rule's remedy, for the packages of the failure that it met
UNTOLD: Final = ("the framework", "its libraries")
_PACKAGE: Final = (
    r"(?:site|dist)-packages/([A-Za-z]\w*)"
    r"|/(megatron/bridge|verl|slime|chatlearn|openrlhf|nemo_rl|llamafactory|prime_rl|areal|skyrl\w*|swift|trl|megatron|vllm"
    r"|sglang|transformers|accelerate|deepspeed|peft|roll|rllm|axolotl|unsloth(?:_zoo)?|nemo_automodel|verifiers)/.*\.py$"
)
_MEGATRON: Final = r"/megatron/(?:core|training|legacy|rl)/.*\.py$"  # within another's checkout, too
_LACKS: Final = (  # the package in which a name is missing
    r"^module '([A-Za-z]\w*)[\w.]*' has no attribute|cannot import name .{1,80}? from '([A-Za-z]\w*)"
)
_NO_NAME: Final = r"(?:src|code|data|home|work|workspace|root|train|app|main|user|project|repo)s?"
_OWNERS: Final = (
    (r"(?:GRPO|DPO|SFT|PPO|RLOO|KTO|ORPO|CPO|OnlineDPO|Reward|GKD)(?:Trainer|Config)|trl\b", "trl"),
    (r"Trainer\b|TrainingArguments|PreTrained|AutoModel|Tokenizer|Processor|\w+(?:For(?:CausalLM|Conditional\w+)|HeadModel)"
     r"|(?:Qwen|Llama|Gemma|Mistral|Glm|Deepseek)\w*|\w+Cache\b|transformers\b", "transformers"),
    (r"Accelerator|ParallelismConfig|(?:DeepSpeed|FullySharded\w+)Plugin|accelerate\b", "accelerate"),
    (r"LLMEngine|AsyncLLM|SamplingParams|EngineArgs|GPUModelRunner|WorkerWrapperBase|collective_rpc|vllm\b",
     "vllm"),
    (r"ServerArgs|TokenizerManager|ModelRunner|update_weights_from_\w+|(?:release|resume)_memory_occupation"
     r"|sglang\b", "sglang"),
    (r"TransformerConfig|GPTModel|DistributedOptimizer|MegatronOptimizer|ModelParallelConfig|megatron\b",
     "megatron-core"),
    (r"TE\w*Linear|DotProductAttention|transformer_engine\b|initialize_ub|(?:RMS|Layer)Norm\.__init__"
     r"|TransformerLayer\.__init__", "transformer-engine"),
    (r"Peft|Lora|peft\b|prepare_model_for_kbit_training|get_peft_\w+|merge_and_unload", "peft"),
    (r"TensorDict|tensordict\b", "tensordict"),
    (r"DeepSpeed|deepspeed\b", "deepspeed"),
    (r"[Uu]nsloth\b|Fast(?:Language|Vision|Text)?Model\b", "unsloth"),
    (r"process_vision_info|smart_resize|fetch_(?:image|video)\b", "qwen-vl-utils"),
    (r"numpy\b", "numpy"),
)  # fmt: skip
"""Whose a name is that a message or a call tells: the callee of a call that does not fit is in no frame."""

_CARRIES: Final = r"/ray/(?:_private/(?:worker|auto_init_hook|client_mode_hook)|actor|util/client/\w+)\.py$"
_LOOKS_UP: Final = (
    r"(?:.*\.)?(?:__get(?:attr|attribute|item)__|_?format_and_raise|_?raise_(?:for_status|error|exception)\w*)$"
    r"|(?:_get_|_default_get)\w*$"
)


def libraries(failure: Failure) -> tuple[str, ...]:
    """Return the packages at the innermost frames, and those that message or call name; three at most."""
    callers = [
        owner
        for frame in reversed(failure.frames)
        if not re.match(_LOOKS_UP, frame.function) and (owner := _owner(frame.file))
    ]
    called = innermost(failure)
    said = failure.message
    if called and re.match(r"__(?:init|new|call)__\(\) ", said):  # older Pythons do not tell whose
        said = f"{said} {called.code}"
    told = [owner for names, owner in _OWNERS if re.search(rf"(?<!\w)(?:{names})", said)]
    lacking = [each[1] or each[2] for each in re.finditer(_LACKS, failure.message)]
    asked = () if "nexpected keyword" in said else callers[:1]  # there the one that is called lacks it
    once: dict[str, str] = {}
    for name in (*lacking, *asked, *told, *callers):
        once.setdefault(re.sub(r"[-_]", "", name).lower(), name)
    found = [name for name in once.values() if name != "ray"] or _of_ray(called)
    found.sort(key=lambda name: name == "torch")  # it seldom is the one to change
    return tuple(found[:MOST]) or UNTOLD


def _of_ray(frame: Frame | None) -> list[str]:
    """Return Ray where it raised something itself; most often it only carries what others raised."""
    own = frame is not None and _owner(frame.file) == "ray" and not re.search(_CARRIES, frame.file)
    return ["ray"] if own else []


def named(finding: Finding, failures: Sequence[Failure]) -> Finding:
    """Return a finding whose remedies name the packages of its failure where the rule leaves room."""
    if not any(PLACEHOLDER in f"{each.title}{each.command}" for each in finding.remedies):
        return finding
    places = {(each.file, each.line) for each in finding.evidence}
    failure = next((each for each in failures if (each.line.file, each.line.number) in places), None)
    names = libraries(failure) if failure else UNTOLD
    return replace(finding, remedies=tuple(_with(each, names) for each in finding.remedies))


def _with(remedy: Remedy, names: tuple[str, ...]) -> Remedy:
    title = remedy.title.replace(f" ({PLACEHOLDER})", "") if names == UNTOLD else remedy.title
    title = title.replace(PLACEHOLDER, " and ".join(names))
    known = " ".join(names) if names != UNTOLD else PLACEHOLDER
    command = remedy.command and remedy.command.replace(PLACEHOLDER, known)
    return replace(remedy, title=title, command=command)


def innermost(failure: Failure) -> Frame | None:
    """Return the innermost frame that asked for something, rather than the library's that looked it up."""
    own = [frame for frame in failure.frames if not frame.is_standard] or failure.frames
    asked = [frame for frame in own if not (frame.is_library and re.match(_LOOKS_UP, frame.function))]
    return next(reversed(asked or own), None)


def _owner(file: str) -> str | None:
    """Return the package that a file belongs to, installed or in a checkout of its own."""
    installed = re.search(_PACKAGE, file)
    if installed and installed[1]:
        return installed[1]
    if re.search(_MEGATRON, file):
        return "megatron"
    return installed[2].replace("/", "-") if installed else _clone(file)


def _clone(file: str) -> str | None:
    """Return the name of a checkout that holds a package of the same name."""
    folders = [folder for folder in file.split("/")[:-1] if folder != "src"]
    plain = [re.sub(r"[-_.]", "", folder).lower() for folder in folders]
    twice = [here for here, one, next_ in zip(folders, plain, plain[1:], strict=False) if one == next_ != ""]
    return next((name for name in reversed(twice) if not re.fullmatch(_NO_NAME, name.lower())), None)
