"""``rldoctor explain``: rules, and the words that ``--set`` takes."""

import pytest

from rldoctor.explain import explain
from rldoctor.types import RLDoctorError


def test_a_concept_is_explained_with_the_spelling_of_each_system() -> None:
    shown = explain("train.tp")
    assert shown.startswith("train.tp  (int, gpus)\ntensor parallel size\n")
    spelled = dict(row.split(maxsplit=1) for row in shown.splitlines() if row.startswith("  "))
    assert spelled["verl"] == "actor_rollout_ref.actor.megatron.tensor_model_parallel_size"
    assert spelled["slime"] == spelled["megatron"] == "--tensor-model-parallel-size"
    assert "told by:  --set train.tp=8\n" in shown


def test_a_concept_that_no_system_writes_can_still_be_told() -> None:
    shown = explain("batch.longest_sample")
    assert "written as:" not in shown
    assert "told by:  --set batch.longest_sample=8192\n" in shown


@pytest.mark.parametrize("group", ["cluster", "cluster."])
def test_a_group_lists_its_concepts_with_their_meaning(group: str) -> None:
    rows = explain(group).splitlines()
    assert all(row.startswith("cluster.") for row in rows)
    assert any(row.split(maxsplit=1) == ["cluster.gpus", "GPUs that exist"] for row in rows)


def test_a_rule_is_still_a_rule_and_another_word_an_error_with_the_nearest() -> None:
    assert explain("token-budget-inactive").startswith("token-budget-inactive  (warning, train")
    with pytest.raises(RLDoctorError, match="did you mean token-budget-inactive"):
        explain("token-budget-inactiv")
    with pytest.raises(RLDoctorError, match=r"did you mean cluster\.gpus"):
        explain("cluster.gpu")


@pytest.mark.parametrize("words", ["out of memory", "Out-of-Memory jax"])
def test_words_that_are_no_name_list_the_rules_that_have_them(words: str) -> None:
    shown = explain(words)
    assert "out-of-memory-in-jax" in shown.split()
    assert all("memory" in row for row in shown.splitlines())


def test_words_that_no_rule_has_are_an_error() -> None:
    with pytest.raises(RLDoctorError):
        explain("purple giraffes")
