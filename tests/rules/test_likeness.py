"""The known failure that an unknown one is most like."""

from __future__ import annotations

from rldoctor.rules import index
from rldoctor.rules.likeness import Likeness, build, words


def test_names_of_the_code_are_compared_in_parts_and_by_their_stems() -> None:
    assert list(words("NCCLError: failedToBind tensor_parallel_sizes of 51216")) == [
        "nccl",
        "error",
        "fail",
        "bind",
        "tensor",
        "parallel",
        "size",
        "51216",
    ]


def test_an_unknown_refusal_of_slurm_is_most_like_a_known_one() -> None:
    text = "srun: error: Unable to create step for job 5: Requested node herons are not to be had"
    like = index().likeness.nearest(text)
    assert like is not None
    assert (like.rule, like.share > 0.5) == ("job-step-does-not-start", True)
    strange = index().likeness.nearest(f"{text}: zorp quux fnord grault garply waldo")
    assert strange is not None
    assert strange.share < like.share


def test_what_shares_no_telling_word_is_like_nothing() -> None:
    like = index().likeness.nearest("zorp quux fnord grault garply waldo plugh xyzzy")
    assert like is None or like.share == 0


def test_neither_symptoms_nor_what_is_harmless_lends_a_cure() -> None:
    known = index()
    lending = [known.rule(name) for name in known.likeness.rules]
    assert lending
    assert all(rule.severity in ("error", "warning") and not rule.symptom for rule in lending)


def test_a_word_of_many_rules_tells_less_than_one_of_few() -> None:
    rules = [index().rule(name) for name in index().ids]
    telling = Likeness(**build(rules)).telling
    assert telling["error"] < telling["infiniband" if "infiniband" in telling else "srun"]


def test_what_every_traceback_begins_with_is_no_word() -> None:
    assert not list(words("Traceback (most recent call last):"))
