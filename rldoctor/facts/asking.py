"""What a sizing function is asked: the facts, whose role, the arguments and options of its call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct, field

from rldoctor.facts.told import split
from rldoctor.facts.walk import Facts
from rldoctor.types import Role

ROOM: Final = ("cluster.gpu_memory_gib", "cluster.worker_memory_gib")


class Name(Struct, frozen=True):
    """An argument that names a concept."""

    name: str


class Ask(Struct, frozen=True):
    """A call: the facts, whose role, the names of its arguments (or their values) and its options."""

    facts: Facts
    role: Role
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def get(self, concept: str) -> Any:
        """Return a fact of the role, of the policy where the role has none of its own."""
        own = self.facts.fact(concept, self.role).value
        return self.facts.fact(concept).value if own is None and self.role != "policy" else own

    def value(self) -> Any:
        """Return the value of the first argument."""
        return self.worth(self.args[0]) if self.args else None

    def worth(self, argument: Any) -> Any:
        """Return the value of an argument, which may name a concept."""
        if not isinstance(argument, Name):
            return argument
        key = split(argument.name)
        if key is None or key[0] != "policy":
            return self.facts.value(argument.name)
        return self.get(key[1])


def room_is_known(facts: Facts) -> bool:
    """Return whether facts tell how large a GPU is: else the memory model, slow to load, knows nothing."""
    return any(isinstance(facts.value(name), int | float) for name in ROOM)


def powers_of_two(above: int, upto: int) -> Iterator[int]:
    """Yield the powers of two above a number, up to and with another."""
    size = 1
    while size <= upto:
        if size > above:
            yield size
        size *= 2
