"""SGLang: the server's arguments, added one by one or made from annotated fields; a folder or a wheel."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rldoctor.dialects.declared import Declared, annotation, arguments, value
from scripts.catalogues.reading import Release, tree

ROOT = "server"
SERVER = "sglang/srt/server_args.py"


def read(root: Path) -> Release:
    """Return the flags of ``sglang.launch_server``."""
    path = next(path for path in (root / SERVER, root / "python" / SERVER) if path.is_file())
    made: dict[str, Declared] = {}
    for file in (path, *sorted((path.parent / "arg_groups" / "fields").glob("*.py"))):
        made |= dict(_made(tree(file)))
    return Release({ROOT: made | arguments(tree(path))}, {"sglang.launch_server": ROOT})


def _made(module: ast.Module) -> Iterator[tuple[str, Declared]]:
    """Yield the flags of fields of the form ``name: A[type, help or Arg(...)] = default``."""
    for item in ast.walk(module):
        if isinstance(item, ast.AnnAssign) and isinstance(item.annotation, ast.Subscript):
            marked = ast.unparse(item.annotation.value) in ("A", "Annotated")
            if marked and isinstance(item.target, ast.Name):
                yield from _flags(item.target.id, item.annotation, item.value)


def _flags(name: str, node: ast.Subscript, default: ast.expr | None) -> Iterator[tuple[str, Declared]]:
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    call = next((part for part in inner[1:] if isinstance(part, ast.Call)), None)
    about = {word.arg: word.value for word in call.keywords} if call is not None else {}
    if "no_cli" in about or len(inner) < 2:
        return
    if call is not None and ast.unparse(call.func) not in ("Arg", "arg_utils.Arg"):
        return
    own = _texts(about.get("cli_name")) or (f"--{name.replace('_', '-')}",)
    for flag in (*own, *_texts(about.get("aliases"))):
        yield flag, replace(_declared(annotation(inner[0]), set(about)), default=value(default))


def _declared(told: Declared, about: set[str | None]) -> Declared:
    kind = told.type.rstrip("?")
    if about & {"type_parser", "action", "nargs", "const"} or kind in ("dict", "any"):
        return Declared("any")
    return Declared("flag" if kind == "bool" else kind, None, told.choices)


def _texts(node: ast.expr | None) -> tuple[str, ...]:
    parts = ast.walk(node) if node is not None else ()
    return tuple(
        part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )
