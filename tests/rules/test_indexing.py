from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec import structs

from rldoctor.expr import compile
from rldoctor.rules import Index, index, indexing, load_all
from rldoctor.rules.load import RuleFileErrors
from rldoctor.types import RLDoctorError

RULES = Path(__file__).parent.parent / "fixtures" / "rules"
STAGES, COLLECTIVE = "more-pipeline-stages-than-layers", "long-collective-in-rollout"
RETRIED = "requests-retried"


def test_triggers_are_found_by_what_notices_them() -> None:
    built = Index.of(load_all(RULES))
    assert built.ids == (COLLECTIVE, STAGES, RETRIED)
    (config,) = built.config
    assert (config.rule, config.position, config.severity, config.roles) == (
        STAGES,
        0,
        "error",
        ("policy", "critic"),
    )
    assert config.conditions == (load_all(RULES)[1].when,)
    (log,) = built.log[r"/num_layers \(\d+\)/"]
    assert (log.position, log.severity, len(log.conditions)) == (1, "warning", 2)
    assert built.log["number of layers"] == (log,)
    assert [entry.since for entry in built.events["collective_timeout"]] == [{"verl": "0.10"}]
    assert set(built.metrics) == {"rollout_time"}
    assert {r"/num_layers \(\d+\)/", "number of layers", "Retrying"} <= set(built.patterns)
    assert not {"/pipeline.{1,20}size/", "shutting down"} & set(built.patterns)  # sought around a hit


def test_a_body_comes_back_as_it_was_loaded() -> None:
    rules = load_all(RULES)
    built = Index.of(rules)
    for rule in rules:
        assert built.rule(rule.id) == structs.replace(rule, tests=())


def test_guards_are_the_simple_parts_that_must_hold() -> None:
    text = (
        "train.tp > 1 and (run.seed == 1 or ckpt.async_save) and train.pp * 2 > 3 and ckpt.format in ['hf']"
    )
    guards = indexing.guards([compile(text), compile("cluster.colocate"), compile("not ckpt.async_save")])
    assert guards == [["train.tp", ">", 1], ["ckpt.format", "in", ["hf"]], ["cluster.colocate", "!=", False]]


def test_an_unknown_rule_is_told_with_the_nearest() -> None:
    with pytest.raises(RLDoctorError, match=f"did you mean {STAGES}"):
        Index.of(load_all(RULES)).rule("more-pipeline-stages-than-layer")


def test_the_users_own_rules_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mine = tmp_path / "mine"
    shutil.copytree(RULES, mine)
    monkeypatch.setenv("RLDOCTOR_RULES", str(mine))
    shipped = {rule.id for rule in load_all()}
    assert set(index().ids) == shipped | {STAGES, COLLECTIVE, RETRIED}


def test_mistakes_in_the_users_own_rules_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "bad-thing.yaml").write_text("severity: errors\n")
    monkeypatch.setenv("RLDOCTOR_RULES", str(tmp_path))
    with pytest.raises(RuleFileErrors, match="1:11: unknown severity errors, did you mean error"):
        index()
    monkeypatch.setenv("RLDOCTOR_RULES", str(tmp_path / "absent"))
    with pytest.raises(RLDoctorError, match="RLDOCTOR_RULES: no such folder"):
        index()


def test_a_changed_rule_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mine = tmp_path / "mine"
    shutil.copytree(RULES, mine)
    monkeypatch.setenv("RLDOCTOR_RULES", str(mine))
    assert index().rule(STAGES).severity == "error"
    file = mine / "train" / f"{STAGES}.yaml"
    file.write_text(file.read_text().replace("severity: error", "severity: hint", 1))
    forget()
    assert index().rule(STAGES).severity == "hint"
    file.unlink()
    forget()
    assert STAGES not in index().ids


def forget() -> None:
    """Do what a new process does."""
    indexing._index.cache_clear()
