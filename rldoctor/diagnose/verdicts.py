"""One sentence at the end of a diagnosis: what to do about it, and whether a restart alone would help."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rldoctor.logs import attempts
from rldoctor.types import Evidence, Finding, Match, Remedy, Verdict

if TYPE_CHECKING:
    from rldoctor.logs import LogReading

ATTEMPT: Final = re.compile(r"/attempt_(\d{1,4})/")
AGAIN: Final = "a restart as it is will fail again the same way"
SEVERAL: Final = 2
UNRECOGNISED: Final = "unrecognised"
STARTS: Final = ("start ", "restart ", "resume ", "go on ")
LONGEST: Final = 160
SHORTEST: Final = 40
GIST: Final = re.compile(r".{16,}?(?= \(| - |; )")
"""A remedy's first words, up to where it goes into details."""
CLAUSE: Final = re.compile(r"[.;:,] | - | \(")
FRAME: Final = re.compile(r"[\w.<>]+ \(([^()]+:\d+)\)$")


def verdict(findings: Sequence[Finding]) -> Verdict:
    """Return the first root's verdict."""
    return next((finding.verdict for finding in findings if finding.part == "root"), "nothing")


def sentence(findings: Sequence[Finding], matches: Mapping[str, Match], reading: LogReading) -> str:
    """Return what to do, in one sentence; of a healthy log nothing."""
    root = next((finding for finding in findings if finding.part == "root"), None)
    if root is None:
        return ""
    match = matches.get(root.id)
    runs = _runs(root, match, reading)
    again = AGAIN if runs < SEVERAL else f"do not restart as it is: it failed the same way in {runs} attempts"
    told = {
        "config": f"{_change(root.remedies)}; {again}",
        "restart": _restart(root) if runs < SEVERAL else again,
        "hardware": _hardware(root, match),
        "code": f"{_code(root)}; {again}",
        "data": f"fix the data: {_todo(root.remedies) or _first(root)}; {again}",
        "nothing": "nothing is wrong",
        "unsure": f"not sure: {_unsure(root)}" + (f"; {again}" if runs >= SEVERAL else ""),
    }
    return told[root.verdict]


def _runs(root: Finding, match: Match | None, reading: LogReading) -> int:
    """Return in how many attempts the run failed in this way: of a supervisor's files, or within one log."""
    files = {found[1] for line in (match.lines if match else ()) if (found := ATTEMPT.search(line.file))}
    first = root.evidence[0] if root.evidence else Evidence(root.title)
    return max(len(files), attempts.times(reading, first.file, first.text))


def _change(remedies: Sequence[Remedy]) -> str:
    """Return the first change that a remedy offers, with its line where there is a file to edit."""
    config = "change the config: "
    for remedy in remedies:
        for edit in remedy.edits[:1]:
            new = " ".join(edit.new.split()).strip(" \\")
            return config + _cut(f"{edit.file}:{edit.line}: {new or 'remove ' + edit.old.strip()}")
        if remedy.command and remedy.safety != "manual":
            return config + _cut("; ".join(remedy.command.split("\n")))
    return f"change the setup: {_todo(remedies) or 'see why'}"


def _restart(root: Finding) -> str:
    todo = _todo(root.remedies)
    if todo and todo.startswith(STARTS):
        return f"restart: {todo}"
    if todo:
        return f"restart, but first: {todo}"
    return f"restart as it is: transient ({_cut(_short(root.explanation))})"


def _hardware(root: Finding, match: Match | None) -> str:
    if root.family == "storage":
        return f"make room on the disk of {_node(match)}; {AGAIN}"
    return f"replace or cordon {_node(match)}; a restart on the same node will likely fail again"


def _node(match: Match | None) -> str:
    """Return the node that a finding is about, else the rank or the file that tells of it."""
    who = [each for each in (match.spread if match else ())] + [
        line.who for line in (match.lines if match else ())
    ]
    nodes = dict.fromkeys(each.node for each in who if each.node)
    if nodes:
        return f"node {', '.join(list(nodes)[:4])}"
    ranks = dict.fromkeys(each.rank for each in who if each.rank is not None)
    if ranks:
        return f"the node of rank {', '.join(map(str, list(ranks)[:4]))}"
    return (
        f"the node that wrote {match.lines[0].file}" if match and match.lines else "the node it happened on"
    )


def _frame(root: Finding) -> str:
    """Return the frame to look at: the first in the evidence, else the decisive line."""
    found = (FRAME.search(piece.text) for piece in root.evidence if piece.line is None)
    frame = next((match[0] for match in found if match), None)
    return frame or _first(root)


def _first(root: Finding) -> str:
    piece = root.evidence[0] if root.evidence else Evidence(root.title)
    where = f"{piece.file}:{piece.line}: " if piece.file and piece.line else ""
    return _cut(where + piece.text)


def _code(root: Finding) -> str:
    """Return what to mend: of a known failure the first cure, of another the frame to look at."""
    todo = _todo(root.remedies) if root.rule != UNRECOGNISED else ""
    return f"fix the code or what is installed: {todo}" if todo else f"fix the code: {_frame(root)}"


def _unsure(root: Finding) -> str:
    return _todo(root.remedies) or "the evidence does not tell a cause"


def _todo(remedies: Sequence[Remedy]) -> str:
    """Return the first cure in short, as the rest of a sentence."""
    if not remedies:
        return ""
    gist = _gist(remedies[0].title)
    first = gist.partition(" ")[0]
    return gist[0].lower() + gist[1:] if len(first) == 1 or first[1:].islower() else gist


def _gist(title: str) -> str:
    """Return what a remedy is in short: the whole of it stands above."""
    found = GIST.match(title)
    return _cut(found[0] if found else title)


def _short(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def _cut(text: str) -> str:
    """Return a text that is not too long, ended where a clause or at least a word ends."""
    if len(text) <= LONGEST:
        return text
    kept = text[:LONGEST]
    if kept.count("(") > kept.count(")") and kept.rindex("(") > SHORTEST:
        return kept[: kept.rindex("(")].rstrip() + " …"
    ends = [found.start() for found in CLAUSE.finditer(kept) if found.start() > SHORTEST]
    at = ends[-1] if ends else kept.rfind(" ")
    return (kept[:at] if at > SHORTEST else kept).rstrip(" ,;:-") + " …"
