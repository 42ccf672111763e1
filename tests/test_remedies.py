from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rldoctor import edits, expr, remedies, sources
from rldoctor.check import check
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.rules import Index, Rule, Rung, Trigger
from rldoctor.types import Document, Finding, Match, Remedy, Role

SCRIPT = """\
export NCCL_DEBUG=INFO
python3 -m verl.trainer.main_ppo --config-name=ppo_megatron_trainer \\
    actor_rollout_ref.actor.strategy=megatron \\
    actor_rollout_ref.actor.megatron.expert_model_parallel_size=1 \\
    actor_rollout_ref.rollout.name=vllm \\
    actor_rollout_ref.rollout.enforce_eager=False \\
    trainer.n_gpus_per_node=8 trainer.nnodes=2
"""


def script(folder: Path, text: str = SCRIPT, name: str = "train.sh", system: str = "verl") -> Facts:
    path = folder / name
    path.write_text(text)
    return walk(sources.read(str(path)), ToldFacts(system=system))[0]


def nobody() -> Facts:
    return walk(None, ToldFacts())[0]


def rung(
    change: Mapping[str, str] | None = None, safety: Any = "safe", when: str | None = None, **how: Any
) -> Rung:
    return Rung(
        title=how.pop("title", "a cure"), safety=safety, when=expr.compile(when) if when else None,
        set={name: expr.compile(text) for name, text in (change or {}).items()}, **how,
    )  # fmt: skip


def rule(*rungs: Rung, when: str = "True", name: str = "bad-thing") -> Rule:
    return Rule(
        id=name, phase="train", severity="error", title="bad", explanation="", references=("x",),
        family="config", verdict="config", on=(Trigger("config"),), when=expr.compile(when), remedies=rungs,
    )  # fmt: skip


def match(role: Role = "policy", **bindings: Any) -> Match:
    finding = Finding("bad", "bad-thing", "train.sh", "bad", "error", "certain", "", (), role=role)
    return Match(finding, bindings={f"event.{name}": value for name, value in bindings.items()})


def ladder(
    facts: Facts, *rungs: Rung, of: Match | None = None, index: Index | None = None
) -> tuple[Remedy, ...]:
    return remedies.ladder(rule(*rungs), of or match(), facts, index)


def after(facts: Facts, remedy: Remedy) -> str:
    assert facts.document is not None
    (name,) = {edit.file for edit in remedy.edits}
    return edits.splice(facts.document.files[name], remedy.edits).decode()


def test_a_setting_is_replaced_in_the_users_own_words(tmp_path: Path) -> None:
    facts = script(tmp_path)
    (cure,) = ladder(facts, rung({"train.ep": "4"}))
    assert after(facts, cure) == SCRIPT.replace(
        "expert_model_parallel_size=1", "expert_model_parallel_size=4"
    )
    assert (cure.set, cure.safety, cure.command) == ({"train.ep": 4}, "safe", None)


def test_a_missing_setting_is_inserted(tmp_path: Path) -> None:
    facts = script(tmp_path)
    (cure,) = ladder(facts, rung({"train.tp": "2"}))
    assert "actor_rollout_ref.actor.megatron.tensor_model_parallel_size=2" in after(facts, cure)


def test_a_flag_is_added_and_taken_away(tmp_path: Path) -> None:
    text = "torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 2 --use-distributed-optimizer\n"
    facts = script(tmp_path, text, system="megatron")
    (on,) = ladder(facts, rung({"optim.nan_check": "False"}))
    assert "--no-check-for-nan-in-loss-and-grad" in after(facts, on)
    (off,) = ladder(facts, rung({"train.distributed_optimizer": "False"}))
    assert "--use-distributed-optimizer" not in after(facts, off)


def test_an_environment_variable_is_set_and_unset(tmp_path: Path) -> None:
    facts = script(tmp_path)
    (new,) = ladder(facts, rung({"env.TORCHINDUCTOR_FORCE_DISABLE_CACHES": "'1'"}))
    assert "TORCHINDUCTOR_FORCE_DISABLE_CACHES=1" in after(facts, new)
    (gone,) = ladder(facts, rung(unset=("env.NCCL_DEBUG",)))
    assert "NCCL_DEBUG" not in after(facts, gone)


def test_null_is_written_and_none_is_spent(tmp_path: Path) -> None:
    text = SCRIPT.replace(
        "trainer.nnodes=2", "trainer.nnodes=2 actor_rollout_ref.actor.megatron.expert_tensor_parallel_size=2"
    )
    facts = script(tmp_path, text)
    (cure,) = ladder(facts, rung({"train.etp": "'null'"}))
    assert "expert_tensor_parallel_size=null" in after(facts, cure)
    assert ladder(facts, rung({"train.etp": "None"})) == ()


def test_the_ladder_keeps_its_order_and_leaves_spent_rungs_out(tmp_path: Path) -> None:
    facts = script(tmp_path)
    cures = ladder(
        facts,
        rung({"train.ep": "1"}, title="in force"),
        rung({"train.ep": "2"}, title="not for this run", when="train.nodes == 7"),
        rung({"train.ep": "2"}, title="first"),
        rung({"mem.meta_init": "True"}, title="no word for it"),
        rung(safety="manual", title="by hand"),
    )
    assert [cure.title for cure in cures] == ["first", "by hand"]


def test_a_rung_with_an_unknown_condition_keeps_its_place_and_is_never_applied(tmp_path: Path) -> None:
    facts = script(tmp_path, SCRIPT.replace("nnodes=2", "nnodes=$NODES"))
    (cure,) = ladder(facts, rung({"train.ep": "2"}, when="train.nodes > 1"))
    assert (cure.safety, cure.edits) == ("manual", ())


def test_a_size_over_unknowns_shows_its_formula(tmp_path: Path) -> None:
    facts = script(tmp_path, SCRIPT.replace("nnodes=2", "nnodes=$NODES"))
    (cure,) = ladder(facts, rung({"train.ep": "train.nodes * 2"}, title="more"))
    assert cure.title == "more: actor…expert_model_parallel_size = (trainer.nnodes * 2)"
    assert (cure.edits, cure.command) == ((), None)


@pytest.mark.parametrize(
    ("safety", "word"),
    [("'safe' if train.ep == 1 else 'unsafe'", "safe"), ("'safe' if train.ep == 2 else 'unsafe'", "unsafe"),
     ("'safe' if event.x else 'unsafe'", "unsafe")],
)  # fmt: skip
def test_safety_may_hang_on_the_run_and_unknown_is_unsafe(tmp_path: Path, safety: str, word: str) -> None:
    (cure,) = ladder(script(tmp_path), rung({"train.ep": "4"}, safety=expr.compile(safety)))
    assert cure.safety == word


def test_a_change_that_another_rule_would_refuse_is_no_edit(tmp_path: Path) -> None:
    index = Index.of([rule(name="too-many-experts-apart", when="train.ep > 2")])
    facts = script(tmp_path)
    bad, good = ladder(
        facts, rung({"train.ep": "4"}, title="far"), rung({"train.ep": "2"}, title="near"), index=index
    )
    assert bad.edits == () and "too-many-experts-apart" in bad.title
    assert good.edits


def test_an_error_that_is_there_already_does_not_hinder(tmp_path: Path) -> None:
    index = Index.of([rule(name="always", when="train.nodes == 2")])
    (cure,) = ladder(script(tmp_path), rung({"train.ep": "4"}), index=index)
    assert cure.edits


def test_settings_of_a_log_become_words_to_add(tmp_path: Path) -> None:
    document = sources.read_text(SCRIPT, "run.log", "shell")
    log = Document("run.log", "log", document.worlds, {})
    (cure,) = ladder(
        walk(log, ToldFacts(system="verl"))[0], rung({"train.ep": "4", "env.NCCL_DEBUG": "'WARN'"})
    )
    assert cure.edits == ()
    assert cure.command == (
        "actor_rollout_ref.actor.megatron.expert_model_parallel_size=4\nexport NCCL_DEBUG=WARN"
    )


def test_without_a_system_the_known_spellings_are_named() -> None:
    (cure,) = ladder(nobody(), rung({"train.ep": "4"}))
    assert cure.command is not None
    assert "verl: actor_rollout_ref.actor.megatron.expert_model_parallel_size=4" in cure.command.splitlines()
    assert len(cure.command.splitlines()) <= 3


def test_a_misspelt_key_is_renamed_with_its_value(tmp_path: Path) -> None:
    facts = script(tmp_path, SCRIPT.replace("trainer.nnodes=2", "trainer.nodes=2"))
    found = match(key="trainer.nodes", nearest="trainer.nnodes")
    (cure,) = ladder(facts, rung(rename={"event.key": "event.nearest"}), of=found)
    assert after(facts, cure) == SCRIPT


def test_a_command_is_filled(tmp_path: Path) -> None:
    (cure,) = ladder(script(tmp_path), rung(safety="manual", command="convert --ep {train.ep * 2}"))
    assert cure.command == "convert --ep 2"


def test_a_role_changes_its_own_setting(tmp_path: Path) -> None:
    text = SCRIPT.replace(
        "trainer.nnodes=2", "trainer.nnodes=2 algorithm.adv_estimator=gae critic.strategy=megatron"
    )
    (cure,) = ladder(script(tmp_path, text), rung({"train.ep": "4"}), of=match("critic"))
    assert cure.set == {"critic.train.ep": 4}
    assert cure.edits[0].new.strip(" \\\n") == "critic.megatron.expert_model_parallel_size=4"


def test_new_keys_under_one_missing_parent_of_a_yaml_are_written_together(tmp_path: Path) -> None:
    text = "actor_rollout_ref:\n  actor:\n    strategy: megatron\ntrainer:\n  nnodes: 2\n"
    facts = script(tmp_path, text, "config.yaml")
    (cure,) = ladder(facts, rung({"train.tp": "2", "train.ep": "4"}))
    new = after(facts, cure)
    assert new == text.replace(
        "    strategy: megatron\n",
        "    strategy: megatron\n    megatron:\n      tensor_model_parallel_size: 2\n"
        "      expert_model_parallel_size: 4\n",
    )


def test_a_setting_that_says_it_already_is_no_edit(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(
        "python3 -m verl.trainer.main_ppo trainer.resume_mode=resume_path \\\n"
        "    trainer.resume_from_path=/c/global_step_1 \\\n"
        "    actor_rollout_ref.actor.use_dynamic_bsz=True trainer.resume_mode=auto\n"
    )
    found = check([str(path)], ToldFacts()).report.findings
    (finding,) = [each for each in found if each.rule == "refused-setting"]
    assert [edit.old for edit in finding.remedies[0].edits] == ["trainer.resume_mode=auto"]


def test_a_misspelt_section_of_a_yaml_gets_its_name_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "grpo.yaml"
    path.write_text(
        "experiment_name: a\ntrial_name: b\ncluster:\n  fileroot: /d\n  n_nodes: 1\n  n_gpus_per_node: 8\n"
        'rollout:\n  backend: "sglang:d4"\n  max_concurrent_rollouts: 8\n'
        "gconfig:\n  n_samples: 8\n  max_new_tokens: 64\nsglang:\n  mem_fraction_static: 0.8\n"
        'actor:\n  backend: "fsdp:d4"\n  path: /models/q\n'
        "  mb_spc:  # in tokens\n    n_mbs: 1\n    max_tokens_per_mb: 8192\n  dtype: bfloat16\n"
    )
    found = check([str(path)], ToldFacts()).report.findings
    strange = next(each for each in found if each.rule == "unknown-key")
    assert strange.title.endswith("did you mean actor.mb_spec?")
    edits.apply(strange.remedies[0].edits, {str(path): path.read_bytes()})
    assert "  mb_spec:  # in tokens\n    n_mbs: 1\n" in path.read_text()


def test_a_key_below_a_reference_is_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "ppo.yaml"
    path.write_text(
        "experiment_name: a\ntrial_name: b\ngconfig:\n  n_samples: 8\n"
        "actor:\n  backend: 'fsdp:d4'\n  path: /m\n  optimizer:\n    type: adamx\n"
        "critic:\n  backend: ${actor.backend}\n  optimizer: ${actor.optimizer}\n"
        "rollout:\n  backend: 'sglang:d4'\n"
    )
    found = check([str(path)], ToldFacts()).report.findings
    cures = {each.id: each.remedies[0] for each in found if each.rule == "unknown-choice"}
    assert [edit.new for edit in cures["unknown-choice:actor.optimizer.type"].edits] == ["type: adam"]
    below = cures["unknown-choice:critic.optimizer.type"]
    assert not below.edits and below.command == "critic.optimizer.type=adam"
