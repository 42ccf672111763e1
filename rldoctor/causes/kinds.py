"""Kinds of unknown exceptions and assertions, and what each of them says about its cure."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

VERSIONS: Final = (
    "pip list | grep -iE 'torch|vllm|sglang|transformers|trl|peft|accelerate|deepspeed|megatron|ray|numpy'"
)

_PLAIN = r"NoneType|list|dict|str|int|float|tuple|set|bool|function|bytes"
_FOR_ANOTHER_RELEASE = (
    r"got an unexpected keyword argument|got multiple values for (?:keyword )?argument"
    r"|takes (?:from )?\d+ (?:to \d+ )?positional arguments? but|missing \d+ required (?:positional|keyword)"
    r"|cannot import name|module '[\w.]+' has no attribute"
    rf"|(?:'(?!(?:{_PLAIN})')\w+' object|type object '\w+') has no attribute"
    r"|Can't instantiate abstract class|[Uu]nexpected keyword arg|incompatible function arguments"
    r"|(?:too many|not enough) values to unpack"
)
_RELEASES_THAT_FIT = (
    "Upgrade or downgrade {libraries} to releases that fit, those that the framework pins (its requirements "
    "or image): this call is written for another release"
)
_GIVE_PATH = (
    "Give a path that exists on every node and in the container (absolute, mounted, spelled as on disk): "
    "{message}"
)
_NO_PATH = r"(?:[Ff]older|[Ff]ile|[Pp]ath|[Dd]irectory|[Cc]heckpoint)\b.{0,120}(?:does not|doesn't) exist"
_EMPTY = (
    r"zero-size array|input\.numel\(\) == 0|arg is an empty sequence|non-empty (?:TensorList|list of Tensors)"
    r"|at least one array to concatenate|list index out of range|(?:division|modulo) by zero|float division"
    r"|pop from (?:an )?empty|(?:argument is|not be) empty|[Ee]mpty (?:list|batch|tensor|sequence|\w*samples)"
    r"|batch size must be positive|index 0 is out of bounds .{0,40}size 0|Cannot choose from an empty"
)
SHAPES = (
    r"size of tensor a|Sizes of tensors must match|shapes? cannot be multiplied|stack expects each tensor"
    r"|shape '\[.*\]' is invalid for input|split_with_sizes|could not be broadcast|shape mismatch"
    r"|size mismatch|must be the same (?:size|shape|length)|Expected .{0,40}(?:size|shape|dim)|(?:length"
    r"|shape)s? .{0,40}not (?:equal|match)|(?:do|does)(?: not|n't) match .{0,30}(?:length|size|shape)"
    r"|The expanded size of the tensor|The shape of the mask|inhomogeneous shape|Dimension out of range"
    r"|number of dims|shape of the \w+ attn_mask|(?:is|are) not right"
)


class Kind(Struct, frozen=True):
    """A kind of exceptions, told by name, message, file and line on top, and what to do about one."""

    exception: str
    message: str
    cures: tuple[str, ...]
    command: str | None = None
    file: str = ""
    code: str = ""


KINDS: Final = (
    Kind(
        r"AttributeError",
        r"'\w*Trainer\w*' object has no attribute",
        (
            "Upgrade {libraries}, or install the version for which this trainer was written (pip "
            "install 'trl==VERSION'), or upgrade the project whose trainer it is (git pull): what a "
            "trainer holds was renamed or moved between releases",
            "Where one option alone makes that attribute, set it (use_vllm with vllm_mode server makes "
            "vllm_client, colocate makes llm; a reward or reference model); write code of your own for the "
            "installed release: {place}",
        ),
        VERSIONS,
    ),
    Kind(
        r"AttributeError",
        r"'\w*(?:LMHeadModel|For[A-Z]\w+|WithValueHead|Model)' object has no attribute",
        (
            "Take a model of the architecture and class that {place} was written for (a plain "
            "AutoModelForCausalLM, no value head, no wrapper), or ask this one by its own names: "
            "model.model.layers of Llama or Qwen is model.transformer.h in GPT-2 ({code})",
            "Install releases of {libraries} that fit each other (the older one upgraded, or the one before; "
            "code from the model's own folder is written for one release of transformers)",
        ),
        VERSIONS,
    ),
    Kind(
        r"AttributeError",
        r"'\w*(?:[Cc]onfig|[Cc]fg|Args|Arguments|Namespace|Options|Params)' object has no attribute",
        (
            _RELEASES_THAT_FIT,
            "Load the model by the class that its own config.json names (architectures; Auto classes) where "
            "{place} is another model's, or read text_config in a multimodal one; where the "
            "configuration is yours, give it that field in its file, class or parser ({message})",
        ),
        VERSIONS,
    ),
    Kind(
        r"TypeError|AttributeError|ImportError|ValueError",
        _FOR_ANOTHER_RELEASE,
        (
            _RELEASES_THAT_FIT,
            "Where the call is your own, write it for the installed release: {place} ({message})",
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
        r"TypeError|AttributeError|ValueError",
        r"unsupported operand type|not supported between instances|can only concatenate|must be real number"
        r"|argument must be a string|is not (?:subscriptable|iterable|callable)|(?:string|list) indices must"
        r"|'(?:list|dict|str|int|float|tuple|bool|function|bytes)' object has no attribute"
        r"|cannot be interpreted as an integer|expected str instance|unhashable type",
        (
            "Give the value the type that {place} takes: {code} (a number that YAML reads as text, 1e-6 for "
            "1.0e-6; a field of the data in another format, text where a list is asked; a list or tensor for "
            "one number)",
            "Upgrade {libraries}, or go back to the release before, if the value is made in their own code",
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
        r"IndexError",
        r"Invalid key: .{0,40}out of bounds for size 0",
        (
            "Keep the columns that the trainer reads (remove_unused_columns=False), or name them as the "
            "model's arguments are; then see that rows are left after filtering",
        ),
    ),
    Kind(
        r"OverflowError",
        r"integral type conversion|negative int",
        (
            "Put the pad token's id in place of -100 and of what is not of the vocabulary before ids are "
            "decoded (labels, padded answers) in {place}",
            "Upgrade {libraries}, or make padding and vocabulary of model and tokenizer agree",
        ),
    ),
    Kind(
        r"ServerDisconnectedError|ServerTimeoutError|Client(?:OS|Payload|Connector|Connection)Error"
        r"|RemoteProtocolError|ReadError|ReadTimeout|Connect(?:Error|Timeout)|MaxRetryError"
        r"|API(?:Connection|Timeout)Error|RemoteDisconnected|ChunkedEncodingError|IncompleteRead|ProtocolError",
        r"",
        (
            "Read that server's own log at that moment (it died, restarted or is too slow), and ask less of "
            "it: fewer requests at once, shorter answers, a longer time-out and retries in the client",
            "Keep HTTP proxies out of it (no_proxy with each node's address), and give an address that this "
            "node reaches ({message})",
        ),
        "curl -s --noproxy '*' http://HOST:PORT/health; export no_proxy=localhost,127.0.0.1,HOST",
    ),
    Kind(
        r"EOFError|BrokenPipeError|ConnectionResetError|Empty",
        r"",
        (
            "Find why the process at the other end died: its own traceback above, the OOM killer, a full "
            "/dev/shm; load data in one process to see it (num_workers 0, num_proc 1)",
            "Start multiprocessing by spawn under a main guard, with more shared memory (docker --shm-size, "
            "--ipc=host)",
        ),
        "dmesg -T | grep -iE 'killed process|oom' | tail; df -h /dev/shm",
    ),
    Kind(
        r"NotImplementedError",
        r"",
        (
            "Choose what is implemented for this model and device: another value of the option that leads to "
            "{place}, or without it ({message})",
            "Upgrade {libraries} to a release that has it",
        ),
        VERSIONS,
    ),
    Kind(
        r"NameError",
        r"",
        (
            "Install the optional package that the name comes from ({message}): its import failed before "
            "(python -c 'import PACKAGE' says why)",
            "Upgrade {libraries}, or go back to the release before",
        ),
        VERSIONS,
        file=r"(?:site|dist)-packages/",
    ),
    Kind(
        r"NameError",
        r"",
        (
            "Define or import it in {place} ({message}), or take another release of {libraries}; where that "
            "line is an assert or a raise, its condition failed first and only the words for it are "
            "missing: {code}",
        ),
    ),
    Kind(
        r"UnboundLocalError",
        r"",
        (
            "Upgrade {libraries} (or go back to the release before): a branch of {place} leaves {message}",
            "Take the branch that sets it: another value of the option, or data that is not empty",
        ),
        VERSIONS,
    ),
    Kind(
        r"CalledProcessError",
        r"",
        (
            "Run that command by hand on the node where it failed, and install what it lacks: {message} (for "
            "a build gcc, g++, ninja, python3-dev and the nvcc of torch's CUDA)",
        ),
        "which g++ ninja nvcc; nvcc --version; python -c 'import torch; print(torch.version.cuda)'",
    ),
    Kind(
        r"RecursionError",
        r"",
        ("Upgrade or pin {libraries}, and see that nothing is patched, wrapped or copied twice in {place}",),
        VERSIONS,
    ),
    Kind(
        r"StopIteration|StopAsyncIteration",
        r"",
        (
            "See that data is left at {place}: more rows or epochs, a smaller batch, drop_last False, an "
            "iterator that is made anew each epoch",
        ),
    ),
    Kind(
        r"\w*MemoryError",
        r"",
        (
            "Give the job more host memory, or hold less: fewer workers, streaming data, smaller shards, "
            "low_cpu_mem_usage True",
        ),
        "free -g; ulimit -a",
    ),
    Kind(r"UnicodeEncodeError", r"", ("Write UTF-8 everywhere",), "export PYTHONUTF8=1 LC_ALL=C.UTF-8"),
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
        r"ValueError|AssertionError|RuntimeError|VLLMValidationError",
        r"(?i)\b\w*(?:token|length|len)\w*\b.{0,80}(?:\b(?:got|is|was)|[=:]) ?\(?-\d",
        (
            "Leave room for the answer: the prompt is longer than the whole context, so that a negative "
            "number of tokens is left; raise the longest length (max_model_len, max_length, the model's), "
            "or cut or filter longer prompts",
            "Stop a conversation of several turns before its history fills the context ({place})",
        ),
    ),
    Kind(
        r"ValueError|ZeroDivisionError|AssertionError|RuntimeError",
        r"(?i)\barg 3 must not be zero|(?:chunk|split|batch)[ _]?size.{0,40}(?:positive|than (?:0|zero)|> ?0)"
        r"|must be divided into at least",
        (
            "Raise the batch, or lower what it is split into (gradient accumulation steps, micro-batches, "
            "generations, ranks): a size came out as 0 in {place}: {code}",
            "Where that number is an option of its own, give it a value above 0",
        ),
    ),
    Kind(
        r"RuntimeError|ValueError|TypeError|AssertionError",
        r"(?i)\bdtypes?\b|scalar type|(?:Half|BFloat16|Float)\b.{0,40}\b(?:Half|BFloat16|Float)\b",
        (
            "Bring both sides in {place} to one data type: weights, adapters, heads and inputs in bf16 "
            "(torch_dtype, .to(model.dtype), autocast)",
            "Upgrade {libraries}, or go back to the release before",
        ),
    ),
    Kind(
        r"RuntimeError|ValueError|AssertionError",
        r"(?i)same device|(?:cuda:\d|cpu)\b.{0,40}\b(?:cuda:\d|cpu)\b|not on (?:the )?(?:cuda|gpu)",
        (
            "Move what {place} meets to one device (.to(model.device), one GPU to a process, no device_map "
            "auto, no CPU offload of that part)",
            "Upgrade {libraries}, or go back to the release before",
        ),
    ),
    Kind(
        r"RuntimeError|ValueError",
        r"input batch_size \(\d+\) to match target batch_size|Mismatch in shape: grad_output",
        (
            "Leave out the last, shorter batch (drop_last, dataloader_drop_last True), or take a batch size"
            " that divides the data and the micro-batches: a pipeline, a graph or labels kept the one before",
            "Otherwise cut inputs and labels alike in {place}: the same shift, padding, packing, and no batch"
            " split over GPUs on one side alone (DataParallel)",
        ),
    ),
    Kind(
        r"RuntimeError|ValueError|AssertionError|IndexError",
        SHAPES,
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
    Kind(r"(?:FileNotFound|NotADirectory|IsADirectory|OS|EntryNotFound)Error", r"", (_GIVE_PATH,)),
    Kind(r"(?:Value|Runtime)Error|Exception", _NO_PATH, (_GIVE_PATH,)),
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
