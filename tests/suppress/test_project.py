"""What a project's file may say, what it says of a finding, and every mistake of it at once."""

from datetime import date
from pathlib import Path

import pytest

from rldoctor.facts import ToldFacts
from rldoctor.suppress.project import Project, ProjectErrors, load, read
from rldoctor.types import Evidence, Finding

RULES = ("few-expert-ranks", "token-budget-inactive")
FILE = """\
# What our cluster is, and what we know better.
versions: {verl: 0.10, vllm: 0.11.0}
set: {cluster.gpus_per_node: 8, cluster.gpu_memory_gib: 141}
suppress:
- rule: few-expert-ranks
  reason: "the save takes 4 minutes, measured"
  until: 2030-06-30
  paths: [launch/*.sh, old]
- {rule: token-budget-inactive, reason: kept for the next release}
"""


def project(text: str = FILE, name: str = ".rldoctor.yaml") -> Project:
    return load(name, text.encode(), RULES)


def finding(rule: str, subject: str, *files: str) -> Finding:
    proof = tuple(Evidence("EP=1", file, 3) for file in files)
    return Finding(rule, rule, subject, rule, "error", "certain", "", proof)


def test_releases_keep_their_text_and_facts_are_words() -> None:
    found = project()
    assert found.versions == {"verl": "0.10", "vllm": "0.11.0"}
    assert found.set == {"cluster.gpus_per_node": "8", "cluster.gpu_memory_gib": "141"}
    assert "verl 0.10" in found.note() and "cluster.gpus_per_node=8" in found.note()


def test_what_a_person_tells_stands_above_the_project() -> None:
    told = project().told(ToldFacts(set={"cluster.gpus_per_node": "4"}, versions={"vllm": "0.9"}))
    assert told.set == {"cluster.gpus_per_node": "4", "cluster.gpu_memory_gib": "141"}
    assert told.versions == {"verl": "0.10", "vllm": "0.9"}
    launched = project().told(ToldFacts(versions={"": "0.6.1"}))
    assert launched.versions == {"": "0.6.1", "vllm": "0.11.0"}


def test_an_entry_is_for_its_rule_and_its_paths(tmp_path: Path) -> None:
    (tmp_path / ".rldoctor.yaml").write_text(FILE)
    here, today = read(tmp_path, RULES), date(2030, 6, 30)
    answered = [f"{tmp_path}/launch/moe/a.sh", f"{tmp_path}/old/deep/b.yaml"]
    assert all(here.entry_for(finding(RULES[0], path), today) for path in answered)
    shared = finding(RULES[0], "/elsewhere/c.sh", f"{tmp_path}/launch/model.sh")
    assert here.entry_for(shared, today)
    assert not here.entry_for(finding(RULES[0], f"{tmp_path}/new/a.sh"), today)
    assert not here.entry_for(finding("other-rule", answered[0]), today)
    assert here.entry_for(finding(RULES[1], f"{tmp_path}/new/a.sh"), today)


def test_an_entry_holds_on_its_last_day_and_no_longer() -> None:
    (entry, *_) = project().suppress
    assert not entry.expired(date(2030, 6, 30))
    assert entry.expired(date(2030, 7, 1))
    assert entry.line == 5


def test_one_that_still_holds_counts_before_one_that_is_over() -> None:
    rows = "- {rule: few-expert-ranks, reason: a, until: 2020-01-01}\n- {rule: few-expert-ranks, reason: b}\n"
    entry = project("suppress:\n" + rows).entry_for(finding(RULES[0], "a.sh"), date(2026, 1, 1))
    assert entry is not None and entry.reason == "b"


def test_every_mistake_is_told_with_place_and_nearest_word() -> None:
    text = """\
version: {verl: 0.9}
versions: {verll: 0.9}
set: {cluster.gpu: 8, cluster.nodes: many}
suppress:
- {rule: few-expert-rank, reason: x}
- {rule: few-expert-ranks}
- {rule: few-expert-ranks, reason: x, expires: 2030-01-01}
- {rule: few-expert-ranks, reason: x, until: next year}
"""
    with pytest.raises(ProjectErrors) as error:
        project(text)
    told = str(error.value).splitlines()
    assert [line.split(": ")[0] for line in told if line.startswith(".rldoctor")] == [
        f".rldoctor.yaml:{place}" for place in ("1:1", "2:12", "3:20", "3:38", "5:10", "6:3", "7:39", "8:46")
    ]
    text = "\n".join(told)
    for near in ("versions?", "verl?", "few-expert-ranks?", "has no reason", "2026-12-31"):
        assert near in text


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "suppress:\n- {rule: few-expert-ranks, reason: x}\n"]
)
def test_little_is_enough(text: str) -> None:
    assert project(text).note() == ""


@pytest.mark.parametrize("text", ["- a\n", "suppress: 3\n", "set: {a: [1\n", "\t- x"])
def test_what_is_no_such_file_is_one_clear_error(text: str) -> None:
    with pytest.raises(Exception, match=r"rldoctor\.yaml"):
        project(text)
