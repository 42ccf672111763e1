"""Calls of a launcher: its own functions, what reads the environment, and what starts a program."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from rldoctor.sources.python import expressions, pure, starting
from rldoctor.sources.python.values import (
    Function,
    Items,
    Open,
    Plain,
    Record,
    Table,
    Text,
    Value,
    assumed,
    text_of,
)

if TYPE_CHECKING:
    from rldoctor.sources.python.running import Walk

ARGUMENTS: Final = "(arguments)"


def call(walk: Walk, node: ast.Call) -> Value:
    """Return what a call gives, as far as its text tells."""
    name = _dotted(walk, node.func)
    own = walk.lookup(node.func.id) if isinstance(node.func, ast.Name) else None
    if isinstance(own, Function):
        return user(walk, own, node)
    for ending, handler in _KNOWN.items():
        if name == ending or name.endswith(f".{ending}"):
            return handler(walk, node)
    if isinstance(node.func, ast.Attribute):
        return _method(walk, node, node.func)
    positional, named = evaluated(walk, node)
    return pure.function(name, positional, named) or Open(ast.unparse(node))


def evaluated(walk: Walk, node: ast.Call) -> tuple[list[Value], dict[str, Value]]:
    """Return the arguments of a call, those in ``*`` and ``**`` spread out."""
    positional: list[Value] = []
    for each in node.args:
        inner = expressions.value(walk, each.value if isinstance(each, ast.Starred) else each)
        positional += inner if isinstance(each, ast.Starred) and isinstance(inner, Items) else [inner]
    named: dict[str, Value] = {}
    for keyword in node.keywords:
        found = expressions.value(walk, keyword.value)
        if keyword.arg is not None:
            named[keyword.arg] = found
        elif isinstance(found, Table):
            named.update(found)
    return positional, named


def user(walk: Walk, function: Function, node: ast.Call) -> Value:
    """Return what a function or class of the file itself gives."""
    return invoke(walk, function, *evaluated(walk, node))


def invoke(walk: Walk, function: Function, positional: list[Value], named: Mapping[str, Value]) -> Value:
    """Run a function of the file with these arguments."""
    with walk.at_home():
        return _invoked(walk, function, positional, named)


def _invoked(walk: Walk, function: Function, positional: list[Value], named: Mapping[str, Value]) -> Value:
    from rldoctor.sources.python import running

    inner = function.node
    if isinstance(inner, ast.ClassDef):
        return instance(walk, inner, positional, named)
    scope = dict(_parameters(walk, inner.args))
    names = [each.arg for each in (*inner.args.posonlyargs, *inner.args.args)]
    scope.update(zip(names, positional, strict=False))
    scope.update({name: each for name, each in named.items() if name in scope or inner.args.kwarg is None})
    walk.scopes.append(scope)
    walk.step()
    if isinstance(inner, ast.Lambda):
        found: Value | None = expressions.value(walk, inner.body)
    else:
        found = running.block(walk, inner.body)
    walk.scopes.pop()
    return found if found is not None else Plain(None)


def _parameters(walk: Walk, arguments: ast.arguments) -> Iterator[tuple[str, Value]]:
    """Yield each parameter with its default; without one it is open, or its data class as that begins."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [
        *zip(positional, defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    for each, default in pairs:
        kind = walk.lookup(each.annotation.id) if isinstance(each.annotation, ast.Name) else None
        if default is not None:
            yield each.arg, expressions.value(walk, default)
        elif isinstance(kind, Function) and isinstance(kind.node, ast.ClassDef):
            yield each.arg, instance(walk, kind.node, [], {})
        else:
            yield each.arg, Open(each.arg)


def instance(walk: Walk, node: ast.ClassDef, positional: list[Value], named: Mapping[str, Value]) -> Record:
    """Return an instance of a data class of the file: its fields with their defaults."""
    fields: dict[str, Value] = {}
    walk.step()
    for base in node.bases:
        parent = walk.lookup(base.id) if isinstance(base, ast.Name) else None
        if isinstance(parent, Function) and isinstance(parent.node, ast.ClassDef):
            fields.update(instance(walk, parent.node, [], {}).fields)
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            default = expressions.value(walk, each.value) if each.value else Open(each.target.id)
            fields[each.target.id] = default
        elif isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            fields[each.targets[0].id] = expressions.value(walk, each.value)
    fields.update(zip(fields, positional, strict=False))
    fields.update(named)
    return Record(fields)


def _dotted(walk: Walk, node: ast.expr) -> str:
    """Return the full name of a function, by what the file imports."""
    name = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
    first, dot, rest = name.partition(".")
    return f"{walk.imports.get(first, first)}{dot}{rest}"


def _method(walk: Walk, node: ast.Call, function: ast.Attribute) -> Value:
    whole = expressions.value(walk, function.value)
    positional, named = evaluated(walk, node)
    if isinstance(whole, Record) and ARGUMENTS in whole.fields:
        return _parser(whole, function.attr, positional, named)
    found = pure.method(whole, function.attr, positional)
    return found if found is not None else Open(ast.unparse(node))


def _parser(parser: Record, name: str, positional: list[Value], named: Mapping[str, Value]) -> Value:
    """Take in an argument of argparse, or give them all as they are without any."""
    fields: dict[str, Value] = parser.fields[ARGUMENTS]
    if name == "add_argument":
        words = [text for each in positional if (text := text_of(each)) is not None]
        word = next((each for each in words if each.startswith("--")), words[0] if words else "")
        target = text_of(named["dest"]) if "dest" in named else None
        action = text_of(named["action"]) if "action" in named else None
        bare = {"store_true": Plain(False), "store_false": Plain(True)}.get(action or "", Plain(None))
        default = named.get("default", bare if word.startswith("-") else Open(word))
        fields[target or word.lstrip("-").replace("-", "_")] = assumed(default, f"{word} is not given")
    elif name == "add_argument_group":
        return parser
    elif name == "parse_args":
        return Record(dict(fields))
    elif name == "parse_known_args":
        return Items([Record(dict(fields)), Items()])
    return Plain(None)


def _new_parser(walk: Walk, node: ast.Call) -> Value:
    return Record({ARGUMENTS: {}})


def _environment(walk: Walk, node: ast.Call) -> Value:
    positional, _ = evaluated(walk, node)
    name = text_of(positional[0]) if positional else None
    if name is None:
        return Open(ast.unparse(node))
    return walk.variable(name, positional[1] if len(positional) > 1 else Plain(None))


def _set_default(walk: Walk, node: ast.Call) -> Value:
    positional, _ = evaluated(walk, node)
    name = text_of(positional[0]) if positional else None
    if name is not None and len(positional) > 1:
        found = walk.variable(name, positional[1])
        walk.export(name, found)
        return found
    return Open(ast.unparse(node))


def _set_several(walk: Walk, node: ast.Call) -> Value:
    positional, named = evaluated(walk, node)
    tables = [each for each in positional if isinstance(each, Table)]
    for name, found in {**{k: v for table in tables for k, v in table.items()}, **named}.items():
        walk.export(name, found)
    return Plain(None)


def _entry(walk: Walk, node: ast.Call) -> Value:
    """Follow ``typer.run(main)`` and its like: without arguments, as the defaults have it."""
    positional, _ = evaluated(walk, node)
    function = positional[0] if positional else None
    return invoke(walk, function, [], {}) if isinstance(function, Function) else Open(ast.unparse(node))


def _start(how: Callable[..., None]) -> Callable[[Any, ast.Call], Value]:
    def start(walk: Walk, node: ast.Call) -> Value:
        positional, named = evaluated(walk, node)
        how(walk, positional, named)
        return Open(ast.unparse(node.func) + "(…)")

    return start


def _leave(walk: Walk, node: ast.Call) -> Value:
    from rldoctor.sources.python.running import Ended

    raise Ended


def _wandb(walk: Walk, node: ast.Call) -> Value:
    return assumed(Text(()), "WANDB_API_KEY is unset")


_KNOWN: Final[dict[str, Callable[[Any, ast.Call], Value]]] = {
    "os.environ.get": _environment,
    "os.getenv": _environment,
    "os.environ.setdefault": _set_default,
    "os.environ.update": _set_several,
    "argparse.ArgumentParser": _new_parser,
    "ArgumentParser": _new_parser,
    "typer.run": _entry,
    "tyro.cli": _entry,
    "fire.Fire": _entry,
    "sys.exit": _leave,
    "get_default_wandb_args": _wandb,
    "execute_train": _start(starting.slime),
    "exec_command": _start(starting.shell),
    "os.system": _start(starting.shell),
    "os.popen": _start(starting.shell),
    **{f"subprocess.{name}": _start(starting.process) for name in ("run", "call", "Popen")},
    **{f"subprocess.{name}": _start(starting.process) for name in ("check_call", "check_output")},
    **{f"os.{name}": _start(starting.replaced) for name in ("execvp", "execv", "execvpe", "execve")},
}
