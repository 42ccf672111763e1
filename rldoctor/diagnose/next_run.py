"""What to switch on for the next run, where this one left too little behind to tell the cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from rldoctor import remedies
from rldoctor.facts import Facts
from rldoctor.rules import Index, Rule, Rung
from rldoctor.types import Event, Finding, Match, Remedy

if TYPE_CHECKING:
    from rldoctor.logs import LogReading

MISSING_EVIDENCE: Final = "missing-evidence"
NOT_TORCH: Final = "out-of-memory-in-jax"  # whose memory no allocator of torch holds
CRASHES: Final = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")
LOGPROB_GAP: Final = ("logprob_diff", "logprob_diff_max")


class Switch(Struct, frozen=True):
    """Something to switch on, and which settings do it."""

    title: str
    set: dict[str, Any]


RECORDER: Final = Switch(
    "The flight recorder: after the next time-out its dumps name the rank that did not come",
    {"env.TORCH_NCCL_TRACE_BUFFER_SIZE": "20000", "env.TORCH_NCCL_DUMP_ON_TIMEOUT": "1"},
)
SNAPSHOT: Final = Switch(
    "A memory snapshot, which shows what holds the memory at the peak", {"log.memory": True}
)
STACKS: Final = Switch(
    "faulthandler, which prints the Python stack of a crash", {"env.PYTHONFAULTHANDLER": "1"}
)
NCCL: Final = Switch(
    "NCCL's own warnings, which name the link or peer that failed", {"env.NCCL_DEBUG": "WARN"}
)
LOGPROBS: Final = Switch(
    "The engine's log-probabilities beside the trainer's: a gap between them shows up before the loss does",
    {"rollout.calculate_logprobs": True},
)


def hint(findings: Sequence[Finding], reading: LogReading, facts: Facts, rules: Index) -> Finding | None:
    """Return a hint with what to switch on, each as an edit; None if nothing is missing."""
    roots = [finding for finding in findings if finding.part == "root"]
    offered = {name for finding in roots for remedy in finding.remedies for name in remedy.set}
    wanted = [switch for switch in _missing(roots, reading) if not offered & set(switch.set)]
    if not roots or not wanted:
        return None
    found = _finding(roots[0])
    ladder = [remedy for switch in wanted for remedy in _climb(switch, found, facts, rules)]
    if not ladder:
        return None
    return Finding(
        **{**{name: getattr(found, name) for name in found.__struct_fields__}, "remedies": tuple(ladder)}
    )


def _missing(roots: Sequence[Finding], reading: LogReading) -> Iterator[Switch]:
    """Yield what would have told more about the roots."""
    kinds = {event.kind for event in _fatal(reading)}
    families = {finding.family for finding in roots}
    recorded = any(
        event.fields.get("flight_recorder") or event.fields.get("ranks_missing") for event in reading.events
    )
    if "collective_timeout" in kinds and families & {"collective_timeout", "stall"} and not recorded:
        yield RECORDER
    on_host = any(event.fields.get("device") in ("host", "cpu_limit") for event in _fatal(reading))
    on_torch = any(finding.family == "oom" and finding.rule != NOT_TORCH for finding in roots)
    if on_torch and not on_host and not any(_has_holders(event) for event in reading.events):
        yield SNAPSHOT
    crashed = any(
        event.fields.get("signal") in CRASHES and not event.fields.get("frames") for event in _fatal(reading)
    )
    died = families == {"process_death"} and any(finding.verdict != "restart" for finding in roots)
    if (crashed or died) and not reading.failures:
        yield STACKS
    if "connection_lost" in kinds and families & {"connection_lost", "hardware"}:
        yield NCCL
    measured = {sample.metric for sample in reading.samples}
    if "numeric" in families and not measured & set(LOGPROB_GAP):
        yield LOGPROBS


def _fatal(reading: LogReading) -> Iterator[Event]:
    return (event for event in reading.events if not (event.lines and reading.went_on(event.lines[-1])))


def _has_holders(event: Event) -> bool:
    """Say whether a snapshot was folded into an out-of-memory event: its lines have no number."""
    return event.kind == "out_of_memory" and any(not line.number for line in event.lines)


def _finding(root: Finding) -> Finding:
    return Finding(
        id=MISSING_EVIDENCE, rule=MISSING_EVIDENCE, subject=root.subject, severity="hint",
        confidence="certain", title="Evidence is missing; switch it on for the next run",
        explanation="It costs little and changes nothing that is learned.", evidence=(), part="hint",
        verdict="unsure", family=root.family, fingerprint=MISSING_EVIDENCE,
    )  # fmt: skip


def _climb(switch: Switch, found: Finding, facts: Facts, rules: Index) -> Iterator[Remedy]:
    """Yield the remedy of a switch, unless it is on already or the system has no word for it."""
    values = {name: ["const", value] for name, value in switch.set.items()}
    rule = Rule(
        id=MISSING_EVIDENCE, phase="cluster", severity="hint", title="", explanation="", references=(),
        family=found.family, verdict="unsure", on=(), remedies=(Rung(switch.title, "safe", set=values),),
    )  # fmt: skip
    yield from remedies.ladder(rule, Match(found), facts, rules)
