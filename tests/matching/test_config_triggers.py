from hand_made import index_of, nobody, rule, trigger, verl
from msgspec.structs import replace

from rldoctor.matching import examine_config, match_config

EP = "actor_rollout_ref.actor.megatron.expert_model_parallel_size"


def test_a_rule_that_holds_quotes_the_users_keys_with_defaults() -> None:
    facts = verl({EP: "2"})
    (match,) = match_config(
        facts, index_of(rule(when="train.ep == 2 and train.pp == 1", title="{train.ep} is few"))
    )
    assert match.finding.title == "actor…expert_model_parallel_size=2 is few"
    assert (match.finding.confidence, match.finding.subject) == ("certain", "train.sh")
    written, default = match.finding.evidence
    assert (written.text, written.key, written.file, written.line) == (f"{EP}=2", EP, "train.sh", 4)
    assert default.key == "actor_rollout_ref.actor.megatron.pipeline_model_parallel_size"
    assert default.text == f"{default.key}=1 (default of verl 0.9)"
    assert (default.file, default.line) == (None, None)


def test_what_is_written_comes_before_defaults() -> None:
    (match,) = match_config(verl({EP: "2"}), index_of(rule(when="train.pp == 1 and train.ep == 2")))
    assert [piece.line for piece in match.finding.evidence] == [4, None]


def test_a_false_condition_says_nothing() -> None:
    assert match_config(verl({EP: "2"}), index_of(rule(when="train.ep > 2"))) == ()


def test_an_unknown_fact_keeps_the_rule_silent_and_is_told() -> None:
    outcome = examine_config(verl({EP: "$X"}), index_of(rule(when="train.ep > 2")))
    assert outcome.matches == ()
    assert [(silent.rule, silent.unknown) for silent in outcome.silent] == [("bad-thing", ("train.ep",))]


def test_without_a_system_everything_is_unknown() -> None:
    outcome = examine_config(nobody(), index_of(rule(when="train.ep > 2")))
    assert (outcome.matches, len(outcome.silent)) == ((), 1)


def test_a_role_is_judged_by_its_own_values() -> None:
    facts = verl({
        "algorithm.adv_estimator": "gae", EP: "2",
        "critic.megatron.expert_model_parallel_size": "8",
    })  # fmt: skip
    found = match_config(
        facts, index_of(rule(when="train.ep == 8", roles=("policy", "critic"), title="{train.ep}"))
    )
    assert [(m.finding.role, m.finding.id) for m in found] == [("critic", "bad-thing@critic")]
    assert found[0].finding.title == "critic.megatron.expert_model_parallel_size=8"


def test_a_role_that_the_run_does_not_have_is_not_judged() -> None:
    facts = verl({"algorithm.adv_estimator": "grpo", "critic.megatron.expert_model_parallel_size": "8"})
    assert match_config(facts, index_of(rule(when="train.ep == 8", roles=("policy", "critic")))) == ()


def test_a_role_does_not_repeat_what_only_the_policy_says() -> None:
    facts = verl({"algorithm.adv_estimator": "gae"})
    found = match_config(facts, index_of(rule(when="train.nodes == 1", roles=("policy", "critic"))))
    assert [match.finding.role for match in found] == ["policy"]


def test_releases_bound_a_rule() -> None:
    facts = verl({EP: "2"})
    old = rule("old", when="train.ep == 2", until={"verl": "0.5"})
    new = rule("new", when="train.ep == 2", since={"verl": "0.5"})
    elsewhere = rule("elsewhere", when="train.ep == 2", since={"slime": "0.1"})
    assert [m.finding.rule for m in match_config(facts, index_of(old, new))] == ["new"]
    assert [m.finding.rule for m in match_config(facts, index_of(elsewhere))] == ["elsewhere"]


def test_two_triggers_of_a_rule_make_one_finding() -> None:
    both = rule(on=(trigger("config", "train.ep == 2"), trigger("config", "train.pp == 1")))
    (match,) = match_config(verl({EP: "2"}), index_of(both))
    assert {piece.key for piece in match.finding.evidence} >= {EP}


def test_a_trigger_may_say_another_severity_and_title() -> None:
    early = rule(on=(trigger("config", "train.ep == 2", severity="warning", title="{key(train.ep)} is low"),))
    (match,) = match_config(verl({EP: "2"}), index_of(early))
    assert (match.finding.severity, match.finding.title) == (
        "warning",
        "actor…expert_model_parallel_size is low",
    )


def test_a_broken_rule_does_not_break_the_others() -> None:
    broken = rule("broken", when="train.ep == 2")
    broken = replace(broken, when=["no such node", 1])
    outcome = examine_config(verl({EP: "2"}), index_of(broken, rule("whole", when="train.ep == 2")))
    assert [match.finding.rule for match in outcome.matches] == ["whole"]
    assert "broken" in outcome.broken[0]
