from typing import Any

import pytest
from hand_made import index_of, line, nobody, reading, rule, trigger, verl

from rldoctor.facts import Facts
from rldoctor.matching import examine_log, match_log
from rldoctor.matching.log import typed
from rldoctor.rules import Rule
from rldoctor.types import UNKNOWN, Match

EP = "actor_rollout_ref.actor.megatron.expert_model_parallel_size"


def only(log: Any, *rules: Rule, facts: Facts | None = None) -> Match | None:
    found = match_log(log, facts or nobody(), index_of(*rules))
    assert len(found) <= 1
    return found[0] if found else None


def seen(when: str | None = None, **how: Any) -> Rule:
    return rule(when=when, on=(trigger("log", find=("timed out",), **how),))


def test_the_found_line_is_the_first_evidence_and_settings_follow() -> None:
    log = reading(line(7, "get timed out", rank=3, time=9.5), find=("timed out",))
    match = only(log, seen("train.ep == 2"), facts=verl({EP: "2"}))
    assert match is not None and match.finding.confidence == "certain"
    first, second = match.finding.evidence
    assert (first.text, first.file, first.line, first.rank, first.time) == (
        "get timed out",
        "run.log",
        7,
        3,
        9.5,
    )
    assert second.key == EP


def test_an_unknown_condition_makes_it_possible_and_a_false_one_silent() -> None:
    log = reading(line(7, "get timed out"), find=("timed out",))
    possible = only(log, seen("train.ep == 2"))
    assert possible is not None and possible.finding.confidence == "possible"
    assert only(log, seen("train.ep == 2"), facts=verl({EP: "4"})) is None


def test_captures_are_typed_and_bound() -> None:
    log = reading(line(7, "get timed out after 1,800 s on lane x"), find=("timed out",))
    slow = trigger("log", "match.seconds > 600", find=("timed out",), match=r"after (?P<seconds>[\d,]+) s")
    held = only(log, rule(title="waited {match.seconds} s", on=(slow,)))
    assert held is not None and held.finding.title == "waited 1800 s"


def test_a_line_that_does_not_fit_the_match_is_none() -> None:
    log = reading(line(7, "get timed out at once"), find=("timed out",))
    assert only(log, seen(match=r"after (?P<seconds>\d+) s")) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("2.50", 2.5),
        ("1e-3", 0.001),
        ("12,000", 12000),
        ("cuda:0", "cuda:0"),
        (None, UNKNOWN),
    ],
)
def test_captured_numbers(text: str | None, value: Any) -> None:
    assert typed(text) == value


def test_near_must_stand_within_the_lines_of_the_same_stream() -> None:
    near = seen(near=("Ray compiled graph",), within=5)
    close = reading(line(3, "Ray compiled graph starts"), line(7, "timed out"), find=("timed out",))
    match = only(close, near)
    assert match is not None
    assert [piece.text for piece in match.finding.evidence] == ["timed out", "Ray compiled graph starts"]
    assert (
        only(reading(line(1, "Ray compiled graph starts"), line(7, "timed out"), find=("timed out",)), near)
        is None
    )
    other = reading(
        line(3, "Ray compiled graph starts", rank=1), line(7, "timed out", rank=0), find=("timed out",)
    )
    assert only(other, near) is None
    assert only(other, seen(near=("Ray compiled graph",), within=5, same="run")) is not None


def test_all_near_patterns_are_needed_and_they_may_be_expressions() -> None:
    log = reading(line(3, "saving step 40"), line(7, "timed out"), find=("timed out",))
    assert only(log, seen(near=(r"/saving step \d+/",))) is not None
    assert only(log, seen(near=(r"/saving step \d+/", "wrote nothing"))) is None


def test_not_near_forbids() -> None:
    log = reading(line(6, "retrying"), line(7, "timed out"), find=("timed out",))
    assert only(log, seen(not_near=("retrying",))) is None
    assert only(log, seen(not_near=("giving up",))) is not None


def test_many_ranks_make_one_match_that_knows_them_all() -> None:
    lines = [line(number, "timed out", rank=number) for number in range(14)]
    match = only(reading(*lines, find=("timed out",)), seen())
    assert match is not None
    assert (len(match.lines), len(match.spread)) == (14, 14)
    assert len(match.finding.evidence) == 6


def test_a_line_before_further_steps_is_recovered() -> None:
    log = reading(line(3, "timed out"), line(9, "step:4 - loss:1"), find=("timed out",), steps=(9,))
    match = only(log, seen())
    assert match is not None and match.recovered


def test_a_fatal_hit_is_not_hidden_by_one_that_was_recovered() -> None:
    lines = [line(3, "timed out"), line(9, "step:4 - loss:1"), line(20, "timed out again")]
    match = only(reading(*lines, find=("timed out",), steps=(9,)), seen())
    assert match is not None and not match.recovered
    assert match.finding.evidence[0].line == 20


def test_a_certain_trigger_speaks_for_a_possible_one_of_the_same_rule() -> None:
    log = reading(line(3, "timed out"), line(5, "no answer"), find=("timed out", "no answer"))
    both = rule(on=(
        trigger("log", "train.ep == 2", find=("timed out",), title="maybe"),
        trigger("log", find=("no answer",), title="sure"),
    ))  # fmt: skip
    match = only(log, both)
    assert match is not None
    assert (match.finding.title, match.finding.confidence) == ("sure", "certain")
    assert {each.number for each in match.lines} == {3, 5}


def test_a_release_that_nobody_told_makes_it_possible() -> None:
    log = reading(line(3, "timed out"), find=("timed out",))
    match = only(log, rule(since={"verl": "0.5"}, on=(trigger("log", find=("timed out",)),)))
    assert match is not None and match.finding.confidence == "possible"


def test_a_broken_rule_does_not_break_the_others() -> None:
    log = reading(line(3, "timed out"), find=("timed out",))
    broken = rule("broken", on=(trigger("log", find=("timed out",), match="(unbalanced"),))
    outcome = examine_log(log, nobody(), index_of(broken, seen()))
    assert [match.finding.rule for match in outcome.matches] == ["bad-thing"]
    assert "broken" in outcome.broken[0]


def test_of_two_triggers_the_earlier_line_decides_and_the_other_stands_among_the_first() -> None:
    both = rule(on=(trigger("log", find=("peer gone",)), trigger("log", find=("disk full",))))
    late = [line(500 + n, "peer gone") for n in range(8)]
    match = only(reading(line(10, "disk full"), *late, find=("peer gone", "disk full")), both)
    assert match is not None
    assert [piece.text for piece in match.finding.evidence][:2] == ["disk full", "peer gone"]


def test_the_last_error_that_nccl_tells_stands_beside_its_code() -> None:
    log = reading(
        line(3, "NCCL error in NCCLUtils.hpp:219, internal error"),
        line(4, "ncclInternalError: Internal check failed."),
        line(5, "Last error:"),
        line(6, "Bootstrap : no socket interface found"),
        find=("NCCL error", "ncclInternalError"),
    )
    match = only(log, rule(on=(trigger("log", find=("NCCL error",)),)))
    assert match is not None
    assert [piece.text for piece in match.finding.evidence][1] == "Bootstrap : no socket interface found"
