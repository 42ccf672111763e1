"""What an issue upstream asks for in one file: report, decisive excerpts, versions and configuration."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from rldoctor.report.redact import redact
from rldoctor.report.structured import as_json
from rldoctor.report.text import as_text
from rldoctor.types import Fact, Report, RLDoctorError

AROUND: Final = 15
MOST_EXCERPTS: Final = 6
LONGEST: Final = 1000
LARGEST_CONFIG: Final = 1 << 20
TOLD: Final = ("written", "log", "set")


def refuse_unwritable(path: str) -> None:
    """Raise before a long diagnosis where the bundle could not be written after it."""
    if not Path(path).absolute().parent.is_dir():
        raise RLDoctorError("cannot write the bundle: there is no such folder", file=path)


def write(report: Report, path: str, config: str | None = None) -> None:
    """Write the bundle, as a zip where the name ends so, else as Markdown; nothing in it is a secret."""
    parts = {name: redact(text) for name, text in _parts(report, config).items()}
    try:
        if path.endswith(".zip"):
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
                bundle.writestr("report.md", _markdown(parts))
                bundle.writestr("report.json", as_json(report))
        else:
            Path(path).write_text(_markdown(parts), encoding="utf-8")
    except OSError as error:
        raise RLDoctorError(f"cannot write the bundle: {error.strerror}", file=path) from error


def _parts(report: Report, config: str | None) -> dict[str, str]:
    parts = {"Report": as_text(report, verbose=True), "Versions": _versions(report.versions)}
    parts |= {f"Excerpt {name}": text for name, text in _excerpts(report)}
    parts["Configuration"] = _config(report.facts, config)
    return parts


def _markdown(parts: Mapping[str, str]) -> str:
    """Return the parts under headings, each fenced by more backticks than it holds."""
    sections = []
    for name, text in parts.items():
        if text.strip():
            fence = "`" * max(3, *(len(run) + 1 for run in _backticks(text)), 3)
            sections.append(f"## {name}\n\n{fence}text\n{text.rstrip()}\n{fence}\n")
    return "\n".join(sections)


def _backticks(text: str) -> Iterator[str]:
    yield from ("".join(c for c in word if c == "`") for word in text.split() if "```" in word)


def _versions(versions: Mapping[str, str]) -> str:
    return "\n".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _config(facts: Iterable[Fact], config: str | None) -> str:
    """Return the configuration file as it is, else the settings that the log told."""
    if config is not None and Path(config).is_file():
        return Path(config).read_bytes()[:LARGEST_CONFIG].decode("utf-8", "replace")
    told = (
        fact.origin.text or f"{fact.origin.key}={fact.value}" for fact in facts if fact.origin.kind in TOLD
    )
    return "\n".join(dict.fromkeys(text for text in told if text))


def _excerpts(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the surroundings of the decisive lines, those of roots first."""
    wanted: dict[str, list[int]] = {}
    ordered = sorted(report.findings, key=lambda finding: finding.part != "root")
    for finding in ordered:
        for piece in finding.evidence[:2]:
            if piece.file and piece.line and sum(map(len, wanted.values())) < MOST_EXCERPTS:
                wanted.setdefault(piece.file, []).append(piece.line)
    for file, numbers in wanted.items():
        for first, last, text in _around(file, numbers):
            yield f"{file}:{first}-{last}", text


def _around(file: str, numbers: list[int]) -> Iterator[tuple[int, int, str]]:
    """Yield stretches of lines around the numbers; what cannot be read again is left out."""
    from rldoctor.logs.opening import LogFile

    path = Path(file)
    if not path.is_file():
        return
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number - AROUND <= spans[-1][1] + 1:
            spans[-1][1] = number + AROUND
        else:
            spans.append([max(1, number - AROUND), number + AROUND])
    kept: dict[int, str] = {}
    wanted = {number for first, last in spans for number in range(first, last + 1)}
    at = 0
    for chunk in LogFile(file, path.stat().st_size).chunks():
        lines = chunk.splitlines()
        for number in [n for n in wanted if at < n <= at + len(lines)]:
            kept[number] = lines[number - at - 1][:LONGEST].decode("utf-8", "replace")
        at += len(lines)
        if at > max(wanted):
            break
    for first, last in spans:
        shown = [f"{number}: {kept[number]}" for number in range(first, last + 1) if number in kept]
        if shown:
            yield first, last, "\n".join(shown)
