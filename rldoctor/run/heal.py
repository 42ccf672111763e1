"""After a failure: what the engine of ``diagnose`` says, and the next cure that is allowed and untried."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor import edits
from rldoctor.run.config_file import Text, parse, with_values
from rldoctor.run.history import History, mark
from rldoctor.run.session import Options
from rldoctor.run.tuner import CONCEPT, KEY
from rldoctor.types import Edit, Finding, Remedy, Report

OUT_OF_MEMORY: Final = "out-of-memory-in-training"
CAUTION: Final = 16
IN_A_ROW: Final = 12
RESTARTS_IN_A_ROW: Final = 3
IN_ALL: Final = 30
FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "out_of_memory": ("oom",),
    "nan": ("numeric",),
    "worker_died": ("process_death",),
    "process_death": ("process_death",),
    "hang": ("stall",),
    "collective_timeout": ("stall", "collective_timeout"),
    "connection_lost": ("connection_lost",),
    "disk_full": ("storage",),
    "exception": ("code",),
}
LOST: Final = ("process_death",)  # a process or a raylet that is gone comes back with a new start
STUCK_SECONDS: Final = 2 * 3600.0


class Cure(Struct, frozen=True):
    """What to do about a finding: a new text of the configuration, or nothing but a new start."""

    finding: Finding
    title: str
    safety: str = "safe"
    set: Mapping[str, Any] = field(default_factory=dict)
    text: Text | None = None
    edits: tuple[Edit, ...] = ()
    steps_back: bool = False


def root(report: Report, ended_by: str | None) -> Finding | None:
    """Return the root of what ended the run; an illness that it had lived with is another root."""
    roots = {finding.id: finding for finding in report.findings if finding.part == "root"}
    families = FAMILIES.get(ended_by or "", ())
    for finding in report.findings:
        if finding.family in families or _shows(finding, ended_by):
            found = roots.get(finding.explained_by or finding.id)
            if found is not None:
                return found
    return next(iter(roots.values()), None)


def _shows(finding: Finding, kind: str | None) -> bool:
    """Say whether a finding's proof is an event of that kind."""
    return any(f'"kind": "{kind}"' in piece.text for piece in finding.evidence)


def choose(
    finding: Finding | None, history: History, options: Options, config: Text | None
) -> tuple[Cure | None, str]:
    """Return the next cure of a finding, or None and why there is none."""
    if finding is None:
        return None, "nothing that is known explains this end"
    spent = _spent(finding, history)
    if spent:
        return None, spent
    back = _step_back(finding, history, config)
    if back is not None:
        return back, ""
    remedy = next((each for each in finding.remedies if _is_allowed(each, finding, history, options)), None)
    if remedy is not None:
        return _edited(finding, remedy, config), ""
    if finding.verdict == "restart" or finding.family in LOST:
        if history.in_a_row[finding.rule] > RESTARTS_IN_A_ROW:
            return None, f"it came {history.in_a_row[finding.rule]} times in a row: a new start does not help"
        return Cure(finding, "start again from the newest checkpoint"), ""
    return None, _why_not(finding, options)


def _spent(finding: Finding, history: History) -> str:
    if history.failures > IN_ALL:
        return f"{history.failures} failures in all are enough"
    if history.in_a_row[finding.rule] > IN_A_ROW:
        return f"{history.in_a_row[finding.rule]} failures of this kind in a row are enough"
    if history.stuck_since is not None and time.time() - history.stuck_since > STUCK_SECONDS:
        return "no step further than before for two hours"
    return ""


def _is_allowed(remedy: Remedy, finding: Finding, history: History, options: Options) -> bool:
    allowed = ("safe", "unsafe") if options.allow_unsafe else ("safe",)
    untried = (finding.rule, mark(remedy.set)) not in history.tried
    return bool(remedy.edits) and remedy.safety in allowed and untried


def _edited(finding: Finding, remedy: Remedy, config: Text | None) -> Cure:
    text = None
    if config is not None:
        text = parse(edits.splice(config.data, remedy.edits), config.document.path)
    return Cure(finding, remedy.title, remedy.safety, remedy.set, text, remedy.edits)


def cautious(cure: Cure, floor: int, failed: int | None) -> Cure:
    """Return the cure with a sixteenth of the budget that is held to fit; ``failed`` tokens were too many.

    Climbing back is live and costs a few steps; a budget that fails again costs a whole start. Where the
    model holds not even the longest sample (``floor``) to fit, it counts less than that the run trained
    at all: then a sixteenth of what has failed is tried first.
    """
    budget = cure.set.get(CONCEPT)
    if cure.text is None or not isinstance(budget, int) or cure.finding.rule != OUT_OF_MEMORY:
        return cure
    if budget > floor:
        wanted, why = max(floor, budget // CAUTION), "a sixteenth of what is held to fit"
    else:
        wanted, why = max(floor, (failed or 0) // CAUTION), "a sixteenth of what has failed"
    if wanted == budget:
        return cure
    text = with_values(cure.text, {KEY: wanted})
    title = f"{cure.title}: {why}, to climb from there"
    return replace(cure, title=title, set={**cure.set, CONCEPT: wanted}, text=text)


def _step_back(finding: Finding, history: History, config: Text | None) -> Cure | None:
    """Return the last budget that was measured and fitted, where tuning has gone beyond it."""
    if finding.rule != OUT_OF_MEMORY or config is None:
        return None
    budget = config.settings.get(KEY)
    good = [kept for kept in history.kept if isinstance(budget, int) and kept < budget]
    if not good:
        return None
    text = with_values(config, {KEY: good[-1]})
    return Cure(
        finding, "Back to the token budget that fitted", set={KEY: good[-1]}, text=text, steps_back=True
    )


def _why_not(finding: Finding, options: Options) -> str:
    if any(each.edits and each.safety == "unsafe" for each in finding.remedies) and not options.allow_unsafe:
        return "what is left may change results or costs: --allow-unsafe lets me try it"
    if finding.verdict in ("code", "data", "hardware"):
        cause = "storage" if finding.family == "storage" else finding.verdict
        return f"no configuration cures this: the cause lies in the {cause}"
    return "no cure that I may apply is left"
