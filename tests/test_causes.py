from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace

from rldoctor import causes
from rldoctor.logs.failures import Failure, Frame, Link
from rldoctor.logs.progress import Progress
from rldoctor.types import Event, Finding, Identity, LogLine, Match, Severity


def at(
    number: int, text: str = "x", rank: int | None = None, time: float | None = None, file: str = "run.log"
) -> LogLine:
    return LogLine(file, number, text, Identity(rank=rank), time)


def match(rule: str, *lines: LogLine, **how: Any) -> Match:
    severity: Severity = how.pop("severity", "error")
    finding = Finding(
        id=rule, rule=rule, subject="run.log", title=rule, severity=severity,
        confidence=how.pop("confidence", "certain"), explanation="why", evidence=(),
        family=how.pop("family", "config"),
    )  # fmt: skip
    return Match(finding, lines, spread=tuple(line.who for line in lines), **how)


def failure(line: LogLine, name: str = "ValueError", start: LogLine | None = None, **how: Any) -> Failure:
    frames = (
        Frame("/home/me/reward.py", 12, "score"),
        Frame("/usr/lib/python3/site-packages/x/y.py", 3, "parse"),
    )
    return Failure((Link(name, "bad answer", line, frames),), line.who, start or line, **how)


def judge(
    matches: Sequence[Match], failures: Sequence[Failure] = (), events: Sequence[Event] = ()
) -> dict[str, Finding]:
    reading: Any = SimpleNamespace(
        hits={},
        failures=tuple(failures),
        subjects=("run.log", "node1.log"),
        events=tuple(events),
        went_on=lambda line: False,
        moves=Progress(),
        text=None,
        progress=(),
        total_lines=1000,
    )
    return {finding.rule: finding for finding in causes.explain(matches, reading)}


def order(matches: Sequence[Match], failures: Sequence[Failure] = ()) -> list[tuple[str, str]]:
    return [(finding.rule, finding.part) for finding in judge(matches, failures).values()]


def test_a_cause_explains_what_it_lists_and_comes_first() -> None:
    timeout = match("nccl-timeout", at(1, rank=0), at(2, rank=1), family="collective_timeout", symptom=True)
    oom = match("oom", at(10, rank=3), family="oom", explains=("collective_timeout",))
    found = judge([timeout, oom])
    assert list(found) == ["oom", "nccl-timeout"]
    assert (found["nccl-timeout"].part, found["nccl-timeout"].explained_by) == ("consequence", "oom")
    assert found["nccl-timeout"].explanation == "2 lines on 2 ranks"


def test_what_came_long_before_is_not_explained() -> None:
    early = match("nccl-timeout", at(1, time=100.0), family="collective_timeout")
    late = match("oom", at(900, time=400.0), family="oom", explains=("collective_timeout",))
    assert judge([early, late])["nccl-timeout"].part == "root"


def test_clock_skew_of_two_nodes_is_forgiven() -> None:
    effect = match("nccl-timeout", at(1, time=100.0), family="collective_timeout")
    cause = match("oom", at(3, time=103.0, file="node1.log"), family="oom", explains=("collective_timeout",))
    assert judge([effect, cause])["nccl-timeout"].part == "consequence"


def test_of_two_that_explain_each_other_the_earlier_is_the_cause() -> None:
    first = match("actor-died", at(5), family="process_death", explains=("connection_lost",))
    then = match("peer-lost", at(9), family="connection_lost", explains=("process_death",))
    found = judge([then, first])
    assert (found["actor-died"].part, found["peer-lost"].explained_by) == ("root", "actor-died")


def test_a_longer_cycle_still_has_one_root() -> None:
    ring = [
        match("a", at(1), family="oom", explains=("stall",)),
        match("b", at(2), family="stall", explains=("storage",)),
        match("c", at(3), family="storage", explains=("oom",)),
    ]
    found = judge(ring)
    assert [f.rule for f in found.values() if f.part == "root"] == ["a"]
    assert found["c"].explained_by == "a"


def test_rules_that_claim_one_line_compete_and_losers_are_hints() -> None:
    line = at(7)
    sure = match("sure", line)
    maybe = match("maybe", line, confidence="possible", conditions=9)
    vague = match("vague", line, symptom=True, conditions=9)
    knows_more = match("knows-more", line, conditions=3)
    assert order([vague, maybe, sure, knows_more])[0] == ("knows-more", "root")
    found = judge([vague, maybe, sure, knows_more])
    assert {(found[name].part, found[name].severity) for name in ("sure", "maybe", "vague")} == {
        ("hint", "hint")
    }


def test_a_symptom_is_root_only_if_nothing_else_is() -> None:
    symptom = match("killed", at(3), symptom=True)
    assert order([symptom]) == [("killed", "root")]
    assert judge([symptom, match("disk-full", at(1))])["killed"].part == "hint"


def test_process_death_comes_before_its_peers_timeouts() -> None:
    timeout = match("timeout", at(1), family="collective_timeout")
    death = match("death", at(2), family="process_death")
    assert [rule for rule, _ in order([timeout, death])] == ["death", "timeout"]


def test_what_the_run_survived_is_at_most_a_hint() -> None:
    found = judge([match("retry", at(3), recovered=True)])
    assert (found["retry"].part, found["retry"].severity) == ("hint", "hint")
    assert found["retry"].explanation.startswith("The run went on after it.")


def test_harmless_rules_take_lines_away_from_symptoms_and_from_unrecognised() -> None:
    noise = match("noise", at(4), severity="harmless")
    symptom = match("loud", at(4), symptom=True)
    assert judge([noise, symptom], [failure(at(4))]) == {}


def test_an_unknown_first_failure_is_reported_with_frames_and_words_to_search_for() -> None:
    lines = [at(40, "Traceback (most recent call last):"), at(47, "ValueError: bad answer", rank=2)]
    found = judge([], [failure(lines[1], start=lines[0])])["unrecognised"]
    assert (found.part, found.severity) == ("root", "error")
    assert found.evidence[0].text == "ValueError: bad answer" and found.evidence[0].line == 47
    assert "score (/home/me/reward.py:12)" in found.explanation
    assert "parse (/usr/lib/python3/site-packages/x/y.py:3)" in found.explanation
    assert any("ValueError bad answer" in remedy.title for remedy in found.remedies)


def test_an_unknown_failure_explains_the_timeouts_of_the_other_ranks() -> None:
    timeouts = match("nccl-timeout", at(60, rank=1), family="collective_timeout", symptom=True)
    found = judge([timeouts], [failure(at(47))])
    assert found["nccl-timeout"].explained_by == "unrecognised"


def test_a_failure_that_a_rule_claims_or_the_run_survived_is_not_unrecognised() -> None:
    claimed = failure(at(47), start=at(40))
    assert list(judge([match("known", at(44))], [claimed])) == ["known"]
    assert judge([], [failure(at(3), recovered=True), failure(at(4), ignored=True)]) == {}


def test_a_known_cause_hides_unknown_failures_after_it_and_outranks_those_before() -> None:
    known = match("oom", at(500), family="oom")
    assert list(judge([known], [failure(at(600))])) == ["oom"]
    assert order([known], [failure(at(20))]) == [("oom", "root"), ("unrecognised", "hint")]


def test_config_matches_have_no_lines_and_stay_hints() -> None:
    found = judge([match("bad-size"), match("oom", at(5))])
    assert (found["bad-size"].part, found["bad-size"].severity) == ("hint", "hint")


def test_an_exception_that_only_reports_another_process_yields_to_how_that_one_ended() -> None:
    killed = Event("process_death", {"signal": "SIGKILL"}, lines=(at(50, "failed (exitcode: -9)"),))
    reset = failure(at(40, "RuntimeError: Connection reset by peer"), "RuntimeError")
    reset = replace(reset, chain=(replace(reset.chain[0], message="Connection reset by peer"),))
    report = failure(at(60, "ChildFailedError: x"), "torch.distributed.ChildFailedError")
    found = judge([], [report, reset], [killed])["unrecognised"]
    assert found.evidence[0].line == 50 and "SIGKILL" in found.title


def test_a_real_exception_comes_before_the_deaths_that_follow() -> None:
    ended = Event("process_death", {"signal": "SIGTERM"}, lines=(at(10, "failed (exitcode: -15)"),))
    assert judge([], [failure(at(40, "ValueError: x"))], [ended])["unrecognised"].evidence[0].line == 40


def test_an_event_that_no_rule_knows_is_reported_too() -> None:
    full = Event("disk_full", {}, lines=(at(9, "No space left on device"),))
    assert judge([], [], [full])["unrecognised"].evidence[0].text == "No space left on device"
    assert "unrecognised" not in judge([match("disk", at(9))], [], [full])


def test_a_failure_of_a_kind_that_the_run_survived_before_is_not_what_ended_it() -> None:
    survived, last = failure(at(10), recovered=True), failure(at(90))
    assert judge([], [survived, last]) == {}


def test_what_hangs_on_nothing_known_yields_even_to_a_symptom_and_is_not_shown() -> None:
    line = at(5)
    guess = match("guess", line, confidence="possible", explains=("collective_timeout",))
    told = match("nccl-timeout", line, family="collective_timeout", symptom=True)
    assert order([guess, told]) == [("nccl-timeout", "root")]
    known = replace(guess, conditions=1)
    assert order([known, told]) == [("guess", "root"), ("nccl-timeout", "consequence")]


def test_an_unknown_exception_explains_the_death_that_a_rule_tells() -> None:
    death = match("killed", at(60), family="process_death")
    found = judge([death], [failure(at(47))])
    assert (found["unrecognised"].part, found["killed"].explained_by) == ("root", "unrecognised")


def test_a_guess_does_not_hide_what_really_happened() -> None:
    guess = match("guess", at(60), family="process_death", confidence="possible")
    killed = Event("process_death", {"signal": "SIGKILL"}, lines=(at(60, "exitcode: -9"),))
    assert list(judge([guess], [], [killed])) == ["unrecognised"]


def test_a_refused_connection_that_grew_into_what_a_rule_knows_is_no_root_of_its_own() -> None:
    refused = Link("ConnectionRefusedError", "[Errno 111] Connection refused", at(3), ())
    known = Link("ConnectionError", "Failed to connect to Ray at address: http://x", at(9), ())
    grown = Failure((refused, known), at(3).who, at(1))
    assert list(judge([match("ray-head-unreachable", at(9), family="connection_lost")], [grown])) == [
        "ray-head-unreachable"
    ]
    assert "unrecognised" in judge([match("symptom", at(9), symptom=True)], [grown])


def test_an_exception_without_words_that_grew_into_what_a_rule_knows_is_no_root_of_its_own() -> None:
    bare = Link("TimeoutError", "", at(3), ())
    known = Link("TimeoutError", "RPC call to sample_tokens timed out.", at(9), ())
    grown = Failure((bare, known), at(3).who, at(1))
    told = [match("engine-call-times-out", at(9), family="stall")]
    assert list(judge(told, [grown])) == ["engine-call-times-out"]
    check = Failure((replace(bare, name="AssertionError"), known), at(3).who, at(1))
    assert "unrecognised" in judge(told, [check])


def test_who_names_another_explains_it_though_that_one_lists_its_family() -> None:
    general = match("a-general", at(5), family="code", explains=("code",))
    special = match("b-special", at(5), family="code", explains=("code", "a-general"))
    assert order([general, special]) == [("b-special", "root"), ("a-general", "consequence")]


def test_the_last_line_of_a_message_explains_its_first_when_it_names_it() -> None:
    general = match("a-general", at(3), family="code", explains=("code",))
    special = match("b-special", at(6), family="code", explains=("a-general",))
    assert order([general, special]) == [("b-special", "root"), ("a-general", "consequence")]


def test_a_family_that_came_earlier_explains_who_names_it() -> None:
    general = match("a-general", at(3), family="code", explains=("code",))
    special = match("b-special", at(9), family="code", explains=("code", "a-general"))
    assert order([general, special]) == [("a-general", "root"), ("b-special", "consequence")]
