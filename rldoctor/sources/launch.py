"""Simple commands to Commands: wrappers come off, each a command of its own."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from msgspec import Struct, field

from rldoctor.sources import argv, embedded_json
from rldoctor.sources.shell.state import Run, State, scalar
from rldoctor.sources.shell.text import Piece, Span, Word, encoded
from rldoctor.types import Command, Setting

_QUIET_NAMES = "nohup exec env time sudo command setsid stdbuf nice ionice timeout numactl xvfb-run"
_QUIET = frozenset(_QUIET_NAMES.split())
_NAMED = frozenset(["torchrun", "srun", "sbatch", "salloc", "mpirun", "mpiexec", "deepspeed", "ssh", "msrun"])
_CONTAINERS = frozenset(["docker", "podman", "nerdctl", "apptainer", "singularity", "kubectl"])
_VERBS = {"accelerate": "launch", "uv": "run", "nsys": "profile"}
_MODULES = (
    *("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch", "debugpy"),
    *("deepspeed.launcher.runner", "areal.launcher.local", "areal.launcher.ray", "areal.launcher.slurm"),
    *("areal.infra.launcher.local", "areal.infra.launcher.ray", "areal.infra.launcher.slurm"),
)
_LIKE_TORCHRUN = ("torch.distributed.run", "torch.distributed.launch")
_PYTHON = re.compile(r"(python|pypy)(\d(\.\d+)*)?(\.sh)?")  # Isaac Sim's interpreter is a script
# Options without a value, which would else take the program for one.
_BARE = {
    "torchrun": r"--(standalone|no[-_]python|module|use[-_]env|run[-_]path)",
    "accelerate": r"--(multi[-_]gpu|cpu|tpu|use_(deepspeed|fsdp|megatron_lm)|main_training|debug|quiet"
    r"|no_python|module|same_network|dynamo_use_dynamic)",
    "srun": r"--(overlap|exclusive|no-kill|unbuffered|label|pty|wait|verbose|quiet|container-writable"
    r"|(no-)?container-(mount-home|remap-root)|kill-on-bad-exit|overcommit)|-[luvqKO]",
    "sbatch": r"--(wait|parsable|exclusive|(no-)?requeue)|-[WvQ]",
    "salloc": r"--(exclusive|no-shell)",
    "uv": r"--(frozen|isolated|active|no-sync|locked|all-extras|all-groups|no-project|verbose|quiet|(no-)?dev"
    r"|offline|no-cache|module)|-[vqm]",
    "mpirun": r"--(allow-run-as-root|oversubscribe)|-v",
    "ray": r"--(no-wait|verbose|no-verify)",
    "ssh": r"-[ATtnNfqvX]",
}
# The quiet ones are the other way round: few of their options have a value.
_VALUED = r"-[ugkCnsoeic]|--(unset|chdir|user|group|signal|kill-after|adjustment|cpunodebind|membind)"


class Layer(Struct, frozen=True):
    """A wrapper: its name, its options, and whether it says anything worth a command of its own."""

    program: str
    name: Word
    options: tuple[Word, ...]
    quiet: bool


class Peeled(Struct, eq=False):
    """A command without its wrappers; ``script`` where a wrapper names a shell script to run."""

    layers: list[Layer] = field(default_factory=list)
    inner: list[Word] = field(default_factory=list)
    assignments: list[Word] = field(default_factory=list)
    script: bool = False


def peel(words: list[Word]) -> Peeled:
    """Take the wrappers off a command, outermost first."""
    found = Peeled(inner=list(words))
    for _ in range(8):
        if not found.inner or not _step(found):
            break
    return found


def _step(found: Peeled) -> bool:
    words = found.inner
    first = PurePosixPath(words[0].text).name or words[0].text
    if found.layers and re.match(r"[A-Za-z_]\w*=", words[0].text):
        found.assignments.append(words.pop(0))
        return bool(words)
    if first in _QUIET:
        return _peel_options(found, first, 1, quiet=True)
    if first == "ray":
        return [word.text for word in words[1:3]] == ["job", "submit"] and _job(found)
    if first in _VERBS:
        if len(words) > 1 and words[1].text == _VERBS[first]:
            return _peel_options(found, f"{first} {words[1].text}", 2)
        return False
    if first in _NAMED:
        return _peel_options(found, first, 1)
    if first in _CONTAINERS:
        return _container(found)
    if _PYTHON.fullmatch(first):
        return _python_module(found)
    return False


def _container(found: Peeled) -> bool:
    from rldoctor.sources import containers  # few scripts start any

    entered = containers.entered(found.inner)
    if entered is None:
        return False
    found.layers.append(Layer(entered.program, found.inner[0], entered.options, False))
    found.assignments += entered.variables
    found.inner = found.inner[entered.begins :]
    return True


def _job(found: Peeled) -> bool:
    texts = [word.text for word in found.inner]
    if "--" not in texts:
        return _peel_options(found, "ray job submit", 3)
    cut = texts.index("--")
    found.layers.append(Layer("ray job submit", found.inner[0], tuple(found.inner[3:cut]), False))
    found.inner = found.inner[cut + 1 :]
    return True


def _python_module(found: Peeled) -> bool:
    words = found.inner
    at = _python_options_end(words)
    if at + 1 < len(words) and words[at].text == "-m" and words[at + 1].text in _MODULES:
        return _peel_options(found, words[at + 1].text, at + 2)
    return False


def _python_options_end(words: list[Word]) -> int:
    at = 1
    while at < len(words) and re.fullmatch(r"-(?![mc]$)[A-Za-z]+|-[XW].+", words[at].text):
        at += 2 if words[at].text in ("-X", "-W") else 1
    return at


def _peel_options(found: Peeled, program: str, skip: int, quiet: bool = False) -> bool:
    """Take a wrapper and its options off, up to the command it runs."""
    words = found.inner
    at = _options_end(words, program, skip, quiet)
    found.layers.append(Layer(program, words[0], tuple(words[skip:at]), quiet))
    found.inner = words[at:]
    found.script = program == "sbatch" and bool(found.inner)
    return bool(found.inner)


def _options_end(words: list[Word], program: str, at: int, quiet: bool) -> int:
    named = program.split()[0]
    first = "torchrun" if named in _LIKE_TORCHRUN else named
    bare = _BARE.get(first, "(?!)")
    owed = 1 if first in ("timeout", "ssh") else 0
    while at < len(words):
        text = words[at].text
        if text == "--":
            return at + 1
        if text in ("-m", "--module") and first != "uv":
            break
        if not text.startswith("-"):
            owed -= 0 if words[at].elastic else 1
            if owed < 0:
                break
            at += 1
            continue
        following = words[at + 1].text if at + 1 < len(words) else "-"
        alone = not re.fullmatch(_VALUED, text) if quiet else bool(re.fullmatch(bare, text))
        at += 1 if "=" in text or alone or _ends(following) else 2
    return at


def _ends(text: str) -> bool:
    """Return whether a word is itself an option or what is run, so that the option before it is bare."""
    return (
        text.startswith("-")
        or text.endswith((".py", ".sh"))
        or bool(_PYTHON.fullmatch(PurePosixPath(text).name))
    )


def wrapper(layer: Layer, run: Run, span: Span | None) -> Command:
    """Return a wrapper as a command with its own options."""
    found = argv.parse(list(layer.options), run.place)
    last = next((w.span for w in reversed((layer.name, *layer.options)) if _in(w.span, span)), None)
    at = Span(last.file, last.end, last.end) if last else None
    return Command(
        layer.program,
        tuple(found.settings),
        positional=tuple(found.positional),
        place=run.place(span),
        insert_at=run.place(at),
        assumes=tuple(found.assumes),
    )


def command(words: list[Word], run: Run, span: Span | None, tail: Span | None) -> Command:
    """Return the innermost command."""
    program, arguments = _program(words)
    found = argv.parse(arguments, run.place)
    first = words[0].span
    inner = Span(span.file, first.start, span.end) if span and first and _in(first, span) else span
    return Command(
        program,
        tuple(found.settings),
        positional=tuple(found.positional),
        place=run.place(inner),
        insert_at=run.place(tail),
        assumes=tuple(found.assumes),
    )


def _in(inner: Span | None, outer: Span | None) -> bool:
    if inner is None or outer is None:
        return False
    return inner.file == outer.file and outer.start <= inner.start and inner.end <= outer.end


def _program(words: list[Word]) -> tuple[str, list[Word]]:
    first = words[0].text
    name = PurePosixPath(first).name
    if _PYTHON.fullmatch(name) or words[0].unknown:
        at = _python_options_end(words)
        if at < len(words) and words[at].text in ("-m", "-c") and at + 1 < len(words):
            return ("python -c" if words[at].text == "-c" else words[at + 1].text), words[at + 2 :]
        if at < len(words) and not words[at].text.startswith("-"):
            return words[at].text, words[at + 1 :]
        return name, words[1:]
    if first in ("-m", "--module") and len(words) > 1:
        return words[1].text, words[2:]
    if name in ("ray", "vllm", "sglang", "docker") and len(words) > 1 and not words[1].text.startswith("-"):
        return f"{name} {words[1].text}", words[2:]
    return first, words[1:]


def job_environment(layer: Layer, run: Run) -> tuple[Setting, ...]:
    """Return the variables of a Ray job's ``--runtime-env-json``."""
    words = list(layer.options)
    for at, word in enumerate(words):
        text = "".join(piece.text for piece in word.pieces)
        if text.startswith("--runtime-env-json="):
            pieces = embedded_json.value_of(word.pieces, len("--runtime-env-json="))
            return embedded_json.environment(pieces, run.place)
        if text == "--runtime-env-json" and at + 1 < len(words):
            return embedded_json.environment(words[at + 1].pieces, run.place)
    return ()


def set_job_variables(state: State, env: tuple[Setting, ...]) -> None:
    """Give a nested shell the variables that its job's environment sets."""
    for setting in env:
        if setting.form == "json":
            text, loose = encoded(str(setting.value)), setting.state == "unknown"
            piece = Piece(text, unknown=loose, depends=setting.depends, assumes=setting.assumes)
            state.variables[setting.key] = scalar((piece,))
            state.exported[setting.key] = None
