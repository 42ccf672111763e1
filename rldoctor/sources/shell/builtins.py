"""Shell builtins and the few pure programs whose output can be told without running them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from rldoctor.sources.shell import arithmetic, conditions
from rldoctor.sources.shell.call import Call
from rldoctor.sources.shell.control import unknown_variable
from rldoctor.sources.shell.state import State, Stop, Variable, scalar
from rldoctor.sources.shell.text import (
    Piece,
    Pieces,
    Word,
    assumes_of,
    blurred,
    computed,
    decoded,
    encoded,
    held,
    is_unknown,
    raw,
    slice_pieces,
    unknown,
)

SPACE: Pieces = (Piece(" "),)
NEWLINE = Piece("\n")
SILENT = Piece("", unknown=True)
ASKING = frozenset(
    ["grep", "command", "which", "type", "hash", "id", "test", "pgrep", "nvidia-smi", "lsof", "nc", "curl"]
)
_PLUMBING_NAMES = """
sleep mkdir rm rmdir cp mv ln ls touch chmod chown kill pkill killall ulimit umask tee awk gawk sed head
tail sort uniq wc tr cut xargs find tar gzip unzip wget git pip pip3 apt apt-get yum conda mamba module
hostname uname nproc free df du stat printenv locale file diff cmp alias unalias complete disown jobs
history enable builtin popd pushd dirs rsync scp ping ip ifconfig lscpu numastat sync clear tput stty
huggingface-cli hf modelscope wandb
"""
PLUMBING = ASKING | frozenset(_PLUMBING_NAMES.split())


def _plain(words: list[Word], options: str = "") -> list[Word]:
    """Return the words that are no options."""
    found = list(words)
    while found and re.fullmatch(rf"--|-[{options}]+" if options else "--", found[0].text):
        last = found.pop(0).text == "--"
        if last:
            break
    return found


def _true(call: Call, state: State) -> list[State]:
    return state.ended("yes")


def _false(call: Call, state: State) -> list[State]:
    return state.ended("no")


def _test(call: Call, state: State) -> list[State]:
    given = list(zip(call.raws[1:], (word.pieces for word in call.words[1:]), strict=False))
    if len(call.raws) != len(call.words):
        given = [(word.text, word.pieces) for word in call.words[1:]]
    return conditions.words(state, given)


def _exit(call: Call, state: State) -> list[State]:
    code = call.arguments[0].text if call.arguments else "0" if state.status != "no" else "1"
    stops: dict[str, Stop] = {"exit": "exit" if code == "0" else "failed", "return": "return"}
    state.stop = stops[call.name]
    known = code.isdigit()
    return state.ended("yes" if code == "0" else "no" if known else "open")


def _loop_end(call: Call, state: State) -> list[State]:
    state.stop = "break" if call.name == "break" else "continue"
    return state.ended("yes")


def _shift(call: Call, state: State) -> list[State]:
    count = call.arguments[0].text if call.arguments else "1"
    state.positional = state.positional[int(count) if count.isdigit() else 1 :]
    return state.ended("yes" if state.positional else "presumed")


def _set(call: Call, state: State) -> list[State]:
    words = [word.text for word in call.arguments]
    if "--" in words:
        state.positional, state.open_arguments = _held(call.arguments[words.index("--") + 1 :]), False
    elif words and not words[0].startswith(("-", "+")):
        state.positional, state.open_arguments = _held(call.arguments), False
    elif "allexport" in words or any(re.fullmatch(r"[-+]\w*a\w*", word) for word in words):
        on = any(word.startswith("-") for word in words)
        state.options = state.options | {"allexport"} if on else state.options - {"allexport"}
    return state.ended("yes")


def _held(words: list[Word]) -> tuple[Word, ...]:
    return tuple(held(word) for word in words)


def _cd(call: Call, state: State) -> list[State]:
    words = _plain(call.arguments, "LPe@")
    target = words[0].pieces if words else (unknown("$HOME", "HOME"),)
    path = raw(target)
    if is_unknown(target) or path == "-":
        state.cwd = (unknown(path if path != "-" else "$OLDPWD", "PWD"),)
    elif path.startswith("/"):
        state.cwd = (computed(posixpath.normpath(path), target),)
    elif is_unknown(state.cwd):
        folder = _invocation_folder(state, path, target)
        state.cwd = folder or (*state.cwd, Piece("/" + path))
    else:
        state.cwd = (computed(posixpath.normpath(f"{raw(state.cwd)}/{path}"), (*state.cwd, *target)),)
    return state.ended("yes")


def _invocation_folder(state: State, path: str, target: Pieces) -> Pieces | None:
    """Return the folder of the script itself, which is known wherever the script is started."""
    if not state.run.script or not any(text.startswith("the script is") for text in assumes_of(target)):
        return None
    return (computed(encoded(posixpath.abspath(decoded(path))), target),)


def _pwd(call: Call, state: State) -> list[State]:
    state.emit((*state.cwd, NEWLINE))
    return state.ended("yes")


def _echo(call: Call, state: State) -> list[State]:
    words = call.arguments
    newline, escapes = True, False
    while words and re.fullmatch(r"-[neE]+", words[0].text):
        newline = newline and "n" not in words[0].text
        escapes = escapes or "e" in words[0].text
        words = words[1:]
    found: Pieces = ()
    for index, word in enumerate(words):
        found += (SPACE if index else ()) + word.pieces
    if escapes and "\\" in raw(found):
        found = (Piece("", unknown=True, depends=("echo -e",)),)
    if not call.redirected:
        state.emit((*found, NEWLINE) if newline else found)
    return state.ended("yes")


def formatted(words: list[Word]) -> Pieces:
    """Return what ``printf`` prints, for formats of plain text, ``%s`` and ``%d``."""
    if not words:
        return ()
    form, values = raw(words[0].pieces), words[1:]
    every = tuple(piece for word in words for piece in word.pieces)
    parts = re.split(r"(%%|%s|%d|\\n|\\t)", form)
    if is_unknown(words[0].pieces) or any("%" in p or "\\" in p for p in parts[::2]):
        return (blurred("", (*every, Piece("", depends=("printf",)))),)
    found: list[Piece] = []
    slots = sum(part in ("%s", "%d") for part in parts)
    for start in range(0, max(len(values), 1), max(slots, 1)) if slots else [0]:
        rest = list(values[start:])
        for part in parts:
            if part in ("%s", "%d"):
                found += rest.pop(0).pieces if rest else (Piece("0" if part == "%d" else ""),)
            else:
                found.append(Piece({"%%": "%", "\\n": "\n", "\\t": "\t"}.get(part, part)))
    return tuple(found)


def _printf(call: Call, state: State) -> list[State]:
    words = call.arguments
    if len(words) > 2 and words[0].text == "-v":
        state.assign(words[1].text, scalar(formatted(words[2:])))
    elif not call.redirected:
        state.emit(formatted(_plain(words)))
    return state.ended("yes")


def _path_part(call: Call, state: State) -> list[State]:
    words = _plain(call.arguments)
    if not words or words[0].text.startswith("-"):
        state.emit((Piece("", unknown=True, depends=(call.name,)),))
        return state.ended("presumed")
    pieces = words[0].pieces
    path = raw(pieces).rstrip("/") or "/"
    cut = path.rfind("/")
    if call.name == "dirname":
        found = slice_pieces(pieces, 0, max(len(path[:cut].rstrip("/")), 1)) if cut >= 0 else (Piece("."),)
        found = (blurred("", pieces),) if is_unknown(pieces) and cut < 0 else found
    else:
        found = slice_pieces(pieces, cut + 1, len(path))
        suffix = words[1].text if len(words) > 1 else ""
        content = raw(found)
        if suffix and content.endswith(suffix) and content != suffix:
            found = slice_pieces(found, 0, len(content) - len(suffix))
    state.emit((*found, Piece("", assumes=assumes_of(pieces)), NEWLINE))
    return state.ended("yes")


def _resolved(call: Call, state: State) -> list[State]:
    words = _plain(call.arguments, "fems")
    pieces = words[0].pieces if words else ()
    path = raw(pieces)
    if not path or is_unknown(pieces):
        state.emit((blurred("", (*pieces, Piece("", depends=(call.name,)))),))
    elif path.startswith("/"):
        state.emit((computed(posixpath.normpath(path), pieces), NEWLINE))
    else:
        folder = _invocation_folder(state, path, pieces)
        state.emit((*(folder or (Piece("", unknown=True, depends=("PWD",)),)), NEWLINE))
    return state.ended("presumed")


def _seq(call: Call, state: State) -> list[State]:
    words = call.arguments
    separator = "\n"
    if words and words[0].text.startswith("-s"):
        value = words[0].text[2:]
        separator, words = (value, words[1:]) if value else (words[1].text if words[1:] else "", words[2:])
    every = tuple(piece for word in words for piece in word.pieces)
    texts = [raw(word.pieces) for word in words]
    if is_unknown(every) or not 1 <= len(texts) <= 3 or not all(re.fullmatch(r"-?\d{1,9}", t) for t in texts):
        state.emit((blurred("", (*every, Piece("", depends=("seq",)))),))
        return state.ended("presumed")
    heads = [["1", "1"], [texts[0], "1"], texts[:2]]
    first, step, last = [int(text) for text in heads[len(texts) - 1] + texts[-1:]]
    values = range(first, last + (1 if step > 0 else -1), step)[:4096] if step else []
    text = separator.join(str(value) for value in values)
    state.emit((computed(text, every), *((NEWLINE,) if text else ())))
    return state.ended("yes")


def _cat(call: Call, state: State) -> list[State]:
    names = [word.text for word in call.arguments if not word.text.startswith("-")]
    if call.redirected:
        return state.ended("presumed")
    if call.stdin is not None and not names:
        state.emit(call.stdin)
    elif state.output is not None:
        state.emit((Piece("", unknown=True, depends=(f"the file {' '.join(names)}",)),))
    return state.ended("presumed")


def _read(call: Call, state: State) -> list[State]:
    names, options, delimiter = _read_arguments(call)
    if call.stdin is None or not names:
        for name in names:
            state.assign(name, unknown_variable(name, "standard input"))
        return state.ended("open")
    content = call.stdin
    text = raw(content)
    if delimiter == "\n":
        content = slice_pieces(content, 0, text.index("\n") if "\n" in text else len(text))
    content = _stripped(content)
    variable = call.prefix.get("IFS")
    separators = raw(variable.pieces) if variable else " \t\n"
    words = _divided(content, separators)
    if "a" in options:
        state.assign(names[0], Variable("array", tuple(words)))
        return state.ended("presumed")
    for index, name in enumerate(names):
        last = index == len(names) - 1
        value = (
            content if last and index == 0 else words[index].pieces if index < len(words) else (Piece(""),)
        )
        if last and len(words) > len(names):
            value = (computed(" ".join(raw(word.pieces) for word in words[index:]), content),)
        state.assign(name, scalar(value))
    return state.ended("presumed")


def _read_arguments(call: Call) -> tuple[list[str], str, str]:
    names: list[str] = []
    options, delimiter = "", "\n"
    words = [raw(word.pieces) for word in call.arguments]
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            names.append(word)
            continue
        options += word[1:]
        if word[-1] in "dnNptui" and words:
            value = words.pop(0)
            delimiter = value if word[-1] == "d" else delimiter
    return [name for name in names if name.isidentifier()], options, delimiter


def _stripped(pieces: Pieces) -> Pieces:
    text = raw(pieces)
    start = len(text) - len(text.lstrip(" \t\n"))
    return slice_pieces(pieces, start, len(text.rstrip(" \t\n"))) or (Piece(""),)


def _divided(pieces: Pieces, separators: str) -> list[Word]:
    if is_unknown(pieces):
        return [Word(pieces, elastic=True)]
    expression = f"[^{re.escape(separators)}]+" if separators else r".+"
    return [
        Word(slice_pieces(pieces, match.start(), match.end()))
        for match in re.finditer(expression, raw(pieces), re.DOTALL)
    ]


def _mapfile(call: Call, state: State) -> list[State]:
    name = call.arguments[-1].text if call.arguments else "MAPFILE"
    if call.stdin is not None and not is_unknown(call.stdin):
        words = _divided(call.stdin, "\n")
    else:
        words = [Word((unknown("${" + name + "[@]}", "standard input"),), elastic=True)]
    if name.isidentifier():
        state.assign(name, Variable("array", tuple(words)))
    return state.ended("presumed")


def _let(call: Call, state: State) -> list[State]:
    value: int | None = 0
    for word in call.arguments:
        value = arithmetic.evaluate(state, word.pieces)
    return state.ended("open" if value is None else "yes" if value else "no")


def _getopts(call: Call, state: State) -> list[State]:
    if state.positional:
        return state.ended("open")
    return state.ended("no", ("no arguments are given",) if state.open_arguments else ())


def _unknown_output(call: Call, state: State) -> list[State]:
    if not call.redirected:
        state.emit((Piece("", unknown=True, depends=(call.name,)), NEWLINE))
    return state.ended("presumed")


HANDLERS: dict[str, Callable[[Call, State], list[State]]] = {
    ":": _true,
    "true": _true,
    "shopt": _true,
    "trap": _true,
    "wait": _true,
    "sleep": _true,
    "false": _false,
    "test": _test,
    "[": _test,
    "exit": _exit,
    "return": _exit,
    "break": _loop_end,
    "continue": _loop_end,
    "shift": _shift,
    "set": _set,
    "cd": _cd,
    "pwd": _pwd,
    "echo": _echo,
    "printf": _printf,
    "dirname": _path_part,
    "basename": _path_part,
    "realpath": _resolved,
    "readlink": _resolved,
    "seq": _seq,
    "cat": _cat,
    "read": _read,
    "mapfile": _mapfile,
    "readarray": _mapfile,
    "let": _let,
    "getopts": _getopts,
    "date": _unknown_output,
}
