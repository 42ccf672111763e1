"""AReaL's little language for GPUs (``sglang:d4t2+fsdp:d8``), of all its versions, read and changed in place.

Letters: d data, t (earlier m) tensor, p pipeline, c context (Ulysses with FSDP and Archon), e expert.
Grammar: areal/api/alloc_mode.py at 4aef98d; a dot for the colon until 0.4.0, training sizes without a
backend until 1.0.2, ``+eval`` and ``+cpu`` until 0.5.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct

from rldoctor.types import RLDoctorError

ENGINES: Final = ("sglang", "vllm")
LONGEST: Final = 500
_SIZE = re.compile(r"([a-z])\s*([1-9]\d*)")
_DIMS = r"(?:[pdtcem]\s*[1-9]\d*\s*)+"
_COMPONENT = re.compile(
    r"\s*(?:(?P<backend>sglang|vllm|fsdp|megatron|archon)?\s*(?:\[(?P<name>[A-Za-z_]\w*)\])?\s*[:.]\s*)?"
    rf"(?:\(?\s*attn\s*:\s*(?P<attn>{_DIMS})\|\s*ffn\s*:\s*(?P<ffn>{_DIMS})\)?|(?P<dims>{_DIMS})|(?P<extra>eval|cpu))\s*"
)


class Component(Struct, frozen=True):
    """One model's share: where its letters stand in the text, and whether it shares the one before's GPUs.

    ``ffn`` holds the experts' own letters of a hybrid, None where there is one set for both.
    """

    backend: str | None
    name: str | None
    dims: Mapping[str, int]
    span: tuple[int, int]
    ffn: Mapping[str, int] | None = None
    ffn_span: tuple[int, int] = (0, 0)
    shares: bool = False

    def size(self, letter: str) -> int:
        """Return the size of a letter of the attention layers, 1 where it is not written."""
        return self.dims.get(letter, 1)

    @property
    def world(self) -> int:
        """Return the GPUs of the component: experts are spread inside data and context parallelism."""
        return self.size("d") * self.size("t") * self.size("m") * self.size("p") * self.size("c")

    @property
    def engine(self) -> str | None:
        """Return the sampling engine, None for a component that trains."""
        return self.backend if self.backend in ENGINES else None

    @property
    def trainer(self) -> str | None:
        """Return the training backend; sizes without one chose it by themselves until 1.0.2."""
        if self.engine is not None:
            return None
        needs_megatron = self.size("p") > 1 or self.expert("e") > 1
        return self.backend or ("megatron" if needs_megatron else "fsdp")

    def expert(self, letter: str) -> int:
        """Return the experts' parallel size ``e`` or tensor parallel size ``t``."""
        if self.ffn is not None:
            return self.ffn.get(letter, 1)
        return self.dims.get("e", 1) if letter == "e" else 1


@lru_cache(maxsize=512)
def parse(text: str) -> tuple[Component, ...] | None:
    """Return the components of an allocation, None where the text is none."""
    found: list[Component] = []
    at, joint = 0, "+"
    while len(text) <= LONGEST:
        match = _COMPONENT.match(text, at)
        if match is None:
            return None
        if match["extra"] is None:
            found.append(_component(match, joint == "|"))
        at = match.end()
        if at == len(text):
            return tuple(found)
        joint = text[at]
        if joint not in "+|":
            return None
        at += 1
    return None


def gpus(components: tuple[Component, ...]) -> int:
    """Return the GPUs of all components together."""
    return sum(part.world for part in components if not part.shares)


def are_together(components: tuple[Component, ...]) -> bool:
    """Say whether something that trains shares its GPUs with an engine that samples."""
    engines = False
    for part in components:
        engines = (engines and part.shares) or part.engine is not None
        if engines and part.engine is None:
            return True
    return False


def resize(text: str, part: Component, letter: str, size: int, *, expert: bool = False) -> str:
    """Return the text with another size of one letter, ``d`` divided so that as many GPUs are asked for."""
    inside = expert and part.ffn is not None
    start, end = part.ffn_span if inside else part.span
    dims = dict(part.ffn or {}) if inside else dict(part.dims)
    before, dims[letter] = dims.get(letter, 1), size
    fixed = letter == "d" or (letter == "e" and not inside)
    if not fixed and (not inside or "d" in dims):
        whole = dims.get("d", 1) * before
        if whole % size:
            raise RLDoctorError(f"{text[start:end]} has not {size} × as many GPUs for {letter}{size}")
        dims["d"] = whole // size
    return text[:start] + _rewritten(text[start:end], dims) + text[end:]


def _rewritten(letters: str, dims: Mapping[str, int]) -> str:
    """Return the letters with new sizes in their old order, new letters after them."""
    new = _SIZE.sub(lambda found: f"{found[1]}{dims[found[1]]}", letters)
    kept = new.rstrip()
    added = "".join(
        f"{letter}{size}" for letter, size in dims.items() if f"{letter}{size}" not in _written(kept)
    )
    return kept + added + new[len(kept) :]


def _written(letters: str) -> set[str]:
    return {f"{found[1]}{found[2]}" for found in _SIZE.finditer(letters)}


def _component(match: re.Match[str], shares: bool) -> Component:
    group = "attn" if match["attn"] is not None else "dims"
    ffn = _sizes(match["ffn"]) if match["ffn"] is not None else None
    span = match.span("ffn") if ffn is not None else (0, 0)
    return Component(
        match["backend"], match["name"], _sizes(match[group]), match.span(group), ffn, span, shares
    )


def _sizes(letters: str) -> dict[str, int]:
    return {found[1]: int(found[2]) for found in _SIZE.finditer(letters)}
