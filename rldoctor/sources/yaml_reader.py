"""Reading of YAML: every leaf of the file as one setting, with its bytes."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor.sources.yaml_tree import Entry, Node, Tree, compose, entries, place, real
from rldoctor.sources.yaml_values import Value, evaluate
from rldoctor.types import Command, Document, Form, Place, RLDoctorError, Setting

# Megatron-LM's own test recipes: arguments and environment of a launch as two mappings.
FLAGS: Final = "MODEL_ARGS"
ENVIRONMENT: Final = "ENV_VARS"


def read(name: str, data: bytes) -> Document:
    """Return the settings of a YAML file; RLDoctorError with line and column where it is broken."""
    tree = compose(name, data)
    problems: list[RLDoctorError] = []
    try:
        world = tuple(_command(tree, root, problems) for root in tree.roots) or (Command(""),)
    except RecursionError as error:
        raise RLDoctorError("aliases or interpolations are nested too deeply", file=name) from error
    return Document(name, "yaml", (world,), {name: data}, tuple(problems))


class _Walk(Struct):
    """What one document of the file gives while it is walked."""

    tree: Tree
    problems: list[RLDoctorError]
    settings: dict[str, Setting] = field(default_factory=dict)
    env: dict[str, Setting] = field(default_factory=dict)
    checked: set[int] = field(default_factory=set)


class _Spot(Struct, frozen=True):
    """Where a node stands: its path, its key, and whether its text belongs to this path alone."""

    path: tuple[str, ...]
    form: Form = "yaml"
    key: Node | None = None
    own: bool = True
    inside: tuple[Node, ...] = ()

    def under(self, parent: Node, part: str, key: Node | None, own: bool) -> _Spot:
        return _Spot((*self.path, part), self.form, key, self.own and own, (*self.inside, parent))


def _command(tree: Tree, root: Node, problems: list[RLDoctorError]) -> Command:
    walk = _Walk(tree, problems)
    tree.current = root
    if root.kind == "mapping":
        _walk(walk, root, _Spot(()))
    elif root.kind == "list":
        for i, item in enumerate(root.items):
            _walk(walk, item, _Spot((str(i),)))
    else:
        spot = place(tree, root.start, root.end)
        message = "no mapping at the top, so no settings"
        problems.append(RLDoctorError(message, file=tree.name, line=spot.line, column=spot.column))
    return Command("", tuple(walk.settings.values()), tuple(walk.env.values()))


def _walk(walk: _Walk, node: Node, spot: _Spot) -> None:
    walk.tree.spend()
    inner = real(node)
    if inner.kind != "mapping" or not inner.pairs:
        _leaf(walk, node, spot)
        return
    _tell_duplicates(walk, inner, spot.path)
    own = node.kind != "alias"
    for name, entry in entries(walk.tree, inner).items():
        below = spot.under(inner, name, entry.key, own and not entry.merged)
        _walk(walk, entry.value, _reform(walk, below, entry, inner))


def _reform(walk: _Walk, spot: _Spot, entry: Entry, parent: Node) -> _Spot:
    """Return the spot with the form that Megatron-LM's recipes give to what is below it."""
    is_recipe = spot.form == "yaml" and len(spot.path) == 1 and real(entry.value).kind == "mapping"
    form = recipe_form(walk.tree, parent, spot.path[0]) if is_recipe else spot.form
    return replace(spot, form=form)


def recipe_form(tree: Tree, root: Node, key: str) -> Form:
    """Return ``flag`` and ``env`` for the two mappings of a Megatron-LM recipe, else ``yaml``."""
    flags = entries(tree, root).get(FLAGS)
    names = entries(tree, real(flags.value)) if flags and real(flags.value).kind == "mapping" else {}
    if not names or not all(name.startswith("-") for name in names):
        return "yaml"
    forms: dict[str, Form] = {FLAGS: "flag", ENVIRONMENT: "env"}
    return forms.get(key, "yaml")


def _leaf(walk: _Walk, node: Node, spot: _Spot) -> None:
    value = evaluate(walk.tree, node, spot.path)
    inner = value.target if value.target is not None else real(node)
    if any(inner is outer for outer in spot.inside):
        circle = Value(node.text, "unknown", (".".join(spot.path),))
        _add(walk, node, spot, circle)
        return
    if inner.kind == "mapping" and inner.pairs:
        for name, entry in entries(walk.tree, inner).items():
            _walk(walk, entry.value, spot.under(inner, name, entry.key, False))
        return
    _add(walk, node, spot, value)
    if inner.kind == "list" and _has_mappings(walk.tree, inner):
        own = inner is node
        for i, item in enumerate(inner.items):
            _walk(walk, item, spot.under(inner, str(i), None, own))


def _has_mappings(tree: Tree, node: Node) -> bool:
    tree.spend()
    inner = real(node)
    return inner.kind == "mapping" or any(_has_mappings(tree, item) for item in inner.items)


def _add(walk: _Walk, node: Node, spot: _Spot, value: Value) -> None:
    tree = walk.tree
    key = ".".join(spot.path if spot.form == "yaml" else spot.path[1:])
    whole = place(tree, spot.key.start if spot.key else node.outer, node.end) if spot.own else None
    origin = value.source if value.source else (None if spot.own else real(node))
    setting = Setting(
        key=key,
        value=_in_form(spot.form, node, value),
        form=spot.form,
        place=whole,
        value_place=place(tree, node.start, node.end) if spot.own else None,
        defined_at=_place_of(tree, origin),
        state=value.state,
        depends=value.depends,
        assumes=value.assumes,
    )
    (walk.env if spot.form == "env" else walk.settings)[key] = setting


def _place_of(tree: Tree, node: Node | None) -> Place | None:
    return place(tree, node.start, node.end) if node is not None else None


def _in_form(form: Form, node: Node, value: Value) -> Any:
    """Return the value as the form has it: environment is text, ``"[a b]"`` of a flag two words."""
    found = value.value
    if form == "env" and value.state == "known":
        return "" if found is None else real(node).text if not isinstance(found, str) else found
    if form == "flag" and isinstance(found, str) and found.startswith("[") and found.endswith("]"):
        return found[1:-1].split()
    return found


def _tell_duplicates(walk: _Walk, mapping: Node, path: tuple[str, ...]) -> None:
    if id(mapping) in walk.checked:
        return
    walk.checked.add(id(mapping))
    first: dict[str, Node] = {}
    for key, _ in mapping.pairs:
        if real(key).kind != "scalar":
            _problem(walk, key, "a key that is itself a list or mapping is left out")
            continue
        name = real(key).text
        if name == "<<":
            continue
        if name in first:
            here = place(walk.tree, first[name].start, first[name].end)
            dotted = ".".join((*path, name))
            _problem(
                walk, key, f"{dotted} stands at {here.line}:{here.column} already; the later one counts here"
            )
        first.setdefault(name, key)


def _problem(walk: _Walk, node: Node, message: str) -> None:
    spot = place(walk.tree, node.start, node.end)
    walk.problems.append(RLDoctorError(message, file=walk.tree.name, line=spot.line, column=spot.column))
