"""Composition of a user's own Hydra configuration: defaults list, groups, packages, choices, references."""

from pathlib import Path

import pytest

from rldoctor import sources
from rldoctor.check import check
from rldoctor.facts import Facts, ToldFacts, walk_known
from rldoctor.sources import hydra
from rldoctor.types import RLDoctorError

FILES = {
    "conf/run.yaml": """\
hydra:
  searchpath: [file://shared]
defaults:
  - ppo_megatron_trainer
  - model: qwen
  - optional data@data.val: small
  - sizes@_global_: wide
  - _self_
data: {train_batch_size: 128, max_prompt_length: 1024}
actor_rollout_ref:
  rollout: {prompt_length: "${lengths.prompt}"}
""",
    "conf/model/qwen.yaml": "# @package actor_rollout_ref.model\npath: Qwen/Qwen3-8B\n",
    "conf/model/llama.yaml": "# @package actor_rollout_ref.model\npath: meta-llama/Llama-3.1-8B\n",
    "shared/sizes/wide.yaml": """\
defaults: [base]
actor_rollout_ref: {actor: {megatron: {tensor_model_parallel_size: 8}}}
""",
    "shared/sizes/base.yaml": """\
lengths: {prompt: 512}
actor_rollout_ref: {actor: {megatron: {tensor_model_parallel_size: 1, pipeline_model_parallel_size: 2}}}
data: {train_batch_size: 7}
""",
}


def written(folder: Path, **more: str) -> Path:
    for name, text in {**FILES, **more}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "conf/run.yaml"


def last(found: hydra.Composed) -> dict[str, object]:
    return {each.key: each.value for each in found.settings}


def test_the_list_composes_in_its_order_with_packages_and_search_path(tmp_path: Path) -> None:
    found = hydra.composed(written(tmp_path), {})
    told = last(found)
    assert told["actor_rollout_ref.model.path"] == "Qwen/Qwen3-8B"
    assert told["data.train_batch_size"] == 128  # _self_ comes last
    assert told["actor_rollout_ref.actor.megatron.tensor_model_parallel_size"] == 8  # above its own list
    assert told["actor_rollout_ref.actor.megatron.pipeline_model_parallel_size"] == 2
    assert told["actor_rollout_ref.rollout.prompt_length"] == 512
    assert found.bases == ["ppo_megatron_trainer"]
    assert {Path(name).name for name in found.files} == {"run.yaml", "qwen.yaml", "wide.yaml", "base.yaml"}


def walked(folder: Path, words: str) -> Facts:
    script = folder / "run.sh"
    script.write_text(f"python3 -m verl.trainer.main_ppo --config-path=conf --config-name=run {words}\n")
    (found,) = walk_known(sources.read(str(script)), ToldFacts())
    return found


def test_a_command_chooses_a_group_and_stands_above_all(tmp_path: Path) -> None:
    written(tmp_path)
    found = walked(tmp_path, "model=llama data.train_batch_size=64")
    assert found.fact("model.path").value == "meta-llama/Llama-3.1-8B"
    assert found.fact("batch.prompts_per_step").value == 64
    assert found.fact("train.pp").value == 2
    place = found.fact("model.path").origin.place
    assert place is not None and place.file.endswith("conf/model/llama.yaml")


def test_the_base_that_is_not_here_gives_its_defaults(tmp_path: Path) -> None:
    written(tmp_path)
    assert walked(tmp_path, "").fact("train.backend").value == "megatron"
    written(
        tmp_path, **{"conf/run.yaml": FILES["conf/run.yaml"].replace("ppo_megatron_trainer", "ppo_trainer")}
    )
    assert walked(tmp_path, "").fact("train.backend").value == "fsdp"


def test_a_group_of_the_users_own_is_no_unknown_key(tmp_path: Path) -> None:
    written(tmp_path)
    walked(tmp_path, "model=llama")
    rules = {each.rule for each in check([str(tmp_path / "run.sh")], ToldFacts()).report.findings}
    assert "unknown-key" not in rules


@pytest.mark.parametrize(
    "defaults",
    [
        "[run, _self_]",
        "[{model: ../../../etc/passwd}]",
        "[{model: [qwen, llama]}]",
        "3",
        "[{model: null}, 7]",
        "[]",
    ],
)
def test_odd_lists_end(tmp_path: Path, defaults: str) -> None:
    path = written(tmp_path, **{"conf/run.yaml": f"defaults: {defaults}\ndata: {{train_batch_size: 3}}\n"})
    assert last(hydra.composed(path, {}))["data.train_batch_size"] == 3


def test_a_broken_group_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(RLDoctorError, match=r"qwen\.yaml:2"):
        hydra.composed(written(tmp_path, **{"conf/model/qwen.yaml": "a: [\n"}), {})


def test_what_hydra_keeps_of_a_run_points_to_the_resolved_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "outputs/.hydra"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        "actor_rollout_ref: {actor: {strategy: fsdp}}\ntrainer: {nnodes: 4}\n"
    )
    (folder / "overrides.yaml").write_text("- trainer.nnodes=4\n")
    with pytest.raises(RLDoctorError, match=r"config\.yaml"):
        sources.read(str(folder / "overrides.yaml"))
    (found,) = walk_known(sources.read(str(folder / "config.yaml")), ToldFacts())
    assert found.fact("train.nodes").value == 4


def test_a_configuration_is_checked_with_its_groups(tmp_path: Path) -> None:
    (found,) = walk_known(sources.read(str(written(tmp_path))), ToldFacts())
    assert found.fact("model.path").value == "Qwen/Qwen3-8B"
    assert found.fact("train.tp").value == 8
    assert found.fact("batch.prompts_per_step").value == 128
    assert found.fact("train.backend").value == "megatron"
    pair = found.setting("batch.prompts_per_step")
    assert pair is not None and pair[1].place is not None and pair[1].place.file.endswith("run.yaml")


def test_references_to_the_command_and_to_the_base_that_is_not_here(tmp_path: Path) -> None:
    text = """\
defaults: [ppo_trainer, _self_]
critic: {model: {path: "${actor_rollout_ref.model.path}"}}
algorithm: {adv_estimator: gae}
actor_rollout_ref:
  actor: {_target_: verl.workers.config.FSDPActorConfig, ppo_mini_batch_size: "${data.train_batch_size}"}
  rollout: {response_length: "${data.max_response_length}"}
"""
    written(tmp_path, **{"conf/run.yaml": text})
    found = walked(tmp_path, "actor_rollout_ref.model.path=Qwen/Qwen3-4B data.max_response_length=2048")
    assert found.fact("model.path", "critic").value == "Qwen/Qwen3-4B"
    assert found.fact("batch.prompts_per_step").value == 1024  # the base's own
    assert found.fact("batch.mini_prompts").value == 1024
    rules = [each.title for each in check([str(tmp_path / "run.sh")], ToldFacts()).report.findings]
    assert not any("_target_" in title for title in rules)


def test_a_list_within_a_group_goes_into_the_groups_package(tmp_path: Path) -> None:
    files = {
        "main.yaml": "defaults: [{actor@policy.actor: fast}, _self_]\nlr: 1\n",
        "actor/fast.yaml": "defaults:\n- actor\n- ../optim@optim: adam\n- ../optim@slow: adam\n"
        "- ../kl@_global_.kl: low\n- _self_\nspeed: 9\n",
        "actor/actor.yaml": "clip: 0.2\nspeed: 1\n",
        "optim/adam.yaml": "beta: 0.9\n",
        "kl/low.yaml": "coef: 0.1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = hydra.composed(tmp_path / "main.yaml", {})
    values = {each.key: each.value for each in found.settings if each.key != "defaults"}
    expected = {"policy.actor.clip": 0.2, "policy.actor.speed": 9, "policy.actor.optim.beta": 0.9}
    assert values == {**expected, "policy.actor.slow.beta": 0.9, "kl.coef": 0.1, "lr": 1}
    assert found.bases == []
