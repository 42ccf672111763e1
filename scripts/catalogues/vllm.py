"""vLLM: engine and server arguments, most of them made from the fields of configuration classes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from rldoctor.dialects.declared import Class, Declared, arguments, fields
from scripts.catalogues.reading import Keys, Release, known_classes, tree

SERVE, ENGINE = "serve", "engine"
_ARGUMENTS = "engine/arg_utils.py"
_SERVER = ("entrypoints/openai/cli_args.py", "entrypoints/common/cli_args.py", "entrypoints/cli/serve.py")
_MAKERS = ("get_kwargs", "_compute_kwargs")


def read(root: Path) -> Release:
    """Return the flags of the engine, and those of ``vllm serve`` with them."""
    package = next(path for path in (root / "vllm", root) if (path / _ARGUMENTS).is_file())
    known = known_classes([*sorted(package.glob("config/**/*.py")), *_files(package, "config.py")])
    known |= known_classes(_files(package, *_SERVER, _ARGUMENTS))
    engine = _flags(tree(package / _ARGUMENTS), known)
    serve = dict(engine)
    for path in _files(package, *_SERVER):
        module = tree(path)
        serve |= _flags(module, known)
        if any("add_argument" in ast.unparse(node) for node in _frontend(module)):
            serve |= dict(_of_class("FrontendArgs", known))
    entries = ("vllm serve", "vllm.entrypoints.openai.api_server")
    return Release({ENGINE: engine, SERVE: serve}, dict.fromkeys(entries, SERVE))


def _files(package: Path, *names: str) -> list[Path]:
    return [package / name for name in names if (package / name).is_file()]


def _frontend(module: ast.Module) -> Iterator[ast.ClassDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and node.name.endswith("FrontendArgs"):
            yield node


def _flags(module: ast.Module, known: Mapping[str, Class]) -> Keys:
    made = _sources(module)
    found = arguments(module)
    for call in ast.walk(module):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("add_argument"):
            declared = _of_field(call, made, known)
            names = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
            for name in (str(name) for name in names if str(name).startswith("-")):
                if declared is not None:
                    found |= _spelled(name, declared)
    return found


def _sources(module: ast.Module) -> dict[str, str]:
    """Return the class behind each variable that holds the arguments made of one."""
    found = {}
    for node in ast.walk(module):
        call = node.value if isinstance(node, ast.Assign) else None
        if isinstance(call, ast.Call) and call.args and ast.unparse(call.func) in _MAKERS:
            found[ast.unparse(node.targets[0])] = ast.unparse(call.args[0])
    return found


def _of_field(call: ast.Call, made: Mapping[str, str], known: Mapping[str, Class]) -> Declared | None:
    """Return the field whose arguments a call passes on as ``**kwargs["name"]``."""
    for word in call.keywords:
        passed = _passed(word.value) if word.arg is None else None
        if passed is not None:
            holder, name = ast.unparse(passed.value), ast.unparse(passed.slice).strip("'\"")
            found = fields(made.get(holder, ""), known).get(name)
            own = isinstance(word.value, ast.Dict)
            return (
                Declared("any")
                if found is None
                else _argument(replace(found, default=None) if own else found)
            )
    return None


def _passed(value: ast.expr) -> ast.Subscript | None:
    """Return ``kwargs["name"]`` of ``{**kwargs["name"], "default": None}`` too."""
    if isinstance(value, ast.Dict):
        return next(
            (_passed(each) for key, each in zip(value.keys, value.values, strict=True) if key is None), None
        )
    return value if isinstance(value, ast.Subscript) else None


def _argument(field: Declared) -> Declared:
    kind = field.type.rstrip("?")
    if kind == "bool":
        return Declared("flag", field.default)
    closed = field.choices if kind == "str" else ()
    loose = kind in ("any", "dict", "int") or (kind == "str" and field.classes)
    return Declared("any" if loose else kind, field.default, closed)


def _of_class(name: str, known: Mapping[str, Class]) -> Iterator[tuple[str, Declared]]:
    for key, field in fields(name, known).items():
        yield from _spelled(f"--{key.replace('_', '-')}", _argument(field)).items()


def _spelled(name: str, declared: Declared) -> Keys:
    """Return a flag with its negation where it has one."""
    if declared.type == "flag" and name.startswith("--"):
        return {name: declared, f"--no-{name[2:]}": declared}
    return {name: declared}
