"""Programs that a launcher starts: as a list of words, as a line for the shell, or through slime's helper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from rldoctor.sources.python import pure
from rldoctor.sources.python.values import Items, Plain, Table, Text, Value, pieces_of, said
from rldoctor.sources.shell.call import Call
from rldoctor.sources.shell.state import State, scalar
from rldoctor.sources.shell.text import Piece, Pieces, Span, Word, extent_of, raw, unprotected

if TYPE_CHECKING:
    from rldoctor.sources.python.running import Walk

MOST_STATES: Final = 4
NAMED: Final = ("train_args", "num_gpus_per_node", "megatron_model_type", "train_script")


def shell(walk: Walk, positional: list[Value], named: Mapping[str, Value]) -> None:
    """Follow ``os.system(text)`` and its like."""
    if positional:
        run_text(walk, pieces_of(positional[0]))


def process(walk: Walk, positional: list[Value], named: Mapping[str, Value]) -> None:
    """Follow ``subprocess.run(words)``; with a text, or in a shell, the text is a line."""
    given = positional[0] if positional else named.get("args")
    before = [dict(state.variables) for state in walk.states]
    env = named.get("env")
    if isinstance(env, Table):
        for name, value in env.items():
            walk.export(name, value)
    if isinstance(given, Items):
        run_words(walk, given)
    elif isinstance(given, Text):
        run_text(walk, given.pieces)
    for state, variables in zip(walk.states, before, strict=False):
        state.variables = variables


def replaced(walk: Walk, positional: list[Value], named: Mapping[str, Value]) -> None:
    """Follow ``os.execvp(file, words)``."""
    if len(positional) > 1 and isinstance(positional[1], Items):
        run_words(walk, positional[1])


def slime(walk: Walk, positional: list[Value], named: Mapping[str, Value]) -> None:
    """Follow slime's ``execute_train``: a Ray head, the model's arguments, a job that trains."""
    given = {**dict(zip(NAMED, positional, strict=False)), **named}
    count, model = given.get("num_gpus_per_node", Plain(None)), given.get("megatron_model_type")
    has_model = model is not None and not (isinstance(model, Plain) and model.value is None)
    run_text(walk, (Piece("ray start --head --num-gpus "), *pieces_of(count)))
    text: list[Piece] = []
    if has_model and model is not None:
        text += (Piece('source "scripts/models/'), *pieces_of(model), Piece('.sh" && '))
    text += (Piece("ray job submit --address=http://127.0.0.1:8265 --runtime-env-json='"), *_variables(given))
    text += (Piece("' -- python3 "), *pieces_of(given.get("train_script", said("train.py"))))
    text += (Piece(" ${MODEL_ARGS[@]} " if has_model else " "), *pieces_of(given.get("train_args", Text(()))))
    run_text(walk, tuple(text))


def _variables(given: Mapping[str, Value]) -> Pieces:
    more = given.get("extra_env_vars")
    own = {"PYTHONPATH": said("/root/Megatron-LM/"), "CUDA_DEVICE_MAX_CONNECTIONS": said("1")}
    table = Table({**own, **(more if isinstance(more, Table) else {})})
    found = pure.method(Plain(None), "dumps", [Table({"env_vars": table})])
    return pieces_of(found) if found is not None else ()


def run_text(walk: Walk, pieces: Pieces) -> None:
    """Follow a line as a shell would, in every world."""
    words = [Word((Piece("bash"),)), Word((Piece("-c"),)), Word(tuple(pieces))]
    _run(walk, words)


def run_words(walk: Walk, given: Items) -> None:
    """Follow a program with its words."""
    words = [_word(each) for each in given]
    if words and raw(words[0].pieces).rpartition("/")[2] == "sys.executable":
        words[0] = Word((Piece("python3"),))
    _run(walk, words)


def _word(value: Value) -> Word:
    pieces = tuple(replace(piece, quoted=True) for piece in pieces_of(value))
    return Word(pieces, extent_of(pieces))


def _run(walk: Walk, words: list[Word]) -> None:
    from rldoctor.sources.shell import simple

    last = words[-1].span if words else None
    tail = Span(last.file, last.end, last.end) if last else None
    ends: list[State] = []
    for state in walk.states:
        assumes = state.assumes
        for end in simple.run(Call(list(words), [], last, tail), state):
            end.assumes = assumes
            ends.append(end)
    walk.states = ends[:MOST_STATES]


def start(state: State, variables: Mapping[str, str]) -> State:
    """Return a state with these variables exported."""
    for name, value in variables.items():
        state.variables[name] = scalar(unprotected(pieces_of(said(value))))
        state.exported[name] = None
    return state
