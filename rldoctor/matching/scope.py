"""What a rule's condition is evaluated over: the facts of one role and what an incident binds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rldoctor import vocabulary, wording
from rldoctor.expr import Node, evaluate, names
from rldoctor.facts import Facts
from rldoctor.types import UNKNOWN, Role

BOUND = ("event.", "match.")


class Scope:
    """Facts of a role, bound names and functions; ``read`` remembers the facts that were asked for.

    Scopes of the same facts and role may share ``known``: full name and value of what was looked up.
    """

    def __init__(
        self,
        facts: Facts,
        role: Role = "policy",
        bindings: Mapping[str, Any] | None = None,
        known: dict[str, tuple[str, Any]] | None = None,
    ) -> None:
        self.facts, self.role, self.bindings = facts, role, bindings or {}
        self.known = {} if known is None else known
        self.read: dict[str, None] = {}

    def lookup(self, name: str) -> Any:
        """Return a name's value, UNKNOWN where nobody told it."""
        if name in self.bindings:
            return self.bindings[name]
        if name.startswith(BOUND):
            return UNKNOWN
        if name not in self.known:
            full = self.own(name)
            self.known[name] = (full, self.facts.value(full))
        full, value = self.known[name]
        self.read[full] = None
        return value

    def call(self, function: str, args: Sequence[Node], keywords: Mapping[str, Node]) -> Any:
        """Return the value of a function of the condition language or of a sizing function."""
        if function in ("written", "known", "key"):
            return self._about(function, self.own(names(args[0])[0]))
        return self._sized(function, args, keywords)

    def is_given(self, name: str) -> bool:
        """Say whether a name's value, which nobody knows, is surely something."""
        return self.facts.is_given(self.own(name))

    def _sized(self, function: str, args: Sequence[Node], keywords: Mapping[str, Node]) -> Any:
        """Call a sizing function: concepts go by name, all else by the value that it has here."""
        from rldoctor.facts import sizing

        takes = vocabulary.load().functions[function].takes
        given = [
            arg if what == "concept" else self._here(arg) for what, arg in zip(takes, args, strict=False)
        ]
        options = {word: self._here(value) for word, value in keywords.items()}
        for name in (name for arg in args for name in names(arg) if wording.is_fact(name)):
            self.read[self.own(name)] = None
        if UNKNOWN in (node[1] for node in (*given, *options.values())):
            return UNKNOWN
        return sizing.call(function, self.facts, given, options, self.role)

    def _here(self, node: Node) -> Node:
        return ["const", evaluate(node, self)]

    def _about(self, function: str, name: str) -> Any:
        if function == "key":
            return wording.key(self.facts, name)
        if function == "known" and name.startswith(BOUND):
            return self.lookup(name) is not UNKNOWN
        self.read[name] = None
        if function == "known":
            return self.facts.value(name) is not UNKNOWN
        nothing_read = self.facts.command(*wording.split(name)) is None
        return UNKNOWN if nothing_read else self.facts.written(name)

    def own(self, name: str) -> str:
        """Return the full name of a name of a rule for this role, the policy's where it has no key."""
        if self.role == "policy" or not wording.is_concept(name) or wording.split(name)[1] != "policy":
            return name
        theirs = f"{self.role}.{name}"
        fact = self.facts.resolve(theirs)
        has_own = fact is not None and (fact.value is not None or fact.origin.key is not None)
        return theirs if has_own else name

    def is_own(self) -> bool:
        """Say whether something known of this very role was read: else it would only repeat the policy's."""
        if self.role == "policy":
            return True
        mine = (name for name in self.read if name.startswith(self.role + "."))
        return any(self.facts.value(name) is not UNKNOWN for name in mine)
