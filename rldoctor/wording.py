"""The user's own spelling in every message: templates are filled with keys and values as they wrote them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from typing import Any, Final, Protocol

from rldoctor import dialects, expr, vocabulary
from rldoctor.dialects import Row
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.types import ROLES, UNKNOWN, Fact, RLDoctorError, Role

LONGEST_KEY: Final = 40
MOST_SPELLINGS: Final = 3
BOUNDS: Final = {"floor": "at least", "ceiling": "at most"}
UNITS: Final = ("seconds", "tokens", "bytes", "MiB", "GiB")
_HOLE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_NOWHERE = re.compile(
    r" (?:in|of|on|at) (?:phase|group|rank|node|step) \?|\b(?:group|rank|number|phase) \?(?:, |(?=\)))"
)
_LACKING = re.compile(r"[,;] None\b.*$")  # what a missing value means is for those who write rules
_KEY = re.compile(r"\s*key\(\s*([\w.]+)\s*\)\s*")


class Speaker(expr.Scope, Protocol):
    """A scope that knows under which role's name a template's concept is meant."""

    def own(self, name: str) -> str:
        """Return the full expression name: ``critic.train.ep`` for ``train.ep`` in the critic's finding."""


def fill(template: str, scope: Speaker, facts: Facts) -> str:
    """Return the text with ``{concept}``, ``{key(concept)}`` and ``{expression}`` in the user's spelling."""

    def hole(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        return _say_expression(found[1], scope, facts)

    return _known_parts(" ".join(_HOLE.sub(hole, template).split()))


def _known_parts(text: str) -> str:
    """Return a text without the parts that only say that somebody's place is not known."""
    if "?" not in text:
        return text
    return _NOWHERE.sub("", text).replace(" ()", "").replace(" (?)", "")


def fill_lines(template: str, scope: Speaker, facts: Facts) -> str:
    """Return a template of several lines, each filled, its line breaks kept."""
    return "\n".join(fill(line, scope, facts) for line in template.strip().splitlines())


def _say_expression(text: str, scope: Speaker, facts: Facts) -> str:
    keyed = _KEY.fullmatch(text)
    if keyed:
        return key(facts, scope.own(keyed[1]))
    if is_fact(text.strip()):
        return spell(facts, scope.own(text.strip()))
    value = expr.evaluate(expr.compile(text), scope)
    return "?" if value is UNKNOWN else say(value)


def spell(facts: Facts, name: str) -> str:
    """Return key and value of a fact as the user would write them; only the value where it has no key."""
    fact = facts.resolve(name)
    if fact is None or (fact.value is UNKNOWN and facts.system is None):
        return key(facts, name) if fact is None or spellings(name) else "?"
    row = _row(facts, name)
    written = fact.origin.key or (row.key if row is not None else None)
    if fact.origin.kind == "derived" or written is None:
        return _with_unit(name, fact)
    if name.startswith("env.") and fact.value is None:
        return f"{written} (unset)"
    return pair(shorten(written), raw(facts, name, fact), yaml=_is_yaml(facts))


def _with_unit(name: str, fact: Fact) -> str:
    if fact.value is UNKNOWN:
        return "?"
    unit = vocabulary.load().concepts[split(name)[0]].unit if is_concept(name) else ""
    return f"{say(fact.value)} {unit}" if unit in UNITS and fact.value is not None else say(fact.value)


def key(facts: Facts, name: str) -> str:
    """Return the user's key of a concept; where no system is known, the known spellings, at most three."""
    fact = facts.resolve(name)
    if fact is not None and fact.origin.key:
        return shorten(fact.origin.key)
    if name.startswith("env."):
        return name[4:]
    row = _row(facts, name)
    if row is not None:
        return shorten(row.key)
    if facts.system is None:
        known = spellings(name)
        if known:
            return " / ".join(known[:MOST_SPELLINGS])
    return meaning(name)


def raw(facts: Facts, name: str, fact: Fact) -> Any:
    """Return a fact's value in the system's own words: as written, else as its default would be written."""
    found = facts.setting(*split(name)) if is_concept(name) else None
    if found is not None and found[1].value is not UNKNOWN:
        return found[1].value
    if fact.value is UNKNOWN:
        return UNKNOWN
    row = _row(facts, name)
    if row is None:
        return fact.value
    try:
        return dialects.encode(row, fact.value)
    except RLDoctorError:  # a value that the system cannot write is shown in our words
        return fact.value


def pair(key: str, value: Any, *, yaml: bool = False) -> str:
    """Return a key and a value as one would type them: ``k=v``, ``--flag v`` or ``k: v``."""
    if value is UNKNOWN:
        return f"{key} (its value is unknown)"
    if key.startswith("-"):
        return key if value is True else f"{key} (off)" if value is False else f"{key} {say(value)}"
    if yaml:
        return f"{key}: {_say_yaml(value)}"
    return f"{key}={say(value)}"


def assignment(row: Row, value: Any, form: str) -> str:
    """Return the words that set a row's key to a value in the system's own spelling."""
    if row.env:
        return f"export {row.key}={say(value)}"
    if value is False and row.type == "flag":
        return f"leave {row.key} out"
    if row.type == "bool" and row.key.startswith("-") and isinstance(value, bool):
        return f"{row.key} {value}"
    return pair(row.key, value, yaml=form == "yaml")


def say(value: Any) -> str:
    """Return a value as a person reads it."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(say(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return json.dumps(value, default=str)
    return "null" if value is None else "?" if value is UNKNOWN else str(value)


def _say_yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else say(value)


def formula(node: expr.Node, facts: Facts, own: Callable[[str], str]) -> str:
    """Return a condition as text with the user's keys, for sizes that nobody can compute yet."""
    part = partial(formula, facts=facts, own=own)
    match node:
        case ["const", value]:
            return say(value)
        case ["name", name]:
            return key(facts, own(name)) if is_fact(name) else name
        case ["op", symbol, left, right]:
            return f"({part(left)} {symbol} {part(right)})"
        case ["call", name, args, keywords]:
            options = [f"{BOUNDS.get(word, word)} {part(value)}" for word, value in keywords.items()]
            function = vocabulary.load().functions.get(name)
            if function is None:
                return f"{name}({', '.join([*map(part, args), *options])})"
            said = function.meaning.partition(", None")[0]  # that a cure is spent shows by its absence
            return said + (f" ({', '.join(options)})" if options else "")
        case ["if", _, then, other]:
            return f"{part(then)} or {part(other)}"
        case ["list", items]:
            return "[" + ", ".join(map(part, items)) + "]"
        case _:
            return "a value that depends on it"


def shorten(key: str) -> str:
    """Return a long dotted key by its telling ends: ``actor…expert_model_parallel_size``."""
    parts = key.split(".")
    if key.startswith("-") or len(key) <= LONGEST_KEY or len(parts) < 4:
        return key
    return f"{parts[1]}…{parts[-1]}"


def meaning(name: str) -> str:
    """Return the vocabulary's meaning of a concept, with its role where it is not the policy's."""
    if not is_concept(name):
        return name.removeprefix("env.")
    concept, role = split(name)
    text = _LACKING.sub("", vocabulary.load().concepts[concept].meaning)
    return text if role == "policy" else f"{role} {text}"


def is_fact(name: str) -> bool:
    """Say whether an expression name stands for one fact: a concept or an environment variable."""
    return name.startswith("env.") or is_concept(name)


@lru_cache(maxsize=4096)
def is_concept(name: str) -> bool:
    """Say whether a name is a concept, a role in front of it or not."""
    return split(name)[0] in vocabulary.load().concepts


@lru_cache(maxsize=4096)
def split(name: str) -> tuple[str, Role]:
    """Return concept and role of an expression name."""
    for role in ROLES:
        if name.startswith(role + ".") and name[len(role) + 1 :] in vocabulary.load().concepts:
            return name[len(role) + 1 :], role
    return name, "policy"


@cache
def spellings(name: str) -> tuple[str, ...]:
    """Return a key of the concept for each known system that has one, each once, in the systems' order."""
    said = (usual_row(system, *split(name)) for system in dialects.NAMES)
    return tuple(dict.fromkeys(shorten(row.key) for row in said if row is not None))


def usual_row(system: str, concept: str, role: Role) -> Row | None:
    """Return the row that counts in a system where nothing is set, else the one that most releases know."""
    untouched = _untouched(system)
    rows = [row for row in dialects.load(system).rows if (row.concept, row.role) == (concept, role)]
    possible = [row for row in rows if untouched.table is None or untouched.table.may_hold(row)]
    longest_known = min(possible, key=lambda row: row.since is not None, default=None)
    return untouched.row(concept, role) or longest_known


@cache
def _untouched(system: str) -> Facts:
    return walk(None, ToldFacts(system=system))[0]


def _row(facts: Facts, name: str) -> Row | None:
    return facts.row(*split(name)) if is_concept(name) else None


def _is_yaml(facts: Facts) -> bool:
    return facts.document is not None and facts.document.kind == "yaml"
