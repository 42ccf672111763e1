"""References that come back to where they began."""

from rldoctor.facts import ToldFacts, walk
from rldoctor.facts.circles import circles
from rldoctor.sources import read_text

HEAD = "actor: {backend: 'fsdp:d4', path: /models/q}\ngconfig: {n_samples: 8}\nscheduler: {type: local}\n"


def told(text: str) -> list[str]:
    (found,) = walk(read_text(HEAD + text, "run.yaml", "yaml"), ToldFacts())
    return [event.fields["circle"] for event in circles(found)]


def test_a_circle_is_told_once_with_its_way_and_line() -> None:
    text = "trial_name: ${experiment_name}\nexperiment_name: ${stats_logger.trial_name}\n"
    text += "stats_logger: {trial_name: '${trial_name}'}\n"
    assert told(text) == ["trial_name → experiment_name → stats_logger.trial_name → trial_name"]
    (found,) = walk(read_text(HEAD + text, "run.yaml", "yaml"), ToldFacts())
    assert [event.lines[0].number for event in circles(found)] == [4]


def test_what_hangs_on_a_circle_is_not_told_again() -> None:
    text = "trial_name: ${experiment_name}\nexperiment_name: ${trial_name}\n"
    text += "saver: {trial_name: '${trial_name}'}\n"
    assert told(text) == ["trial_name → experiment_name → trial_name"]


def test_a_section_that_holds_itself() -> None:
    assert told("ref: {path: '${ref}'}\n") == ["ref.path → ref.path"]


def test_many_references_to_one_value_are_no_circle() -> None:
    names = [f"key{number}: ${{key{number + 1}}}" for number in range(40)]
    assert told("\n".join([*names, "key40: done", "other: ${key0}", ""])) == []


def test_the_environment_and_a_missing_key_are_no_circle() -> None:
    assert told("trial_name: ${oc.env:trial_name}\nfileroot: ${cluster.fileroot}\n") == []


def test_a_variable_of_the_shell_is_no_reference() -> None:
    words = "agg='${actor_rollout_ref.actor.agg}' actor_rollout_ref.actor.agg=${agg} trainer.nnodes=1"
    for line in ("agg=token-mean\n", ""):
        script = f"{line}python3 -m verl.trainer.main_ppo {words}\n"
        (found,) = walk(read_text(script, "run.sh", "shell"), ToldFacts())
        assert list(circles(found)) == []


def test_overrides_that_refer_to_one_another() -> None:
    words = "agg='${actor_rollout_ref.actor.agg}' 'actor_rollout_ref.actor.agg=${agg}' trainer.nnodes=1"
    (found,) = walk(read_text(f"python3 -m verl.trainer.main_ppo {words}\n", "run.sh", "shell"), ToldFacts())
    assert len(list(circles(found))) == 1
