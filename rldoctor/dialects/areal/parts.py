"""The parts of AReaL's allocation strings that rows name: ``tp`` of one engine's string, ``gen.tp`` of all.

A change of one size keeps the number of GPUs, one of that number the sizes: data parallelism gives way.
"""

from __future__ import annotations

from typing import Any, Final

from rldoctor.dialects.areal.allocation import Component, parse, resize
from rldoctor.types import UNKNOWN, RLDoctorError

LETTERS: Final = {"tp": "t", "pp": "p", "cp": "c", "dp": "d"}
EXPERTS: Final = {"ep": "e", "etp": "t"}


def read(name: str, text: str) -> Any:
    """Return a part of an allocation, None where it has no such component, UNKNOWN where it is none."""
    if name == "critic":  # a critic of its own is what makes AReaL's estimator GAE
        return "gae"
    components = parse(text)
    if components is None:
        return UNKNOWN
    group, _, field = name.rpartition(".")
    component = _chosen(components, group)
    return None if component is None else part_of(component, field)


def write(name: str, text: str, value: Any) -> str:
    """Return the allocation with a part changed; RLDoctorError where the GPUs do not divide."""
    group, _, field = name.rpartition(".")
    component = _chosen(parse(text) or (), group)
    if component is None or not isinstance(value, int) or field not in (*LETTERS, *EXPERTS, "world"):
        raise RLDoctorError(f"{text} cannot say {field or name} {value}")
    if field == "world":
        ways = component.world // component.size("d")
        if value % ways:
            raise RLDoctorError(f"{value} GPUs are no whole number of the {ways} of {text}")
        return resize(text, component, "d", value // ways)
    if field in EXPERTS:
        return resize(text, component, EXPERTS[field], value, expert=True)
    letter = "m" if field == "tp" and "m" in component.dims else LETTERS[field]
    return resize(text, component, letter, value)


def _chosen(components: tuple[Component, ...], group: str) -> Component | None:
    """Return the component that samples (gen) or trains (train); of several, the one that is named actor."""
    wanted = [part for part in components if not group or (part.engine is not None) is (group == "gen")]
    named = [part for part in wanted if part.name == "actor"]
    return next(iter((*named, *wanted)), None)


def part_of(component: Component, field: str) -> Any:
    """Return a size of a component, its engine, its training backend or its GPUs."""
    if field in EXPERTS:
        return component.expert(EXPERTS[field])
    if field == "tp":
        return component.size("m") if "m" in component.dims else component.size("t")
    if field in LETTERS:
        return component.size(LETTERS[field])
    return {"engine": component.engine, "backend": component.trainer, "world": component.world}[field]
