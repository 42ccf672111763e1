"""The forms in which logs print a configuration: each gives the text of a command or of a YAML file."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine

COMMAND: Final = (
    r"/(?:^|[\s+;&`\x22'])(?:python3?(?:\.\d+)?|torchrun|accelerate launch|deepspeed)\s(?:.{0,400}\s)?"
    r"(?:[\w.+]+=\S|--[a-z][\w-]+[ =]|[\w./]+\s*\\$)/"
)
ITEM: Final = r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(,|\])"""
MODULE: Final = (
    r'File "[^"]*/(?P<path>(?:verl|recipe|slime|areal|chatlearn|openrlhf|rlinf)/[\w/]{1,200})\.py", line'
)
ARGUMENT: Final = r"\s*(?P<name>[a-z][\w]{0,100}) \.{2,} ?(?P<value>.*)$"
SHELL_LINE: Final = (
    r"\s*(?:(?:export\s+)?[A-Za-z_]\w*=|#|set [-+]|if |fi$|then$|else$"
    r"|(?:python3?|cd|pip|ulimit|echo|source|ray) |$)"
)
TRACE: Final = r"\+{1,4} (?=\S)"
# What vLLM's config calls otherwise than the flag that gives it.
ENGINE_FIELDS: Final = {
    "model": "model",
    "tokenizer": "tokenizer",
    "max_seq_len": "max_model_len",
    "load_format": "load_format",
    "tensor_parallel_size": "tensor_parallel_size",
    "pipeline_parallel_size": "pipeline_parallel_size",
    "data_parallel_size": "data_parallel_size",
    "enforce_eager": "enforce_eager",
    "kv_cache_dtype": "kv_cache_dtype",
    "seed": "seed",
    "enable_prefix_caching": "enable_prefix_caching",
    "enable_chunked_prefill": "enable_chunked_prefill",
}
ENGINE_FIELD: Final = rf"(?:^|[ ,])({'|'.join(ENGINE_FIELDS)})=('[^']*'|[^\s,]+)"
LONGEST: Final = 1 << 18
MOST_LINES: Final = 2000
SCRIPT_LINES: Final = 80


class Found(Struct, frozen=True):
    """A configuration's text, how to read it, and for each of its lines the line of the log."""

    text: str
    kind: Literal["yaml", "shell", "command"]
    numbers: tuple[int, ...]


def hydra_overrides(seen: Seen, line: LogLine) -> Found | None:
    """Read Hydra's list of overrides; the program is the one that the traceback behind it names."""
    said = line.text.find("overrides:")
    at = line.text.find("[", said)
    words: list[str] = []
    while said >= 0 and at >= 0:
        item = re.compile(ITEM).match(line.text, at + 1)
        if item is None:
            break
        words.append(re.sub(r"\\(.)", r"\1", item[1] if item[1] is not None else item[2]))
        at = item.end() - 1
        if item[3] == "]":
            break
    if not words:
        return None
    texts = [line.text[at:], *(other.text for other in seen.after(line, 40))]
    module = next((found for text in texts if (found := re.search(MODULE, text))), None)
    program = module["path"].replace("/", ".") if module else "main"
    start = f"python3 -m {shlex.quote(program)} --config-name={_config_name(words)}"
    return Found(f"{start} {shlex.join(words)}", "command", (line.number,))


def _config_name(words: Sequence[str]) -> str:
    """Return the config's name, which Hydra does not print: it refuses keys that its config has not."""
    return "ppo_megatron_trainer" if any(".megatron." in word for word in words) else '"$CONFIG_NAME"'


def command(seen: Seen, line: LogLine) -> Found | None:
    """Read a launch command with its continuation lines, and the assignments above it if it is a script."""
    lines = [line]
    for other in seen.after(line, MOST_LINES):
        if not _goes_on(lines[-1].text):
            break
        lines.append(other)
    before = list(seen.before(line, SCRIPT_LINES))
    while before and _goes_on(before[-1].text):
        lines.insert(0, before.pop())
    trace = re.match(TRACE, lines[0].text)
    if trace is None:
        while before and (re.match(SHELL_LINE, before[-1].text) or _goes_on(before[-1].text)):
            lines.insert(0, before.pop())
    texts = [
        re.compile(TRACE).sub("", other.text, count=1) if trace else other.text.strip("`") for other in lines
    ]
    return Found("\n".join(texts) + "\n", "shell", tuple(other.number for other in lines))


def argument_dump(seen: Seen, line: LogLine) -> Found | None:
    """Read Megatron's dump of its arguments as the flags that give them."""
    words: list[str] = []
    numbers: list[int] = []
    for other in seen.after(line, MOST_LINES):
        found = re.match(ARGUMENT, other.text)
        if found is not None:
            flag = _flag(found["name"], found["value"].strip())
            if flag:
                words.append(flag)
                numbers.append(other.number)
        elif "end of arguments" in other.text:
            break
    if not words:
        return None
    return Found("python3 pretrain.py \\\n" + " \\\n".join(words), "shell", (line.number, *numbers))


def _flag(name: str, value: str) -> str:
    """Return the flag that gives an argument its value; switched-off and absent ones have none."""
    flag = "--" + name.replace("_", "-")
    if value == "True":
        return flag
    if value == "False":
        return f"--no-{name.replace('_', '-')}" if f"--no-{name.replace('_', '-')}" in _known_flags() else ""
    if value in ("None", ""):
        return ""
    if value.startswith("[") and value.endswith("]"):
        return f"{flag} " + " ".join(shlex.quote(part.strip(" '\"")) for part in value[1:-1].split(","))
    return f"{flag} {shlex.quote(value)}"


def _known_flags() -> frozenset[str]:
    from rldoctor import dialects

    systems = ("megatron", "slime", "vllm")
    return frozenset(row.key for system in systems for row in dialects.load(system).rows)


def python_dict(seen: Seen, line: LogLine) -> Found | None:
    """Read a printed dictionary (pprint or one line) as YAML."""
    start = line.text.find("{")
    if start < 0:
        return None
    pieces, depth, size = [line.text[start:]], 0, 0
    rest = seen.after(line, MOST_LINES)
    for other in (None, *rest):
        if other is not None:
            pieces.append(other.text)
        size += len(pieces[-1])
        depth += _depth(pieces[-1])
        if depth <= 0 or size > LONGEST:
            break
    value = _literal("\n".join(pieces)[: LONGEST + 1])
    return _as_yaml(value, line) if isinstance(value, dict) else None


def server_args(seen: Seen, line: LogLine) -> Found | None:
    """Read SGLang's printed ServerArgs(…), since 0.5.20 a dictionary, as the flags that give them."""
    return _served("python3 -m sglang.launch_server", _arguments(line.text, "server_args="), line)


def engine_args(seen: Seen, line: LogLine) -> Found | None:
    """Read the arguments that a vLLM server prints, all of them or those that are not at their default."""
    return _served("vllm serve", _arguments(line.text, "args: "), line)


def engine_config(seen: Seen, line: LogLine) -> Found | None:
    """Read what vLLM's engine prints of its config as the flags that give it."""
    said = line.text.partition("with config: ")[2]
    values = {ENGINE_FIELDS[found[1]]: found[2].strip("'") for found in re.finditer(ENGINE_FIELD, said)}
    return _served("vllm serve", values, line)


def _arguments(text: str, before: str) -> Mapping[str, Any]:
    """Return the constants of the call or dictionary that a line prints."""
    said = text[text.find(before) + len(before) :]
    if said.startswith("{"):
        value = _literal(said)
        return value if isinstance(value, dict) else {}
    return _call(said[: said.rfind(")") + 1])


def _served(program: str, values: Mapping[str, Any], line: LogLine) -> Found | None:
    """Return a server's command line; None where nothing of it could be read."""
    words = [_flag(str(name), str(value)) for name, value in values.items() if _is_plain(value)]
    if not any(words):
        return None
    return Found(f"{program} {' '.join(word for word in words if word)}", "command", (line.number,))


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _as_yaml(value: Mapping[str, Any], line: LogLine) -> Found:
    import yaml

    text = yaml.safe_dump(value, default_flow_style=False, sort_keys=False)
    return Found(text, "yaml", (line.number,))


def _literal(text: str) -> Any:
    """Return a Python literal, or None; nothing is executed."""
    end = text.rfind("}")
    try:
        return ast.literal_eval(text[: end + 1])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _call(text: str) -> dict[str, Any]:
    try:
        tree = ast.parse(text, mode="eval").body
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    if not isinstance(tree, ast.Call):
        return {}
    constants = (word for word in tree.keywords if word.arg and isinstance(word.value, ast.Constant))
    return {str(word.arg): word.value.value for word in constants if isinstance(word.value, ast.Constant)}


def _depth(text: str) -> int:
    """Return how many brackets more are opened than closed, those in quotes left out."""
    bare = re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "", text)
    return sum(bare.count(char) for char in "{[(") - sum(bare.count(char) for char in "}])")


def _goes_on(text: str) -> bool:
    return text.rstrip().endswith("\\")


FORMS: Final[Mapping[str, Callable[[Seen, LogLine], Found | None]]] = {
    "hydra_overrides": hydra_overrides,
    "command": command,
    "argument_dump": argument_dump,
    "python_dict": python_dict,
    "pprint": python_dict,
    "server_args": server_args,
    "engine_args": engine_args,
    "engine_config": engine_config,
}
