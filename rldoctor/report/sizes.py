"""An estimate as text: a table of phases by terms, a bar for each against the GPU, host and disk below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rldoctor.types import Report

BAR: Final = 24
NAME: Final = 36
COLUMN: Final = 15
SAYS: Final = {True: "fits", False: "does not fit", None: "may not fit"}


def as_text(report: Report) -> str:
    """Return the estimates of a report as a text."""
    memory = report.memory or {}
    found = [line for each in memory.get("estimates", ()) for line in _estimate(each)]
    return "\n".join([*found, report.summary, *report.notes]) + "\n"


def _estimate(each: Mapping[str, Any]) -> Iterator[str]:
    model = each["model"]
    who = f"{each['file']}: {each['system']}" if each["file"] else str(each["system"])
    ranks = f"{each['ranks']} rank{'s' * (each['ranks'] != 1)}"
    yield f"{who}, {_count(model['parameters'])} parameters ({model['source']}), {ranks}"
    if each["calibration"]:
        yield each["calibration"]["says"]
    yield ""
    yield from table(each["phases"])
    yield from (bar(row, each["gpu_gib"]) for row in each["phases"])
    yield from (f"{name.ljust(NAME)} not sized: see below what is not known" for name in each["unsized"])
    yield ""
    yield from _places(each)
    yield from (_solved(one) for one in each["solved"])
    for other in each["what_if"]:
        yield f"with {other['concept']}={other['value']}:"
        yield from (f"  {line}" for line in compared(each["phases"], other["phases"]))
        yield from (f"  {line}" for line in _elsewhere(each["host"], other.get("host", ())))
    for one in each["unknown"]:
        yield f"not known: {one['concept']}; it would change {one['changes']} (--set {one['concept']}=…)"


def _count(number: float) -> str:
    """Return a number of parameters in billions, of a small model in millions or as it is."""
    if number >= 1e9:
        return f"{number / 1e9:.2f}B"
    return f"{number / 1e6:.2f}M" if number >= 1e6 else f"{number:.0f}"


def _unit(rows: Sequence[Mapping[str, Any]]) -> tuple[str, float]:
    """Return GiB, or MiB where all is small."""
    return ("GiB", 1.0) if any(row["device_gib"] >= 1 for row in rows) else ("MiB", 1024.0)


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the table: a column a phase, a row a term."""
    unit, scale = _unit(rows)
    yield unit.ljust(NAME) + "".join(_title(row).rjust(COLUMN) for row in rows)
    for kind, title in (("terms", ""), ("beside", "beside: ")):
        names = dict.fromkeys(term["name"] for row in rows for term in row[kind])
        for name in names:
            cells = (_cell(row[kind], name, scale) for row in rows)
            yield (title + name)[: NAME - 1].ljust(NAME) + "".join(cells)
    for name in ("allocated_gib", "reserved_gib", "device_gib"):
        label = {"device_gib": "device total"}.get(name, name.removesuffix("_gib"))
        yield f"= {label}".ljust(NAME) + "".join(f"{row[name] * scale:.2f}".rjust(COLUMN) for row in rows)
    ends = (row["device_interval_gib"] for row in rows)
    spans = (f"{low * scale:.1f} to {high * scale:.1f}" for low, high in ends)
    yield "  in nine of ten cases".ljust(NAME) + "".join(span.rjust(COLUMN) for span in spans)


def _title(row: Mapping[str, Any]) -> str:
    name = row["phase"] if row["role"] == "policy" else f"{row['role']} {row['phase']}"
    return f"{name} @{row['stage']}" if row["stage"] else str(name)


def _cell(terms: Sequence[Mapping[str, Any]], name: str, scale: float) -> str:
    size = scale * sum(term["gib"] for term in terms if term["name"] == name)
    return (f"{size:.2f}" if size >= 0.005 else "·").rjust(COLUMN)


def bar(row: Mapping[str, Any], gpu: float | None) -> str:
    """Return a phase's bar against the GPU's size, its margin, and the moment it is about."""
    name = f"{_title(row)} ({row['moment']})".ljust(NAME)
    if gpu is None:
        return f"{name} {row['device_gib']:.1f} GiB"
    filled = min(BAR, round(BAR * row["device_gib"] / gpu))
    drawn = "█" * filled + "░" * (BAR - filled)
    unit, scale = _unit([row])
    own, whole, left = (size * scale for size in (row["device_gib"], gpu, row["margin_gib"]))
    sizes = f"{own:.1f} of {whole:.1f} {unit}, {left:+.1f}"
    return f"{name} {drawn} {sizes}: {SAYS[row['fits']]}"


def _places(each: Mapping[str, Any]) -> Iterator[str]:
    for place in each["host"]:
        of = f" of {place['of_gib']:.0f}" if place["of_gib"] else ""
        parts = ", ".join(f"{term['name']} {term['gib']:.1f}" for term in place["terms"])
        says = "" if place["fits"] is None else f": {SAYS[place['fits']]}"
        yield f"host of a node, {place['phase']}: {place['gib']:.1f}{of} GiB ({parts}){says}"
    for term in each["disk"]:
        yield f"disk: {term['name']} {term['gib']:.1f} GiB ({term['formula']})"


def _elsewhere(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what another value changes on the host."""
    for old, new in zip(before, after, strict=False):
        if old["gib"] != new["gib"]:
            name = f"host, {new['phase']}".ljust(NAME)
            says = "" if new["fits"] is None else f": {SAYS[new['fits']]}"
            yield f"{name} {old['gib']:.1f} → {new['gib']:.1f} GiB{says}"


def _solved(one: Mapping[str, Any]) -> str:
    now = "" if one["now"] is None else f" (now {one['now']})"
    if not one.get("grows", True):
        return f"no phase on a GPU grows with {one['concept']}{now}"
    if one["value"] is None:
        return f"no value of {one['concept']} surely fits{now}"
    return f"{one['concept']}={one['value']} surely fits{now}, {one['room_gib']:.1f} GiB to spare"


def compared(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield each phase's size before and after, on the fullest rank of each."""
    known = {(row["phase"], row["role"]): row for row in sorted(before, key=lambda row: row["device_gib"])}
    for row in after:
        old = known.get((row["phase"], row["role"]))
        was = f"{old['device_gib']:.1f} → " if old is not None else ""
        says = "" if row["fits"] is None and row["margin_gib"] is None else f": {SAYS[row['fits']]}"
        yield f"{_title(row).ljust(NAME)} {was}{row['device_gib']:.1f} GiB{says}"
