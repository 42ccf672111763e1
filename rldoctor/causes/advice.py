"""What the kind of an unknown exception says about its cure: which releases, which condition, which data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from rldoctor.types import Remedy

if TYPE_CHECKING:
    from rldoctor.logs.failures import Failure, Frame

LONGEST_QUOTE: Final = 160
LONGEST_MESSAGE: Final = 2000  # characters of a message in which a cure is looked for
VERSIONS: Final = (
    "pip list | grep -iE 'torch|vllm|sglang|transformers|trl|peft|accelerate|deepspeed|megatron|ray|numpy'"
)

_PACKAGE: Final = re.compile(r"(?:site|dist)-packages/([A-Za-z]\w*)")
_OWNERS: Final = (
    (r"(?:GRPO|DPO|SFT|PPO|RLOO|KTO|ORPO|CPO|OnlineDPO|Reward|GKD)(?:Trainer|Config)|trl\b", "trl"),
    (r"Trainer\b|TrainingArguments|PreTrained|AutoModel|Tokenizer|Processor|\w+For(?:CausalLM|Conditional\w+)"
     r"|(?:Qwen|Llama|Gemma|Mistral|Glm|Deepseek)\w*|\w+Cache\b|transformers\b", "transformers"),
    (r"Accelerator|accelerate\b", "accelerate"),
    (r"LLMEngine|AsyncLLM|SamplingParams|EngineArgs|GPUModelRunner|WorkerWrapperBase|vllm\b", "vllm"),
    (r"ServerArgs|TokenizerManager|ModelRunner|sglang\b", "sglang"),
    (r"TransformerConfig|GPTModel|DistributedOptimizer|MegatronOptimizer|ModelParallelConfig|megatron\b",
     "megatron-core"),
    (r"TE\w*Linear|DotProductAttention|transformer_engine\b", "transformer-engine"),
    (r"Peft|Lora|peft\b", "peft"),
    (r"TensorDict|tensordict\b", "tensordict"),
    (r"DeepSpeed|deepspeed\b", "deepspeed"),
    (r"numpy\b", "numpy"),
)  # fmt: skip
"""Whose a name is that a message tells: the callee of a call that does not fit is in no frame."""

_PLAIN = r"NoneType|list|dict|str|int|float|tuple|set|bool|function|bytes"
_FOR_ANOTHER_RELEASE = (
    r"got an unexpected keyword argument|got multiple values for (?:keyword )?argument"
    r"|takes (?:from )?\d+ (?:to \d+ )?positional arguments? but|missing \d+ required (?:positional|keyword)"
    r"|cannot import name|module '[\w.]+' has no attribute"
    rf"|(?:'(?!(?:{_PLAIN})')\w+' object|type object '\w+') has no attribute"
    r"|Can't instantiate abstract class|unexpected keyword arg|incompatible function arguments"
    r"|(?:too many|not enough) values to unpack"
)
_EMPTY = (
    r"zero-size array|arg is an empty sequence|non-empty TensorList|non-empty list of Tensors"
    r"|at least one array to concatenate|list index out of range|(?:division|modulo) by zero|float division"
    r"|pop from (?:an )?empty|iterable argument is empty|empty (?:list|batch|tensor|sequence)"
    r"|batch size must be positive|index 0 is out of bounds .{0,40}size 0|Cannot choose from an empty"
)
_SHAPES = (
    r"size of tensor a|Sizes of tensors must match|shapes? cannot be multiplied|stack expects each tensor"
    r"|shape '\[.*\]' is invalid for input|split_with_sizes|could not be broadcast|shape mismatch"
    r"|size mismatch|must be the same (?:size|shape|length)|Expected .{0,40}(?:size|shape|dim)|(?:length"
    r"|shape)s? .{0,40}not (?:equal|match)|(?:do|does)(?: not|n't) match .{0,30}(?:length|size|shape)"
    r"|The expanded size of the tensor|The shape of the mask|inhomogeneous shape|Dimension out of range"
    r"|number of dims"
)
_TELLS_ITS_CURE = (
    r"\b(?:must|should|please|need(?:s|ed)? to|required?|requires|cannot be|can't be|expected|only supports?"
    r"|set [`'\"]?[-\w.]+|use [`'\"]?[-\w.]+|instead|not supported|unsupported|not implemented"
    r"|not compatible|incompatible|not allowed|invalid|unknown|unrecogni[sz]ed|divisible|at least|at most"
    r"|larger|smaller|exceeds?|greater|less than|not (?:found|set|specified|provided|available|equal"
    r"|one of))\b"
)

_TOLD_TO = re.compile(
    r"(?i:(?:^|\b(?:please|try|consider|should|can|may|to|by|and|or|then) |, )(?:set|us(?:e|ing)"
    r"|increas(?:e|ing)|decreas(?:e|ing)|reduc(?:e|ing)|lower(?:ing)?|rais(?:e|ing)|(?:re|un)?install(?:ing)?|upgrad(?:e|ing)"
    r"|downgrad(?:e|ing)|disabl(?:e|ing)|enabl(?:e|ing)|pass(?:ing)?|specify(?:ing)?|unset|export|mov(?:e|ing)"
    r"|switch(?:ing)?|rebuild|launch) )\S|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+=[^\s)]"
)
_ABOUT_THE_REPORT = re.compile(
    r"(?i)for (?:more|a complete|details|further|debugging)|debug|stack ?trace|bug report"
    r"|report (?:a|this|the)|TORCH_LOGS|DYNAMO|HYDRA_FULL_ERROR|suppress|fall back to eager|LAUNCH_BLOCKING"
    r"|file an issue|refer to"
)
LONGEST_CURE: Final = 240


class Kind(Struct, frozen=True):
    """A kind of exceptions, told by name, message and file on top, and what to do about one, best first."""

    exception: str
    message: str
    cures: tuple[str, ...]
    command: str | None = None
    file: str = ""


KINDS: Final = (
    Kind(
        r"TypeError|AttributeError|ImportError|ValueError",
        _FOR_ANOTHER_RELEASE,
        (
            "Install releases of {libraries} that fit each other, those that the framework pins for its "
            "version (its requirements or image): this call is written for another release (upgrade the "
            "older one, or go back to the one before)",
            "Where the call stands in code of your own, write it for the installed release: {place}",
        ),
        VERSIONS,
    ),
    Kind(
        r"(?:Type|Attribute)Error",
        r"'?NoneType'?",
        (
            "Find out why the value is None in {place}: {code}: an option that is not set, a result, file "
            "or field that is missing",
            "Upgrade {libraries}, or switch off the optional feature that this code belongs to, if none of "
            "it is yours",
        ),
    ),
    Kind(
        r"PicklingError|TypeError|AttributeError|RuntimeError|",
        r"(?i)(?:can't|cannot|could not|unable to) pickle|Can't get (?:local )?(?:attribute|object)"
        r"|not picklable",
        (
            "Define the function at the top level of a module that can be imported by name (no lambda, no "
            "nested function, no module loaded by path under another name), so that it can be pickled for "
            "another process",
            "Keep the call within one process (a thread pool or the naive reward manager instead of a "
            "process pool)",
        ),
    ),
    Kind(
        r"\w+",
        r"",
        (
            "Train with ZeRO-2 instead of ZeRO-3 where the model fits, with the same branches of the model "
            "on every rank (text and images in each micro-batch), and generate or transfer weights only "
            "within the trainer's own gathering of parameters",
            "Upgrade deepspeed, accelerate and the trainer to releases that were tested together",
        ),
        file=r"deepspeed/runtime/(?:zero/|bf16_optimizer)",
    ),
    Kind(
        r"ValueError|RuntimeError|IndexError|ZeroDivisionError|StopIteration|",
        _EMPTY,
        (
            "Find out why nothing is left in {place}: no prompt, answer or sample reached it (an empty "
            "answer or prompt, everything filtered out or truncated, a batch smaller than the number of "
            "data parallel ranks)",
            "Raise the batch size to a multiple of the ranks, and drop or repair empty rows of the data "
            "(padding too)",
        ),
    ),
    Kind(
        r"RuntimeError|ValueError|AssertionError|IndexError",
        _SHAPES,
        (
            "Compare the two lengths in {place}: padding, truncation, packing, special tokens, and sequence"
            " or context parallel slices must be the same on both sides (switch off packing and sequence "
            "parallelism, or set one micro-batch, to find which)",
            "Upgrade {libraries}, or go back to the version before, if no code or setting of yours made the "
            "lengths",
        ),
    ),
    Kind(
        r"KeyError",
        r"",
        (
            "Look where {message} should come from: {place} reads it, and the data row, the configuration "
            "or the other side's answer does not have it (a column or name spelled otherwise, a step of "
            "preprocessing left out)",
            "Install releases of {libraries} that were tested together, if it is one of their own names (it"
            " was renamed or added in another version)",
        ),
    ),
    Kind(
        r"HTTPError|ClientResponseError|ClientError|ServerError|HTTPStatusError|APIStatusError",
        r"\b50[234]\b",
        (
            "See whether the server is up and answers on its own node (curl its /health), and read its log: "
            "it died, is loading, or is not the one that should listen there ({message})",
            "Keep HTTP proxies out of it: leave the nodes' addresses out by no_proxy (each of them, httpx "
            "knows no ranges), or unset http_proxy and https_proxy",
        ),
        "curl -s --noproxy '*' http://HOST:PORT/health; export no_proxy=localhost,127.0.0.1,HOST",
    ),
    Kind(
        r"HTTPError|ClientResponseError|ClientError|ServerError|HTTPStatusError",
        r"",
        (
            "Read the log of the server that answered so at that moment: its own error says why ({message})",
            "Check the address, the release and the options of that server against what the client sends",
        ),
    ),
    Kind(
        r"OSError|IOError",
        r"\[Errno (?:28|122)\]",
        (
            "Make room where {place} writes: the disk, its inodes or the quota (df -h, df -i), TMPDIR on a "
            "larger disk, and /dev/shm, which is what is full where no file is named (docker --shm-size)",
        ),
        "df -h . /tmp /dev/shm; df -i .",
    ),
    Kind(
        r"OSError|PermissionError",
        r"\[Errno (?:1|13|30)\]",
        (
            "Give the process a folder that it may write (HOME, TMPDIR, the cache and output folders), or "
            "the right owner and mount options: {message}",
        ),
        "id; ls -ld FOLDER; mount | grep FOLDER",
    ),
    Kind(
        r"FileNotFoundError|NotADirectoryError|IsADirectoryError|OSError|EntryNotFoundError",
        r"",
        (
            "Give a path that exists on every node and in the container (absolute, mounted, spelled as on "
            "disk): {message}",
        ),
    ),
    Kind(
        r"JSONDecodeError|UnicodeDecodeError|ParserError|ScannerError",
        r"",
        (
            "Print the text that {place} parses: it is not whole or of another format (an empty or cut "
            "file, an error page, a model's answer)",
        ),
    ),
    Kind(
        r"Timeout\w*",
        r"",
        (
            "Find what does not answer in time ({place}): its own log tells whether it is dead, busy or "
            "unreachable",
            "Raise that timeout, if it is only slow",
        ),
    ),
)

ASSERTED: Final = (
    (r"len\(.+\)\s*(?:!=|>=?)\s*[01]\b|numel\(\)\s*(?:!=|>)\s*0",
     "Find out why nothing is left there: everything failed, was filtered out or truncated, or the batch is "
     "smaller than the number of ranks (the environment's and the reward's own errors stand before it)"),
    (r"[\w\])] % .+==\s*0\b",
     "Choose numbers that divide: batch sizes by the ranks and micro-batches, GPUs by the parallel sizes"),
    (r"dtype",
     "Bring everything to one data type (bf16): adapters, heads and frozen parts as well"),
    (r"is not None",
     "Set the option or give the field that it comes from; it was left out"),
    (r"\.(?:shape|size)\b.*==|len\(.+\)\s*==\s*[^0\s]|\w+_(?:num|count|len|length)s?\b\s*==",
     "Compare the two counts: truncation, special tokens (also such as the model wrote itself in its "
     "answer), padding and filtering must treat both alike"),
)  # fmt: skip
"""What an asserted condition without a message of its own says about its cure."""


def advise(failure: Failure | None) -> tuple[Remedy, ...]:
    """Return what the kind of an exception lets one advise, best first; nothing where it says nothing."""
    if failure is None:
        return ()
    said = _said(failure.message)
    told = (Remedy(f"Do what the message says: {said}", "manual"),) if said else ()
    return (*told, *_of_its_kind(failure))


def _said(message: str) -> str:
    """Return the sentence of a message that tells its own cure: a setting, a variable, a package."""
    for sentence in re.split(r"(?<=[.!;:])\s+|\n", message[:LONGEST_MESSAGE]):
        if len(sentence) > 12 and _TOLD_TO.search(sentence) and not _ABOUT_THE_REPORT.search(sentence):
            return " ".join(sentence.split())[:LONGEST_CURE]
    return ""


def _of_its_kind(failure: Failure) -> tuple[Remedy, ...]:
    """Return what name, message and place of an exception say about its cure."""
    name = failure.exception.rsplit(".", 1)[-1]
    for kind in KINDS:
        if _is_of(kind, name, failure):
            return tuple(
                Remedy(_filled(cure, failure), "manual", command=kind.command if number == 0 else None)
                for number, cure in enumerate(kind.cures)
                if "{libraries}" not in cure or _libraries(failure)
            )
    return _as_it_says(failure, name)


def _is_of(kind: Kind, name: str, failure: Failure) -> bool:
    frame = _innermost(failure)
    told = re.fullmatch(kind.exception, name) and re.search(kind.message, failure.message)
    return bool(told and re.search(kind.file, frame.file if frame else ""))


def _as_it_says(failure: Failure, name: str) -> tuple[Remedy, ...]:
    """Return the condition that an assertion or a refusal tells, and where to look if it tells none."""
    told = _quoted(failure.message) or _code(failure)
    asserted = _code(failure).startswith("assert") and told != _code(failure)
    also = f" ({_code(failure)})" if asserted else ""
    if not told or not (
        name == "AssertionError" or re.search(_TELLS_ITS_CURE, failure.message, re.IGNORECASE)
    ):
        return _elsewhere(failure)
    demand = f"Make true what {_place(failure)} demands: {told}{also}{_of_what_is_asserted(failure)}"
    return (Remedy(demand, "manual"), *_elsewhere(failure))


def _of_what_is_asserted(failure: Failure) -> str:
    """Return what the condition of an assertion without a message says about its cure."""
    code = "" if failure.message else _code(failure)
    return next((f". {cure}" for condition, cure in ASSERTED if re.search(condition, code)), "")


def _elsewhere(failure: Failure) -> tuple[Remedy, ...]:
    """Return where to look for the cure: in libraries' releases, or in the code on top of the stack."""
    frame = _innermost(failure)
    if frame is None or not _libraries(failure):
        return ()
    if frame.is_library:
        cure = "Upgrade {} (or install the version that the framework pins): it is raised in their own code"
        return (Remedy(cure.format(" and ".join(_libraries(failure))), "manual", command=VERSIONS),)
    return (Remedy(f"Look at {_place(failure)}: {_code(failure) or _quoted(failure.message)}", "manual"),)


def _filled(cure: str, failure: Failure) -> str:
    return cure.format(
        libraries=" and ".join(_libraries(failure)),
        place=_place(failure),
        code=_code(failure),
        message=_quoted(failure.message),
    )


def _innermost(failure: Failure) -> Frame | None:
    return failure.frames[-1] if failure.frames else None


def _place(failure: Failure) -> str:
    frame = _innermost(failure)
    return str(frame) if frame else "the code that raised it"


def _code(failure: Failure) -> str:
    frame = _innermost(failure)
    return frame.code[:LONGEST_QUOTE] if frame and frame.code else ""


def _quoted(message: str) -> str:
    return " ".join(message.split())[:LONGEST_QUOTE]


def _libraries(failure: Failure) -> tuple[str, ...]:
    """Return the packages at the innermost frames, and those whose names the message tells; three at most."""
    callers = [m[1] for frame in reversed(failure.frames) if (m := _PACKAGE.search(frame.file))]
    told = [owner for names, owner in _OWNERS if re.search(rf"(?<!\w)(?:{names})", failure.message)]
    found = [name for name in dict.fromkeys([*callers[:1], *told, *callers[1:]]) if name != "ray"]
    return tuple(found[:3]) or ("the framework", "its libraries")
