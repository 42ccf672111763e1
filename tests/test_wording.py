from collections.abc import Mapping
from typing import Any

import pytest

from rldoctor import expr, wording
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.matching import Scope
from rldoctor.types import Command, Document, Place, Role, Setting

EP = "actor_rollout_ref.actor.megatron.expert_model_parallel_size"


def facts(system: str, settings: Mapping[str, Any], kind: Any = "shell") -> Facts:
    place = Place("train.sh", 1, 1, 0, 1)
    made = tuple(Setting(key, value, "override", place, place) for key, value in settings.items())
    document = Document("train.sh", kind, ((Command("", made),),), {})
    return walk(document, ToldFacts(system=system))[0]


def verl(**more: Any) -> Facts:
    return facts("verl", {"actor_rollout_ref.actor.strategy": "megatron", EP: "2", **more})


def nobody() -> Facts:
    return walk(None, ToldFacts())[0]


def fill(template: str, of: Facts, role: Role = "policy", **bound: Any) -> str:
    bindings = {f"event.{name}": value for name, value in bound.items()}
    return wording.fill(template, Scope(of, role, bindings), of)


def test_a_concept_is_the_users_own_key_and_value() -> None:
    assert fill("{train.ep} is few", verl()) == "actor…expert_model_parallel_size=2 is few"


def test_a_default_is_said_as_it_would_be_written() -> None:
    assert fill("{train.tp}", verl()) == "actor…tensor_model_parallel_size=1"


def test_a_key_alone() -> None:
    assert fill("lower {key(train.ep)}", verl()) == "lower actor…expert_model_parallel_size"


def test_an_expression_is_its_value() -> None:
    assert fill("{train.ep * 4} ranks, {event.seconds} s", verl(), seconds=1.5) == "8 ranks, 1.5 s"


def test_doubled_braces_are_braces_and_line_breaks_are_spaces() -> None:
    assert fill("a {{x}}\n  {1 + 1}", verl()) == "a {x} 2"


def test_flags_are_written_with_a_space() -> None:
    megatron = facts("megatron", {"--expert-model-parallel-size": "2"})
    assert fill("{train.ep}", megatron) == "--expert-model-parallel-size 2"


def test_yaml_is_written_with_a_colon() -> None:
    assert fill(
        "{train.ep}", facts("verl", {"actor_rollout_ref.actor.strategy": "megatron", EP: 2}, "yaml")
    ).endswith("expert_model_parallel_size: 2")


def test_the_users_unit_is_kept() -> None:
    minutes = facts("megatron", {"--distributed-timeout-minutes": "30"})
    assert fill("{dist.timeout}", minutes) == "--distributed-timeout-minutes 30"
    assert fill("{dist.timeout // 60}", minutes) == "30"


def test_where_no_system_is_known_at_most_three_spellings_are_named() -> None:
    said = fill("{train.ep}", nobody())
    assert "--expert-model-parallel-size" in said
    assert 2 <= len(said.split(" / ")) <= 3


def test_a_value_that_hangs_on_something_says_so() -> None:
    place = Place("train.sh", 1, 1, 0, 1)
    settings = (
        Setting("actor_rollout_ref.actor.strategy", "megatron", "override", place),
        Setting(EP, "$EP", "override", place, state="unknown", depends=("EP",)),
    )
    unknown = walk(Document("t.sh", "shell", ((Command("", settings),),)), ToldFacts(system="verl"))[0]
    assert fill("{train.ep}", unknown) == "actor…expert_model_parallel_size=$EP"
    assert fill("{train.ep * 2}", unknown) == "?"


@pytest.mark.parametrize(
    ("key", "short"),
    [
        ("--tensor-model-parallel-size-of-something-long", "--tensor-model-parallel-size-of-something-long"),
        ("trainer.nnodes", "trainer.nnodes"),
        (EP, "actor…expert_model_parallel_size"),
    ],
)
def test_long_dotted_keys_are_shortened_to_their_telling_ends(key: str, short: str) -> None:
    assert wording.shorten(key) == short


def test_a_formula_is_told_with_the_users_keys() -> None:
    node = expr.compile("halve(batch.micro)")
    assert wording.formula(node, verl(), lambda name: name) == "half of the value"
    bounded = expr.compile("double(batch.micro, ceiling=64)")
    assert wording.formula(bounded, verl(), lambda name: name) == "twice the value (at most 64)"
    assert "expert_model_parallel_size * 2" in wording.formula(expr.compile("train.ep * 2"), verl(), str)


def test_a_command_keeps_its_lines() -> None:
    of = verl()
    assert wording.fill_lines("a {1 + 1}\nb", Scope(of), of) == "a 2\nb"


@pytest.mark.parametrize(
    ("value", "text"), [(True, "True"), (None, "null"), (0.30000000000000004, "0.3"), ([1, "a"], "[1, a]")]
)
def test_values_are_said_as_a_person_reads_them(value: Any, text: str) -> None:
    assert wording.say(value) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Nothing moved for {1 + 1} s in phase {train.ep * 2}", "Nothing moved for 2 s"),
        ("not finished (group {train.ep * 2}, number 3)", "not finished (number 3)"),
        ("not finished (group {train.ep * 2})", "not finished"),
        ("which group? in phase train", "which group? in phase train"),
        ("{train.ep * 2} is not even", "? is not even"),
    ],
)
def test_a_place_that_nobody_knows_is_left_out(template: str, text: str) -> None:
    place = Place("train.sh", 1, 1, 0, 1)
    settings = (
        Setting("actor_rollout_ref.actor.strategy", "megatron", "override", place),
        Setting(EP, "$EP", "override", place, state="unknown", depends=("EP",)),
    )
    unknown = walk(Document("t.sh", "shell", ((Command("", settings),),)), ToldFacts(system="verl"))[0]
    assert fill(template, unknown) == text


def test_what_a_missing_value_means_is_not_told_to_users() -> None:
    assert wording.meaning("model.num_experts") == "routed experts of a layer"
    assert wording.meaning("critic.train.tp") == "critic tensor parallel size"
