"""Check over all scripts and configurations of upstream checkouts: tracebacks, open sizes, findings.

python benchmarks/upstream.py CHECKOUT... [--set cluster.gpus_per_node=8 ...] [--json OUT] [--severity error]

A launch is resolved when none of its sizes (GPUs, parallel sizes, batches) hangs on something unknown. A
script that names a trainer's program (supervised training, generation and evaluation left out) and gives no
launch counts as one that is not.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from rldoctor import facts, sources
from rldoctor.check import check
from rldoctor.facts import Facts, ToldFacts, UnknownSystemError
from rldoctor.types import UNKNOWN, Finding, RLDoctorError

SUFFIXES = {".sh", ".bash", ".yaml", ".yml", ".sbatch", ".slurm"}
SYSTEMS = ("verl", "slime", "chatlearn", "megatron", "areal")
SIZES = (
    "train.nodes",
    "train.gpus_per_node",
    "train.tp",
    "train.pp",
    "train.cp",
    "train.ep",
    "rollout.tp",
    "batch.prompts_per_step",
    "batch.n_samples",
    "batch.global",
    "batch.micro",
    "batch.max_tokens_per_gpu",
)
PROGRAM = re.compile(
    r"^[^#\n]*(?:-m\s+(?:verl\.|recipe\.)[\w.]*main_(?!gen|eval)|python3?\s+\S*(?:pretrain_gpt|train_rl|train_async|entrypoint)\.py)",
    re.M,
)


class Seen(Struct):
    """What the walk over one checkout gave; seconds are those of the processor."""

    checkout: str
    files: int = 0
    seconds: float = 0.0
    launches: int = 0
    resolved: int = 0
    open: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)
    findings: list[tuple[str, Finding]] = field(default_factory=list)


def scripts(checkout: Path) -> Iterator[Path]:
    """Yield scripts and YAML files, in order, hidden folders left out."""
    for path in sorted(checkout.rglob("*")):
        if path.suffix in SUFFIXES and path.is_file() and not any(p.startswith(".") for p in path.parts):
            yield path


def walk(checkout: Path, told: ToldFacts) -> Seen:
    """Return what check says about a checkout, each file in a call of its own."""
    seen = Seen(str(checkout))
    for path in scripts(checkout):
        name = str(path.relative_to(checkout))
        began = time.process_time()
        try:
            checked = check([str(path)], told)
        except UnknownSystemError:
            if PROGRAM.search(path.read_text(errors="replace")):
                seen.launches += 1
                seen.open.append((name, "no launch was found"))
            continue
        except RLDoctorError as error:
            seen.refused.append((name, str(error)))
            continue
        except Exception:  # noqa: BLE001  the benchmark counts them
            seen.stopped.append((name, traceback.format_exc(limit=-3)))
            continue
        seen.seconds += time.process_time() - began
        seen.files += 1
        seen.refused += [(name, str(error)) for error in checked.errors]
        seen.findings += [(name, finding) for finding in checked.report.findings]
        _count(seen, name, path, told)
    return seen


def _count(seen: Seen, name: str, path: Path, told: ToldFacts) -> None:
    if path.suffix in (".yaml", ".yml"):
        return
    document = sources.read(str(path), sources.Told(told.env, told.args))
    for world in facts.walk(document, told):
        if world.system in SYSTEMS:
            missing = _unknown(world)
            seen.launches += 1
            seen.resolved += not missing
            if missing:
                seen.open.append((name, missing))


def _unknown(world: Facts) -> str:
    every = [world.fact(concept) for concept in SIZES]
    return "; ".join(
        f"{fact.concept} ← {', '.join(fact.depends) or '?'}" for fact in every if fact.value is UNKNOWN
    )


def _told(pairs: Sequence[str]) -> ToldFacts:
    return ToldFacts(set=dict(pair.split("=", 1) for pair in pairs))


def _print(seen: Seen, severity: str) -> None:
    share = 100 * seen.resolved / seen.launches if seen.launches else 100.0
    counts = Counter(finding.severity for _, finding in seen.findings)
    print(
        f"{seen.checkout}: {seen.files} files, {1000 * seen.seconds / max(seen.files, 1):.0f} ms each, "
        f"{len(seen.stopped)} tracebacks, {len(seen.refused)} refused, "
        f"{seen.resolved} of {seen.launches} launches resolved ({share:.1f} %), "
        f"{counts['error']} errors, {counts['warning']} warnings, {counts['hint']} hints"
    )
    for name, text in (*seen.stopped, *seen.refused, *seen.open):
        print(f"  {name}: {text}")
    for name, finding in seen.findings:
        if finding.severity == severity:
            line = next((piece.line for piece in finding.evidence if piece.line), 0)
            print(f"  {severity} {finding.rule}: {name}:{line}: {finding.title}")


def main() -> int:
    """Print one line a checkout and what is behind its numbers; return how many tracebacks there were."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("checkouts", nargs="+", type=Path)
    words.add_argument("--set", action="append", default=[], metavar="CONCEPT=VALUE")
    words.add_argument("--json", type=Path)
    words.add_argument("--severity", default="error", choices=("error", "warning", "hint", "none"))
    asked = words.parse_args()
    every = [walk(checkout, _told(asked.set)) for checkout in asked.checkouts]
    for seen in every:
        _print(seen, asked.severity)
    if asked.json:
        rows = [
            {
                "checkout": seen.checkout,
                "file": name,
                "rule": f.rule,
                "severity": f.severity,
                "title": f.title,
            }
            for seen in every
            for name, f in seen.findings
        ]
        asked.json.write_text(json.dumps(rows, indent=1))
    return sum(len(seen.stopped) for seen in every)


if __name__ == "__main__":
    sys.exit(main())
