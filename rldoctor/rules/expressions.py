"""Conditions, values and templates of a rule file: compiled, and checked against the vocabulary."""

from __future__ import annotations

import re
from typing import Any, Final

from rldoctor import expr
from rldoctor.expr import ExprError, Node
from rldoctor.rules import marked
from rldoctor.rules.conditions import SAFETIES, Words, name_problems, problems
from rldoctor.rules.reader import Reader, unknown
from rldoctor.vocabulary import Concept

NULL: Final = "null"
_HOLE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_BARE: Final = re.compile(r"\w+")


def condition(reader: Reader, node: marked.Node, words: Words) -> Node | None:
    """Return the compiled condition; what is wrong with it is noted."""
    if marked.kind(node) == "bool":
        return ["const", marked.plain(node)]
    text = reader.text(node)
    return _compiled(reader, node, text, words) if text else None


def _compiled(reader: Reader, node: marked.Node, text: str, words: Words, offset: int = 0) -> Node | None:
    try:
        compiled = expr.compile(text)
    except ExprError as error:
        hint = f" ({error.hint})" if error.hint else ""
        reader.note(f"{error.message}{hint}", node, offset + error.column)
        return None
    for problem in problems(compiled, words):
        found = re.search(rf"(?<![\w.]){re.escape(problem.word)}(?![\w])", text)
        reader.note(problem.message, node, offset + (found.start() if found else 0) + 1)
    return compiled


def template(reader: Reader, node: marked.Node, words: Words) -> str:
    """Return a text with ``{expression}`` in it; what is wrong with the expressions is noted."""
    text = reader.text(node)
    for found in _HOLE.finditer(text):
        if found[1] is not None:
            _compiled(reader, node, found[1], _speaking(words), found.start(1))
        elif found[0] in "{}":
            reader.note(
                f"a single {found[0]}; write {found[0] * 2} for the sign itself", node, found.start() + 1
            )
    return text


def _speaking(words: Words) -> Words:
    return Words(words.vocabulary, words.events, words.groups, words.series, template=True)


def changeable(reader: Reader, name: str, node: marked.Node, words: Words) -> Concept | None:
    """Note a name that no remedy can change; return its concept, None for an environment variable."""
    if name.startswith("env.") and name != "env.":
        return None
    if name.startswith("event."):  # a setting by its own key
        for problem in name_problems(name, words):
            reader.note(problem.message, node)
        return None
    found = words.vocabulary.concepts.get(words.concept(name))
    if found is None:
        known = [concept for concept, row in words.vocabulary.concepts.items() if not row.derived]
        reader.note(unknown("concept", words.concept(name), known), node)
    elif found.derived:
        reader.note(f"{name} is derived: no system lets it be set", node)
    return found


def value(reader: Reader, node: marked.Node, concept: Concept | None, words: Words) -> Node | None:
    """Return what a remedy sets: a literal as a constant, the concept's own words too, else a condition."""
    kind = marked.kind(node)
    if kind == "null":
        reader.note("write 'null' for the system's null, None for a rung that is spent", node)
        return None
    if kind != "str":
        literal = marked.plain(node)
        if concept and not _fits(literal, concept.type):
            reader.note(f"{concept.id} is {concept.type}, not {literal}", node)
        return ["const", literal]
    text = reader.text(node)
    if text == NULL or (concept and text in concept.choices):
        return ["const", text]
    if concept and concept.choices and _BARE.fullmatch(text) and text != "None":
        reader.note(unknown(f"word for {concept.id}:", text, concept.choices), node)
        return None
    return _compiled(reader, node, text, words) if text else None


def _fits(literal: Any, type_: str) -> bool:
    wanted = {
        "int": int,
        "float": int | float,
        "bool": bool,
        "list": list,
        "dict": dict,
        "enum": (),
        "str": (),
        "path": (),
    }[type_]
    return isinstance(literal, wanted) and (type_ == "bool" or not isinstance(literal, bool))


def safety(reader: Reader, node: marked.Node, words: Words) -> Any:
    """Return one of the three words, or the condition that gives one."""
    text = reader.text(node)
    if text in SAFETIES or not text:
        return text or "unsafe"
    if _BARE.fullmatch(text):
        reader.note(unknown("safety", text, SAFETIES), node)
        return "unsafe"
    compiled = _compiled(reader, node, text, words)
    for part in expr.walk(compiled) if compiled else ():
        if part[0] == "if":
            for end in part[2:]:
                if end[0] == "const" and end[1] not in SAFETIES:
                    reader.note(unknown("safety", str(end[1]), SAFETIES), node)
    return compiled or "unsafe"


def renaming(reader: Reader, node: marked.Node, words: Words) -> dict[str, str]:
    """Return what is renamed to what; both are names, most often of what an event or a line binds."""
    found = {}
    for old, new in reader.table(node, "rename", "name", None).items():
        found[old] = reader.text(new)
        for name in (old, found[old]):
            if name.startswith(("event.", "match.")):
                for problem in name_problems(name, words):
                    reader.note(problem.message, new)
    return found
