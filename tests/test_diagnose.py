"""The story of diagnose on logs as people paste them: which config counts, what a failure lets out."""

from pathlib import Path

import pytest

from rldoctor import diagnose as module
from rldoctor import expr
from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.rules import Index, Rule, Trigger
from rldoctor.types import Finding, Report

LAUNCH = (
    "+ python3 -m verl.trainer.main_ppo --config-name=ppo_megatron_trainer "
    "actor_rollout_ref.actor.strategy=megatron "
    "actor_rollout_ref.actor.megatron.expert_model_parallel_size={ep} trainer.nnodes=2\n"
)
STEPS = "".join(f"step:{n} - actor/grad_norm:0.3 - actor/pg_loss:0.1\n" for n in range(1, 6))


def rule(name: str, when: str | None = None, *on: Trigger, **how: object) -> Rule:
    told = {
        "id": name, "phase": "train", "severity": "error", "title": "{train.ep}", "explanation": "",
        "references": ("x",), "family": "stall", "verdict": "config", "on": on or (Trigger("config"),),
    }  # fmt: skip
    return Rule(**{**told, "when": expr.compile(when) if when else None, **how})  # type: ignore[arg-type]


STUCK = rule("stuck", "train.ep < 8", Trigger("log", find=("save timed out",)), Trigger("config"))
OTHER = rule("other", "train.nodes == 2")


@pytest.fixture(autouse=True)
def own_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only the rules of this file count."""
    index = Index.of([STUCK, OTHER])
    monkeypatch.setattr(module, "index", lambda: index)


def report(folder: Path, text: str, config: str | None = None, **told: str) -> Report:
    log = folder / "run.log"
    log.write_text(text)
    return diagnose([str(log)], config, ToldFacts(**told))  # type: ignore[arg-type]


def found(of: Report) -> dict[str, Finding]:
    return {finding.rule: finding for finding in of.findings}


def test_of_several_configs_the_one_nearest_above_the_failure_counts_and_is_named(tmp_path: Path) -> None:
    text = LAUNCH.format(ep=1) + "works for me\n" * 5 + LAUNCH.format(ep=2) + "RuntimeError: save timed out\n"
    text += "try this:\n" + LAUNCH.format(ep=4)
    told = report(tmp_path, text)
    assert found(told)["stuck"].title == "actor…expert_model_parallel_size=2"
    assert "run.log:7" in told.notes[0]


def test_a_config_that_is_given_counts_more_than_one_that_is_printed(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text(LAUNCH.format(ep=4).removeprefix("+ "))
    told = report(tmp_path, LAUNCH.format(ep=2) + "save timed out\n", str(tmp_path / "train.sh"))
    assert found(told)["stuck"].title == "actor…expert_model_parallel_size=4"


def test_without_any_config_the_finding_is_possible_and_the_note_says_so(tmp_path: Path) -> None:
    told = report(tmp_path, "save timed out\n")
    assert found(told)["stuck"].confidence == "possible"
    assert "--config FILE" in told.notes[0]


def test_config_rules_speak_only_after_a_failure_and_only_as_hints(tmp_path: Path) -> None:
    healthy = report(tmp_path, LAUNCH.format(ep=2) + STEPS)
    assert (healthy.findings, healthy.verdict) == ((), "nothing")
    failed = found(report(tmp_path, LAUNCH.format(ep=2) + STEPS + "save timed out\n"))
    assert (failed["stuck"].part, failed["other"].part, failed["other"].severity) == ("root", "hint", "hint")


def test_a_rule_that_the_log_shows_is_not_told_twice(tmp_path: Path) -> None:
    told = report(tmp_path, LAUNCH.format(ep=2) + "save timed out\n")
    assert [finding.rule for finding in told.findings].count("stuck") == 1


def test_what_the_run_went_on_after_is_a_hint_and_no_failure(tmp_path: Path) -> None:
    told = report(tmp_path, LAUNCH.format(ep=2) + "save timed out\n" + STEPS)
    assert [(finding.rule, finding.part) for finding in told.findings] == [("stuck", "hint")]
    assert told.summary == "Nothing wrong found in 7 lines."


def test_the_summary_names_the_root_and_counts_what_follows(tmp_path: Path) -> None:
    told = report(tmp_path, LAUNCH.format(ep=2) + "save timed out\n")
    assert told.summary == "Most likely root cause: actor…expert_model_parallel_size=2."
    assert told.verdict == "config"


def test_a_few_lines_without_a_step_are_not_called_well_without_a_word(tmp_path: Path) -> None:
    assert report(tmp_path, "loading\nstill loading\n").summary.endswith("is this the log of the run?")
    assert report(tmp_path, STEPS).summary == "Nothing wrong found in 5 lines."
