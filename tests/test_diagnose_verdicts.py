"""The last sentence of a diagnosis says what to do, and is a whole one however long the cure's title is."""

import pytest
from msgspec.structs import replace

from rldoctor.diagnose import verdicts
from rldoctor.logs import LogReading
from rldoctor.types import Evidence, Finding, Remedy, Verdict

NOTHING = LogReading((), {}, {})
KEYS = "(micro_batch_size_per_gpu / --micro-batch-size / train_micro_batch_size; per_device_size)"
ROOT = Finding(
    id="a", rule="r", subject="run.log", title="t", severity="error", confidence="possible",
    explanation="It was killed. By whom?", evidence=(Evidence("KeyError: 'x'", "run.log", 7),),
)  # fmt: skip
AGAIN = "; a restart as it is will fail again the same way"


def said(verdict: Verdict, *titles: str, rule: str = "r") -> str:
    remedies = tuple(Remedy(title, "manual") for title in titles)
    return verdicts.sentence([replace(ROOT, verdict=verdict, remedies=remedies, rule=rule)], {}, NOTHING)


@pytest.mark.parametrize(
    ("title", "end"),
    [
        ("Let all ranks do the same steps", "let all ranks do the same steps"),
        (f"Take a much smaller micro-batch of the policy {KEYS * 2}", "micro-batch of the policy"),
        ("word " * 60, "word …"),
        ("x" * 300, "x …"),
    ],
)
def test_a_long_cure_is_cut_where_a_clause_or_a_word_ends(title: str, end: str) -> None:
    sentence = said("unsure", title)
    assert sentence.startswith("not sure: ")
    assert sentence.endswith(end)
    assert len(sentence) < 180
    assert sentence.count("(") == sentence.count(")")


def test_a_restart_that_needs_something_first_says_so() -> None:
    assert (
        said("restart", "Look who sent the signal (dmesg)") == "restart, but first: look who sent the signal"
    )
    before = "Resume from the checkpoint before it (name its step)"
    assert said("restart", before) == "restart: resume from the checkpoint before it"
    assert said("restart") == "restart as it is: transient (It was killed)"


def test_code_and_data_say_what_to_mend_and_not_only_the_line_that_failed() -> None:
    rebuild = "Rebuild that extension for the installed torch (pip uninstall it)"
    known = "fix the code or what is installed: rebuild that extension for the installed torch" + AGAIN
    assert said("code", rebuild) == known
    assert said("code", rebuild, rule="unrecognised") == "fix the code: run.log:7: KeyError: 'x'" + AGAIN
    assert (
        said("data", "Bring the rows to the schema") == "fix the data: bring the rows to the schema" + AGAIN
    )
    assert said("data") == "fix the data: run.log:7: KeyError: 'x'" + AGAIN


def test_a_name_keeps_its_capitals() -> None:
    assert said("unsure", "NCCL_DEBUG=INFO shows more") == "not sure: NCCL_DEBUG=INFO shows more"


def test_what_no_setting_cures_is_a_change_of_the_setup() -> None:
    assert said("config", "A larger /dev/shm (docker)") == "change the setup: a larger /dev/shm" + AGAIN
    remedies = (Remedy("Think", "manual"), Remedy("Less", "unsafe", command="a=1\nb=2"))
    known = replace(ROOT, verdict="config", remedies=remedies)
    assert verdicts.sentence([known], {}, NOTHING) == "change the config: a=1; b=2" + AGAIN
