"""The remedies of a rule file."""

from __future__ import annotations

from typing import Any, Final

from rldoctor.expr import Node
from rldoctor.rules import marked
from rldoctor.rules.conditions import Words
from rldoctor.rules.expressions import changeable, condition, renaming, safety, template, value
from rldoctor.rules.reader import Reader
from rldoctor.rules.schema import Rung

ACTIONS: Final = ("set", "unset", "rename", "command")
_KEYS: Final = ("title", "safety", "when", *ACTIONS)


def rung(reader: Reader, node: marked.Node, words: Words) -> Rung:
    """Return one rung; what is wrong with it is noted."""
    fields = reader.fields(node, "a remedy", _KEYS, ("title", "safety"))
    actions = [key for key in ACTIONS if key in fields]
    how: Any = safety(reader, fields["safety"], words) if "safety" in fields else "manual"
    if len(actions) > 1 and actions != ["set", "unset"]:
        reader.note(f"a remedy has one action, this has {' and '.join(actions)}", node)
    if not actions and how != "manual":
        reader.note(f"a remedy that is not manual has an action: {', '.join(ACTIONS)}", node)
    return Rung(
        title=template(reader, fields["title"], words) if "title" in fields else "",
        safety=how,
        when=condition(reader, fields["when"], words) if "when" in fields else None,
        set=_setting(reader, fields["set"], words) if "set" in fields else {},
        unset=_unsetting(reader, fields["unset"], words) if "unset" in fields else (),
        rename=renaming(reader, fields["rename"], words) if "rename" in fields else {},
        command=template(reader, fields["command"], words) if "command" in fields else None,
    )


def _setting(reader: Reader, node: marked.Node, words: Words) -> dict[str, Node]:
    found = {}
    for name, item in reader.table(node, "set", "concept", None).items():
        concept = changeable(reader, name, _key_node(node, name), words)
        compiled = value(reader, item, concept, words)
        if compiled is not None:
            found[name] = compiled
    return found


def _unsetting(reader: Reader, node: marked.Node, words: Words) -> tuple[str, ...]:
    items = [(reader.text(item), item) for item in reader.one_or_more(node, "unset")]
    for name, item in items:
        changeable(reader, name, item, words)
    return tuple(name for name, _ in items)


def _key_node(node: marked.Node, name: str) -> marked.Node:
    return next(key_node for key, key_node, _ in marked.pairs(node) if key == name)
