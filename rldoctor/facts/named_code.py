"""Functions and classes that a configuration names: whether their files, where they are here, have them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from rldoctor.dialects import declared, suggest
from rldoctor.facts.basefile import config_path
from rldoctor.facts.refusal import Refusal
from rldoctor.facts.walk import Facts
from rldoctor.sources import read
from rldoctor.types import Document, Event, RLDoctorError, Setting

MOST_BYTES: Final = 500_000
LOOP: Final = "actor_rollout_ref.rollout.agent.default_agent_loop"
LOOPS: Final = "actor_rollout_ref.rollout.agent.agent_loop_config_path"
TOOLS: Final = "actor_rollout_ref.rollout.multi_turn.tool_config_path"
_BUILT_IN: Final = ("single_turn_agent", "tool_agent")
_DOTTED: Final = r"--(?:custom-[\w-]+|[\w-]+-(?:function|filter|process|source))-path"
_NAME: Final = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+"
_SCORER: Final = ("data_source", "solution_str", "ground_truth", "extra_info")
_MANAGERS: Final = ("reward_model.reward_manager", "reward.reward_manager.name", "reward_manager.name")
_SINGLY: Final = ("naive", "dapo", None)


class Named(Struct, frozen=True):
    """A setting that names a file, the name in it, the setting of that name, and what it is called with."""

    file: Setting
    path: str
    name: str
    key: str
    given: tuple[str, ...] = ()


def misnamed_code(facts: Facts) -> Iterator[Event]:
    """Yield names that the named file does not have, and reward functions that cannot be called."""
    document, command = facts.document, facts.start.command
    if document is None or command is None or document.kind == "log":
        return
    settings = {each.key: each for each in (*facts.start.below, *command.settings)}
    for named in (*_of_verl(settings), *_of_slime(settings, facts)):
        path = config_path(document, named.path)
        if path is not None and path.stat().st_size < MOST_BYTES:
            yield from _examined(named, path)
    yield from _listed(settings, document)


def _listed(settings: Mapping[str, Setting], document: Document) -> Iterator[Event]:
    """Yield an agent loop that its file does not list, and a file of tools without any."""
    for key, loop in ((LOOPS, settings.get(LOOP)), (TOOLS, settings.get(TOOLS))):
        file = settings.get(key)
        path = (
            config_path(document, _text(file) or "") if file is not None and file.state == "known" else None
        )
        if path is None or file is None or path.stat().st_size > MOST_BYTES:
            continue
        found = read(str(path)).worlds[0][0].settings
        names = [str(each.value) for each in found if each.key.rpartition(".")[2] == "name"]
        said = _text(loop) if loop is not None else None
        if (
            key == TOOLS
            and found
            and not any(each.key.startswith("tools.") or each.key == "tools" for each in found)
        ):
            yield _event(Named(file, str(path), "tools", key), f"{_text(file)} has no list named tools", None)
        elif key == LOOPS and said and names and said not in (*names, *_BUILT_IN) and loop is not None:
            near = suggest.word(said, names) or (names[0] if len(names) == 1 else None)
            says = f"{_text(file)} defines {', '.join(names[:4])}, and no {said}"
            yield _event(Named(loop, str(path), said, LOOP), says, near)


def _of_verl(settings: Mapping[str, Setting]) -> Iterator[Named]:
    manager = next((each for key, each in settings.items() if key in _MANAGERS), None)
    singly = manager is None or _text(manager) in _SINGLY
    for section in ("custom_reward_function", "reward.custom_reward_function"):
        file, name = settings.get(f"{section}.path"), settings.get(f"{section}.name")
        if file is None or "unknown" in (file.state, name.state if name is not None else ""):
            continue
        said, path = _text(name) if name is not None else "compute_score", _text(file) or ""
        if said and path.endswith(".py"):
            yield Named(file, path, said, f"{section}.name", _SCORER if singly else ())


def _of_slime(settings: Mapping[str, Setting], facts: Facts) -> Iterator[Named]:
    for key, setting in settings.items():
        text = _text(setting) or ""
        if facts.system != "slime" or setting.state == "unknown" or re.fullmatch(_DOTTED, key) is None:
            continue
        if re.fullmatch(_NAME, text):  # --custom-config-path names a file
            module, _, name = text.rpartition(".")
            yield Named(setting, f"{module.replace('.', '/')}.py", name, key)


def _examined(named: Named, path: Path) -> Iterator[Event]:
    try:
        tree = declared.parse(path.read_text(encoding="utf-8", errors="replace"), path.name)
    except RLDoctorError:
        return
    own = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    if named.name in own:
        yield from _uncallable(named, own[named.name])
    elif not {named.name, "*"} & _bound(tree):
        near = suggest.word(named.name, [*own]) or (next(iter(own)) if len(own) == 1 else None)
        others = f", but {', '.join([*own][:4])}" if own else ""
        says = f"{named.path} has no {named.name}{others}"
        module = f"{(_text(named.file) or '').rpartition('.')[0]}." if named.key == named.file.key else ""
        near = module + near if near is not None else None
        yield _event(named, says, near)


def _bound(tree: ast.Module) -> frozenset[str]:
    """Return every name that a module binds anywhere; a star may bind all."""
    names = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    names |= {each.name for each in ast.walk(tree) if isinstance(each, ast.ClassDef | ast.FunctionDef)}
    imports = (each for each in ast.walk(tree) if isinstance(each, ast.Import | ast.ImportFrom))
    aliases = [alias for each in imports for alias in each.names]
    return frozenset(names | {alias.asname or alias.name.partition(".")[0] for alias in aliases})


def _uncallable(named: Named, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Event]:
    """Yield a function that does not take what it is called with, or wants what nobody gives it."""
    about = function.args
    plain = [each.arg for each in (*about.posonlyargs, *about.args)]
    takes = [*plain, *(each.arg for each in about.kwonlyargs)]
    lacks = [name for name in named.given if name not in takes] if about.kwarg is None else []
    bare = [
        each.arg for each, default in zip(about.kwonlyargs, about.kw_defaults, strict=True) if default is None
    ]
    wants = [*plain[: len(plain) - len(about.defaults)], *bare]
    more = [name for name in wants if named.given and name not in named.given]
    if lacks or more:
        why = f"does not take {', '.join(lacks)}" if lacks else f"wants {', '.join(more)} besides"
        right = f"def {named.name}({', '.join(_SCORER)}=None, **kwargs)"
        yield _event(named, f"{named.name} of {named.path} {why}", None, right)


def _event(named: Named, says: str, value: str | None, advice: str | None = None) -> Event:
    return Refusal(
        named.file.key,
        says,
        "The trainer",
        "it loads the file and takes the name out of it",
        str(named.file.value),
        f"{named.file.key}={_text(named.file)}",
        advice or f"Name with {named.key} what the file defines",
        None if value is None else (named.key, value, f"{named.key} {value}"),
    ).at(named.file.place or named.file.defined_at)


def _text(setting: Setting) -> str | None:
    plain = str(setting.value).strip("'\"")
    return None if plain in ("null", "None", "") else plain
