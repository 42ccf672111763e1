"""Proof that an edit of a YAML file changes what it claims and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from rldoctor.sources.yaml_tree import Node, Tree, compose, real
from rldoctor.sources.yaml_values import evaluate, find
from rldoctor.types import Edit, Form, RLDoctorError


class Claim(Struct, frozen=True):
    """What an edit is said to do; ``also`` names further paths that may change on the way."""

    path: tuple[str, ...]
    value: Any
    form: Form = "yaml"
    gone: bool = False
    also: tuple[tuple[str, ...], ...] = ()


def prove(tree: Tree, edit: Edit, *claims: Claim) -> None:
    """Read the file as it would be after the edit; RLDoctorError if anything else came out."""
    data = tree.data[: edit.start] + edit.new.encode("utf-8") + tree.data[edit.end :]
    try:
        after = compose(tree.name, data)
    except RLDoctorError as error:
        raise _refusal(
            edit, claims, f"the file would not be valid YAML any more ({error.message})"
        ) from error
    old, new = Counter(_leaves(tree)), Counter(_leaves(after))
    for path, _ in [*(old - new), *(new - old)]:
        if not any(_is_touched(path, claim) for claim in claims):
            raise _refusal(edit, claims, f"{'.'.join(path) or 'the file'} would change too")
    for claim in claims:
        if not _holds(after, claim):
            raise _refusal(edit, claims, "it would not be read as that")


def _refusal(edit: Edit, claims: tuple[Claim, ...], why: str) -> RLDoctorError:
    names = ", ".join(".".join(claim.path) for claim in claims)
    return RLDoctorError(
        f"{names} cannot be changed here: {why}", file=edit.file, line=edit.line, hint="change it by hand"
    )


def _is_touched(path: tuple[str, ...], claim: Claim) -> bool:
    return path[: len(claim.path)] == claim.path or path in claim.also


def _holds(after: Tree, claim: Claim) -> bool:
    return any(_holds_in(after, root, claim) for root in after.roots) or (claim.gone and not after.roots)


def _holds_in(after: Tree, root: Node, claim: Claim) -> bool:
    after.current = root
    after.known.clear()
    node = find(after, claim.path)
    if claim.gone or node is None:
        return claim.gone == (node is None)
    if claim.form != "yaml" or "${" in str(claim.value):
        return True
    found = evaluate(after, node, claim.path)
    return bool(found.value == _plain(claim.value) or claim.value != claim.value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _leaves(tree: Tree) -> Iterator[tuple[tuple[str, ...], bytes]]:
    for root in tree.roots:
        yield from _below(tree, root, ())


def _below(tree: Tree, node: Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Yield each leaf's path and text as written, aliases unfollowed, an anchor counting as text."""
    children = [(real(key).text, value) for key, value in node.pairs]
    children += [(str(i), item) for i, item in enumerate(node.items)]
    if not children:
        yield path, tree.data[node.outer : node.end]
    elif node.outer < node.start:
        yield path, tree.data[node.outer : node.start].split(b"#")[0].strip()
    for name, child in children:
        yield from _below(tree, child, (*path, name))
