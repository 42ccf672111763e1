"""Measure `rldoctor diagnose` on labelled logs and write docs/accuracy.md.

    python -m scripts.accuracy [--write] [--healthy DIR]… NAME=DIR …

A case is a YAML file: `log` (text) or `log_file` (a file or folder beside it), `root_line` (null: healthy),
`root_any` (further lines that show the root), `fix_any` (expressions that a right cure matches).

root: the first finding whose part is root quotes the root line among its first three pieces of evidence.
fix: root, and one of its first two remedies is a right cure. quiet: a healthy log has no error or warning.
NAME ending in `+planted` puts each excerpt behind 20 000 lines of a run that went well.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.report.structured import as_json
from rldoctor.types import RLDoctorError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from diagnose_log import KINDS, Maker, metrics  # type: ignore[import-not-found]

PAGE: Final = Path(__file__).parents[1] / "docs" / "accuracy.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
EVIDENCE, REMEDIES, LONGEST = 3, 2, 1000
ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
PARTS: Final = ("title", "set", "edits", "command")
LOUD: Final = re.compile(r"error|exception|fatal|failed|killed|abort", re.IGNORECASE)
PLANTED_LINES: Final = 20_000

Lines = Sequence[str]


class Score(NamedTuple):
    """One log judged: of a failure whether root and cure are right, of a healthy one its alarms."""

    healthy: bool
    root: bool = False
    fix: bool = False
    naive: tuple[bool, ...] = ()
    alarms: tuple[str, ...] = ()


def last_loud(lines: Lines) -> Lines:
    """Return the last line with an error word."""
    return [line for line in lines if LOUD.search(line)][-1:]


def first_loud(lines: Lines) -> Lines:
    """Return the first line with an error word."""
    return [line for line in lines if LOUD.search(line)][:1]


def tail(lines: Lines) -> Lines:
    """Return the last twelve lines."""
    return lines[-12:]


NAIVE: Final[dict[str, Callable[[Lines], Lines]]] = {
    "last error line": last_loud, "first error line": first_loud, "last 12 lines": tail,
}  # fmt: skip


def squash(text: object) -> str:
    """Return a text without colours and with single blanks."""
    return re.sub(r"\s+", " ", ANSI.sub("", str(text))).strip()


def report(path: Path) -> dict[str, Any]:
    """Return what diagnose says of a log, nothing where it refuses it."""
    try:
        return dict(json.loads(as_json(diagnose([str(path)], None, ToldFacts()))))
    except RLDoctorError:
        return {}


def loud(told: dict[str, Any]) -> tuple[str, ...]:
    """Return the rules of errors and warnings."""
    found = told.get("findings") or [] if told else [{"severity": "error", "rule": "no report"}]
    return tuple(each["rule"] for each in found if each["severity"] in ("error", "warning"))


def judge(case: dict[str, Any], told: dict[str, Any], lines: Lines) -> Score:
    """Return whether root and cure are right."""
    if case.get("root_line") is None:
        alarms = loud(told)
        return Score(True, alarms=alarms)
    wants = [squash(line) for line in (case["root_line"], *(case.get("root_any") or ()))]
    naive = tuple(_quotes(wants, pick(lines)) for pick in NAIVE.values())
    top = next((each for each in told.get("findings", ()) if each["part"] == "root"), None)
    if top is None:
        return Score(False, naive=naive)
    root = _quotes(wants, [piece["text"][:LONGEST] for piece in top["evidence"][:EVIDENCE]])
    cures = [[cure[key] for key in PARTS] for cure in top["remedies"][:REMEDIES]]
    words = squash(json.dumps(cures, ensure_ascii=False))
    fix = root and any(re.search(text, words, re.IGNORECASE) for text in case.get("fix_any") or ())
    return Score(False, root, fix, naive)


def _quotes(wants: Iterable[str], texts: Iterable[str]) -> bool:
    seen = [squash(text) for text in texts]
    return any(want in text for want in wants for text in seen)


def carrier() -> str:
    """Return lines of engines that went well, with loud ones; steps are told by the excerpt alone."""
    make = Maker(random.Random(3))
    kinds = {kind: weight for kind, weight in KINDS.items() if kind is not metrics}
    lines = [kind(make) for kind in make.chance.choices(list(kinds), list(kinds.values()), k=PLANTED_LINES)]
    lines[4000] = "WARNING: connection to 10.0.0.9:8000 refused, retrying (attempt 1 of 5)"
    lines[9000] = (
        'Traceback (most recent call last):\n  File "/app/reward.py", line 8, in parse\n    return num(text)'
        "\nValueError: could not convert string to float: 'ten'\nWARNING: 1 answer was scored 0.0, going on"
    )
    return "\n".join(lines) + "\n"


def scores(name: str, folder: Path) -> list[Score]:
    """Return the score of each case of a folder."""
    before = carrier() if name.endswith("+planted") else ""
    found: list[Score] = []
    with tempfile.TemporaryDirectory() as work:
        for file in sorted(folder.glob("*.yaml")):
            case = yaml.safe_load(file.read_text())
            path = Path(work, "train.log")
            if case.get("log_file"):
                path = file.parent / case["log_file"]
            else:
                path.write_text(before + case["log"])
            found.append(judge(case, report(path), text_of(path)))
    return found


def text_of(path: Path) -> list[str]:
    """Return the lines of a plain log, or of all logs of a folder; of a packed one none."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    return [
        line
        for file in files
        if file.suffix != ".gz"
        for line in file.read_text(errors="replace").splitlines()
    ]


def quiet(folders: Sequence[Path]) -> list[Score]:
    """Return the score of each healthy log, each file or folder below one of the folders."""
    logs = [path for folder in folders for path in sorted(folder.iterdir())]
    return [Score(True, alarms=loud(report(path))) for path in logs]


def row(name: str, found: Sequence[Score]) -> str:
    """Return one row of the table."""
    failed, well = [s for s in found if not s.healthy], [s for s in found if s.healthy]
    naive = [share([score.naive[at] for score in failed]) for at in range(len(NAIVE))]
    calm = f"{sum(not score.alarms for score in well)}/{len(well)}" if well else "–"
    shares = [share([score.root for score in failed]), share([score.fix for score in failed])]
    return f"| {' | '.join([name, str(len(failed)), *shares, *naive, calm])} |"


def share(found: Sequence[bool]) -> str:
    """Return a share in percent."""
    return f"{100 * sum(found) / len(found):.0f} %" if found else "–"


def table(named: dict[str, list[Score]], healthy: Sequence[Score]) -> str:
    """Return the measured part of the page."""
    heads = ["logs", "failures", "root", "fix", *(f"root by {name}" for name in NAIVE), "healthy quiet"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += [row(name, found) for name, found in named.items()]
    alarms = Counter(rule for score in healthy for rule in score.alarms)
    if healthy:
        lines += ["", f"False alarms on {len(healthy)} further healthy logs: {sum(alarms.values())} "]
        lines[-1] += f"({sum(alarms.values()) / len(healthy):.3f} a log)"
        lines[-1] += "".join(f"; {rule} {count}" for rule, count in alarms.most_common()) + "."
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and with --write put the table into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("named", nargs="*", metavar="NAME=DIR")
    parser.add_argument("--healthy", action="append", default=[], type=Path)
    parser.add_argument("--write", action="store_true")
    told = parser.parse_args()
    folders = dict(each.split("=", 1) for each in told.named)
    text = table({name: scores(name, Path(at)) for name, at in folders.items()}, quiet(told.healthy))
    print(text)
    if told.write:
        page = PAGE.read_text()
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
