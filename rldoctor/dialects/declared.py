"""What Python source declares as settings: ``add_argument`` calls and fields of dataclasses.

Read as a tree, never imported: the code that reads releases for the catalogues reads a user's own
entry script too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor.types import RLDoctorError

MOST_BYTES: Final = 4_000_000
DEEPEST: Final = 7
_GENERIC: Final = r"(?m)^(\s*(?:async\s+)?(?:def|class)\s+\w+)\[[^\]\n]*\](?=[(:])"
_FLAG_ACTIONS: Final = ("store_true", "store_false", "store_const", "count", "BooleanOptionalAction")
_PLAIN: Final = {"int": "int", "float": "float", "str": "str", "bool": "bool"}
_MAPPINGS: Final = ("dict", "Dict", "Mapping", "DictConfig", "MutableMapping", "OmegaConf")
_SEQUENCES: Final = ("list", "List", "Sequence", "tuple", "Tuple", "set", "Set", "ListConfig")


class Expression(Struct, frozen=True):
    """A default that is no literal: the text of what computes it."""

    text: str


class Declared(Struct, frozen=True):
    """A setting: ``type`` is int, float, bool, str, list, dict, flag or any, with ``?`` where None is one.

    ``classes`` names what its annotation speaks of: a dataclass among them holds further settings.
    """

    type: str = "any"
    default: Any = None
    choices: tuple[Any, ...] = ()
    classes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    init: bool = True


class Class(Struct, frozen=True):
    """A class with annotated fields; ``words`` are the members of an enumeration."""

    name: str
    bases: tuple[str, ...]
    fields: Mapping[str, Declared]
    words: tuple[str, ...] = ()


def parse(text: str, name: str = "source") -> ast.Module:
    """Return the tree of a source; RLDoctorError where it is no Python that can be read here."""
    try:
        return ast.parse(text[:MOST_BYTES])
    except (SyntaxError, ValueError, RecursionError):
        pass  # type parameters of newer Pythons: taken out below
    try:
        return ast.parse(re.sub(_GENERIC, r"\1", text[:MOST_BYTES]))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise RLDoctorError(f"not Python that can be read: {error}", file=name) from error


def arguments(tree: ast.AST) -> dict[str, Declared]:
    """Return the flags that ``add_argument`` calls below a node declare, by name."""
    found: dict[str, Declared] = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and _called(call) in ("add_argument", "reset_arg"):
            names = [name for arg in call.args if isinstance(name := _literal(arg), str)]
            declared = _argument(call)
            for flag in (name for name in names if name.startswith("-")):
                found |= dict.fromkeys(_spellings(flag, call), declared)
    return found


def _spellings(flag: str, call: ast.Call) -> tuple[str, ...]:
    negatable = "BooleanOptionalAction" in _text(_keywords(call).get("action"))
    return (flag, f"--no-{flag[2:]}") if negatable and flag.startswith("--") else (flag,)


def _argument(call: ast.Call) -> Declared:
    said = _keywords(call)
    action = _text(said.get("action")).strip("'\"").rpartition(".")[2]
    default = value(said["default"]) if "default" in said else action == "store_false" or None
    if action in _FLAG_ACTIONS:
        return Declared("flag", default if default is not None else False)
    choices = _choices(said.get("choices"))
    many = "nargs" in said or action in ("append", "extend")
    if many:
        return Declared("any" if _literal(said.get("nargs")) == "?" else "list", default, choices)
    if action and action != "store":
        return Declared("any", default)
    kind = _text(said["type"]) if "type" in said else "str"
    return Declared("any" if kind == "bool" else _PLAIN.get(kind, "any"), default, choices)


def _choices(node: ast.expr | None) -> tuple[Any, ...]:
    words = _literal(node)
    return tuple(words) if isinstance(words, list | tuple) else ()


def classes(tree: ast.AST) -> dict[str, Class]:
    """Return the classes of a module, by name, each with its own annotated fields."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {node.name: _class(node) for node in nodes}


def _class(node: ast.ClassDef) -> Class:
    fields = {
        item.target.id: _field(item)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    bases = tuple(re.split(r"[.\[]", _text(base).split("[")[0])[-1] for base in node.bases)
    fields = {
        name: said
        for name, said in fields.items()
        if "ClassVar" not in said.classes and "InitVar" not in said.classes
    }
    words = tuple(_members(node)) if any("Enum" in base for base in bases) else ()
    return Class(node.name, bases, fields, words)


def _members(node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            yield item.targets[0].id


def _field(item: ast.AnnAssign) -> Declared:
    found = annotation(item.annotation)
    call = item.value
    if not (isinstance(call, ast.Call) and _called(call) in ("field", "Field")):
        return replace(found, default=value(call) if call is not None else Expression("required"))
    said = _keywords(call)
    about = _metadata(said.get("metadata"))
    return replace(
        found,
        default=value(about["default"]) if "default" in about else _default(said, call),
        choices=found.choices or _choices(about.get("choices")),
        flags=tuple(_literal(about["arg_names"]) or ()) if "arg_names" in about else (),
        init=_literal(said["init"]) is not False if "init" in said else True,
        type="flag" if "store_" in _text(about.get("action")) else _overruled(found.type, about),
    )


def _overruled(kind: str, about: Mapping[str, ast.expr]) -> str:
    """Return the type that an argument gets where its field says more than its annotation."""
    if "type" in about:
        return _PLAIN.get(_text(about["type"]), "any")
    return "list" if "nargs" in about and _literal(about["nargs"]) != "?" else kind


def _default(said: Mapping[str, ast.expr], call: ast.Call) -> Any:
    if "default" in said:
        return value(said["default"])
    if "default_factory" in said:
        factory = _text(said["default_factory"])
        made = re.sub(r"^lambda\s*:\s*", "", factory) if factory.startswith("lambda") else f"{factory}()"
        plain: dict[str, Any] = {"list()": [], "dict()": {}, "tuple()": [], "set()": []}
        return plain[made] if made in plain else value(ast.parse(made, mode="eval").body)
    return value(call.args[0]) if call.args else Expression("required")


def _metadata(node: ast.expr | None) -> dict[str, ast.expr]:
    """Return what a field's metadata says for the command line, that of ``argparse_meta`` with it."""
    if not isinstance(node, ast.Dict):
        return {}
    found: dict[str, ast.expr] = {}
    for key, inner in zip(node.keys, node.values, strict=True):
        word = _literal(key)
        if word == "argparse_meta":
            found |= _metadata(inner)
        elif isinstance(word, str):
            found[word] = inner
    return found


def annotation(node: ast.expr) -> Declared:
    """Return the type that an annotation gives."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return annotation(ast.parse(node.value, mode="eval").body)
        except SyntaxError:
            return Declared()
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _either([node.left, node.right])
    if isinstance(node, ast.Subscript):
        return _subscripted(node)
    name = _text(node).rpartition(".")[2]
    if name in _PLAIN:
        return Declared(_PLAIN[name])
    if name in _MAPPINGS or name in _SEQUENCES:
        return Declared("dict" if name in _MAPPINGS else "list")
    return Declared("any", classes=(name,))


def _subscripted(node: ast.Subscript) -> Declared:
    name = _text(node.value).rpartition(".")[2]
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Optional":
        return _either([inner[0], ast.Constant(None)])
    if name == "Union":
        return _either(inner)
    if name == "Literal":
        words = tuple(_literal(item) for item in inner)
        return Declared("str" if all(isinstance(word, str) for word in words) else "any", choices=words)
    if name in ("Annotated", "A", "Final", "SkipValidation"):
        return annotation(inner[0])
    if name in _MAPPINGS or name in _SEQUENCES:
        return Declared("dict" if name in _MAPPINGS else "list")
    return Declared("any", classes=(name, *(each for item in inner for each in annotation(item).classes)))


def _either(nodes: Iterable[ast.expr]) -> Declared:
    """Return what a union is: one type and None, or anything."""
    found = [each for node in nodes for each in _flat(node)]
    told = [annotation(node) for node in found if not _is_none(node)]
    mark = "?" if len(told) < len(found) else ""
    inner = tuple(dict.fromkeys(name for each in told for name in each.classes))
    if len(told) != 1:
        words = tuple(word for each in told for word in each.choices)
        closed = all(each.choices for each in told)
        return Declared("any" + mark, choices=words if closed else (), classes=inner)
    return replace(told[0], type=told[0].type.rstrip("?") + mark)


def _flat(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _flat(node.left)
        yield from _flat(node.right)
    else:
        yield node


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def fields(name: str, known: Mapping[str, Class], depth: int = 0) -> dict[str, Declared]:
    """Return the fields of a class, those of its bases first."""
    found: dict[str, Declared] = {}
    if name not in known or depth > DEEPEST:
        return found
    for base in reversed(known[name].bases):
        found |= fields(base, known, depth + 1)
    return found | dict(known[name].fields)


class Flattening(Struct):
    """Settings of a class by dotted key; a field whose class is known goes on below it."""

    known: Mapping[str, Class]
    found: dict[str, Declared] = field(default_factory=dict)

    def of(self, name: str, prefix: str = "", above: tuple[str, ...] = ()) -> dict[str, Declared]:
        """Add what a class and those inside it hold, and return all that was found."""
        for key, said in fields(name, self.known).items():
            inner = [each for each in said.classes if each in self.known]
            words = next((self.known[each].words for each in inner if self.known[each].words), ())
            holding = next((each for each in inner if fields(each, self.known)), None)
            if words:
                said = replace(said, type="str" + "?" * said.type.endswith("?"), choices=words)
            section = holding is not None and not said.type.startswith(("list", "dict"))
            if section:
                said = replace(said, type="section" + "?" * said.type.endswith("?"), default=None)
            self.found[prefix + key] = said
            if section and holding is not None and holding not in above and len(above) < DEEPEST:
                self.of(holding, f"{prefix}{key}.", (*above, holding))
        return self.found


def _called(call: ast.Call) -> str:
    return _text(call.func).rpartition(".")[2]


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {word.arg: word.value for word in call.keywords if word.arg is not None}


def _literal(node: ast.expr | None) -> Any:
    """Return the value of a literal, None where it is none."""
    found = value(node)
    return None if isinstance(found, Expression) else found


def value(node: ast.expr | None) -> Any:
    """Return the value of a literal, None of nothing, an Expression of what has to be computed."""
    if node is None:
        return None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return Expression(_text(node)[:80])


def _text(node: ast.AST | None) -> str:
    return ast.unparse(node) if node is not None else ""
