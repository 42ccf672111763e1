"""Where a setting stands in the tree of its file."""

from __future__ import annotations

from msgspec import Struct

from rldoctor.sources.yaml_reader import ENVIRONMENT, FLAGS
from rldoctor.sources.yaml_tree import Node, Tree, real
from rldoctor.types import Form, RLDoctorError, Setting


class Found(Struct, frozen=True):
    """A pair of a mapping, or an item of a list, with the way that leads to it."""

    parent: Node
    index: int
    path: tuple[str, ...]
    in_flow: bool

    @property
    def key(self) -> Node | None:
        """Return the key, None in a list."""
        return self.parent.pairs[self.index][0] if self.parent.kind == "mapping" else None

    @property
    def value(self) -> Node:
        """Return the value's node."""
        pairs = self.parent.pairs
        return pairs[self.index][1] if self.parent.kind == "mapping" else self.parent.items[self.index]


def full_path(key: str, form: Form) -> tuple[str, ...]:
    """Return the mapping keys that lead to a setting; a flag's own dots do not count."""
    if form == "flag":
        return (FLAGS, key)
    return (ENVIRONMENT, key) if form == "env" else tuple(key.split("."))


def locate(tree: Tree, setting: Setting) -> Found:
    """Return where a setting stands; RLDoctorError if the file's bytes are not those it was read from."""
    assert setting.place is not None
    assert setting.value_place is not None
    wanted = (setting.place.start, setting.value_place.start)
    for root in tree.roots:
        found = _search(root, wanted, (), False)
        if found:
            return found
    raise RLDoctorError(
        f"{setting.key} does not stand where it was read", file=tree.name, hint="read the file again"
    )


def _search(node: Node, wanted: tuple[int, int], path: tuple[str, ...], in_flow: bool) -> Found | None:
    flow = in_flow or node.style == "flow"
    if node.kind == "mapping":
        children = [(real(key).text, key.start, value) for key, value in node.pairs]
    else:
        children = [(str(i), item.outer, item) for i, item in enumerate(node.items)]
    for i, (name, start, value) in enumerate(children):
        if (start, value.start) == wanted and not (value.kind == "mapping" and value.pairs):
            return Found(node, i, (*path, name), flow)
        if value.outer <= wanted[0] < value.end:
            return _search(value, wanted, (*path, name), flow)
    return None
