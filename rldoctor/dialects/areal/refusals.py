"""What AReaL refuses of its allocations, release by release, and engines without one.

Places: areal/api/alloc_mode.py at 4aef98d and at the tags v0.3.4 to v1.0.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from rldoctor.dialects.areal.allocation import Component, parse
from rldoctor.dialects.limits import Cure, Limit
from rldoctor.dialects.versions import version_key
from rldoctor.types import Setting

PARSER: Final = "areal/api/alloc_mode.py"
REQUIRED: Final = "areal/api/cli_args.py:1160"
ALL: Final = "allocation_mode"
ENGINES: Final = ("rollout", "actor", "critic", "ref", "teacher")

NAMED: Final = "0.4.1"
WITHOUT_EVAL: Final = "1.0.0"
EXPLICIT: Final = "1.0.3"
INFERENCE: Final = "dtp"
LEGACY: Final = "0.4.1"
MANY: Final = 3


def refuse(settings: Mapping[str, Setting], release: str) -> Iterator[Limit]:
    """Yield allocations that the parser of a release refuses, and engines that lack theirs."""
    explicit = version_key(release) >= version_key(EXPLICIT)
    for key in (f"{name}.backend" for name in ENGINES) if explicit else (ALL,):
        text = _text(settings.get(key))
        found = trouble(text, release) if text else None
        if found is not None:
            yield Limit(reads=(key,), shows=(key,), says=found[0], where=PARSER, advice=found[1])
    if explicit:
        yield from _lacking(settings)


def _lacking(settings: Mapping[str, Setting]) -> Iterator[Limit]:
    """Yield an engine that only the allocation of older releases speaks of."""
    whole = _text(settings.get(ALL))
    parts = parse(whole) or ()
    for name in ("rollout", "actor"):
        key = f"{name}.backend"
        part = next((each for each in parts if (each.engine is not None) is (name == "rollout")), None)
        if part is not None and key not in settings:
            says = f"{key} is required since AReaL {EXPLICIT}, which reads no sizes from here"
            cure = Cure(key, ["const", _alone(part, whole)])
            yield Limit(reads=(ALL,), shows=(ALL,), says=says, where=REQUIRED, cures=(cure,))


def _alone(part: Component, text: str) -> str:
    """Return a component as the text of one engine."""
    sizes = "".join(text[slice(*part.span)].split()).replace("m", "t")
    ffn = "".join(text[slice(*part.ffn_span)].split())
    return f"{part.engine or part.trainer}:" + (
        f"(attn:{sizes}|ffn:{ffn})" if part.ffn is not None else sizes
    )


def _text(setting: Setting | None) -> str:
    known = setting is not None and setting.state != "unknown" and isinstance(setting.value, str)
    return str(setting.value).strip("'\"") if setting is not None and known else ""


def trouble(text: str, release: str) -> tuple[str, str] | None:
    """Return what is wrong with an allocation and a cure in words, None where a release takes it."""
    components = parse(text)
    if components is None:
        return (
            "AReaL cannot read this allocation",
            "Write engines as backend:sizes, such as sglang:d4+fsdp:d4",
        )
    return next(_refusals(text, components, version_key(release)), None)


def _refusals(
    text: str, parts: Sequence[Component], release: tuple[tuple[int, ...], int]
) -> Iterator[tuple[str, str]]:
    """Yield what a release refuses of an allocation that can be read; the first is enough."""
    if release >= version_key(WITHOUT_EVAL) and text.rpartition("+")[2].strip() in ("eval", "cpu"):
        yield "An allocation ends with no eval or cpu any more", "Leave +eval out"
    if release >= version_key(LEGACY) and "." in text:
        yield "A colon stands between an engine and its sizes", f"Write {text.replace('.', ':')}"
    if release >= version_key("0.3.4") and any("m" in part.dims for part in parts):
        yield "Tensor parallelism has the letter t", "Write t in place of m"
    if any(part.engine and set(part.dims) - set(INFERENCE) for part in parts):
        yield "An engine that samples has no other sizes than d, t and p", "Leave its other sizes out"
    if release >= version_key(EXPLICIT):
        bare = (text[slice(*part.span)].strip() for part in parts if part.backend is None)
        yield from (
            ("Each engine names its backend", f"Write fsdp:{each}, megatron:{each} …") for each in bare
        )
    yield from (found for part in parts if (found := _hybrid(part)) is not None)
    if release >= version_key(NAMED):
        yield from _unnamed(parts)


def _hybrid(part: Component) -> tuple[str, str] | None:
    """Return what does not fit between the sizes of attention and experts."""
    if part.ffn is None:
        return None
    stages = part.ffn.get("p", part.size("p"))
    inner = part.ffn.get("e", 1) * part.ffn.get("t", 1) * stages
    if stages != part.size("p"):
        return "Attention and experts have the same pipeline stages", f"Write p{part.size('p')} for both"
    if part.world % inner or ("d" in part.ffn and part.ffn["d"] * inner != part.world):
        return (
            f"Attention is spread over {part.world} GPUs, and experts over "
            + (f"{part.ffn['d'] * inner}" if "d" in part.ffn else f"a multiple of {inner}"),
            "Give both as many GPUs",
        )
    return None


def _unnamed(parts: Sequence[Component]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with names, and with engines that share GPUs."""
    if len(parts) >= MANY and any(part.name is None for part in parts):
        yield "Of three engines and more each has a name", "Write sglang[rollout]:… + fsdp[actor]:…"
    anchors = groupby(parts, _Groups())
    for _, group in anchors:
        first, *others = group
        for part in others:
            if part.name is None:
                yield "An engine that shares GPUs has a name", "Write fsdp[actor]:… behind the |"
            if part.world != first.world:
                yield (
                    f"Engines that share GPUs have as many: {first.world} and {part.world}",
                    "Make them equal",
                )


class _Groups:
    """Number the components so that those which share GPUs have one number."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, part: Component) -> int:
        self.number += not part.shares
        return self.number
