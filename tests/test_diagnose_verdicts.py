"""The last sentence of a diagnosis is a whole one, however long the cure's title is."""

import pytest

from rldoctor.diagnose import verdicts
from rldoctor.types import Evidence, Finding, Remedy

LISTED = "(micro_batch_size_per_gpu / --micro-batch-size / train_micro_batch_size; with Transformers per_device_size)"


def unsure(title: str) -> Finding:
    return Finding(
        id="a", rule="r", subject="run.log", title="t", severity="error", confidence="possible", explanation="w",
        evidence=(Evidence("e"),), remedies=(Remedy(title, "manual"),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("title", "end"),
    [
        ("Let all ranks do the same steps", "do the same steps"),
        (
            f"Fewer tokens at a time - a smaller micro-batch of the policy {LISTED} or budget {LISTED}",
            "of the policy …",
        ),
        (
            "Look at what the ranks did last" + ", then at the next one of them" * 9,
            "then at the next one of them …",
        ),
        ("word " * 60, "word …"),
        ("x" * 300, "x …"),
    ],
)
def test_a_long_cure_is_cut_where_a_clause_or_a_word_ends(title: str, end: str) -> None:
    said = verdicts.sentence([unsure(title)], {}, None)  # type: ignore[arg-type]
    assert said.startswith("not sure: ")
    assert said.endswith(end)
    assert len(said) < 180
    assert said.count("(") == said.count(")")
