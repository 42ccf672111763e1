"""A key in the wrong place, and the many that are strangers only because of it."""

from pathlib import Path

from rldoctor.check import check
from rldoctor.facts import ToldFacts
from rldoctor.fix import fix

SCRIPT = """\
python3 -m verl.trainer.main_ppo \\
    actor_rollout_ref.actor.strategy=megatron \\
    actor_rollout_ref.actor.{engine}=megatron \\
    actor_rollout_ref.actor.megatron.tensor_model_parallel_size=2 \\
    actor_rollout_ref.actor.megatron.pipeline_model_parallel_size=2 \\
    actor_rollout_ref.actor.megatron.param_offload=True \\
    actor_rollout_ref.ref.megatron.tensor_model_parallel_size=2 \\
    actor_rollout_ref.actor.use_dynamic_bsz=True actor_rollout_ref.rollout.n=8 \\
    trainer.nnodes=1 trainer.n_gpus_per_node=8
"""
TOLD = ToldFacts(versions={"verl": "0.9"})


def unknown(path: str) -> list[str]:
    findings = check([path], TOLD).report.findings
    return [finding.id.partition(":")[2] for finding in findings if finding.rule == "unknown-key"]


def test_a_group_chosen_in_the_wrong_place_is_one_mistake_and_mending_it_keeps_the_others(
    tmp_path: Path,
) -> None:
    path = tmp_path / "train.sh"
    path.write_text(SCRIPT.format(engine="model_engine"))
    assert unknown(str(path)) == ["actor_rollout_ref.actor.model_engine"]
    fix([str(path)], TOLD, unsafe=True)
    text = path.read_text()
    assert "    model_engine=megatron \\\n" in text
    assert "actor_rollout_ref.actor.megatron.param_offload=True" in text
    assert unknown(str(path)) == []


def test_strangers_that_nothing_explains_are_all_told(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    path.write_text(SCRIPT.replace("megatron.", "megatrom.").format(engine="strategi"))
    assert len(unknown(str(path))) >= 4


def test_keys_of_another_configuration_are_one_mistake_whose_edit_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    path.write_text(SCRIPT.replace("    actor_rollout_ref.actor.{engine}=megatron \\\n", ""))
    report = check([str(path)], TOLD).report
    (found,) = [finding for finding in report.findings if finding.rule == "another-configuration-is-meant"]
    assert found.title == "ppo_trainer is launched, and 4 of the keys are those of ppo_megatron_trainer"
    assert unknown(str(path)) == []
    fix([str(path)], TOLD)
    assert path.read_text().endswith(
        "trainer.nnodes=1 trainer.n_gpus_per_node=8 \\\n    --config-name=ppo_megatron_trainer\n"
    )
    assert [each.rule for each in check([str(path)], TOLD).report.findings if each.severity == "error"] == []


def test_an_option_stands_beside_options_and_never_amid_overrides(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    text = SCRIPT.replace("    actor_rollout_ref.actor.{engine}=megatron \\\n", "")
    path.write_text(text.replace("main_ppo \\", "main_ppo --config-path=/opt/config \\"))
    fix([str(path)], TOLD)
    assert (
        "main_ppo --config-path=/opt/config \\\n    --config-name=ppo_megatron_trainer \\\n"
        in path.read_text()
    )


def test_the_name_of_a_configuration_with_a_slip_is_told_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    launch = "python3 -m verl.trainer.main_ppo --config-name={} trainer.nnodes=1 trainer.n_gpus_per_node=8\n"
    path.write_text(launch.format("ppo_megatron_traner"))
    fix([str(path)], TOLD, unsafe=True)
    assert path.read_text().startswith(launch.format("ppo_megatron_trainer").strip())


def test_a_configuration_of_ones_own_is_no_slip(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    for name in ("ppo_megatron_trainer", "our_recipe"):
        path.write_text(f"python3 -m verl.trainer.main_ppo --config-name={name} trainer.nnodes=1\n")
        assert "unknown-choice" not in {each.rule for each in check([str(path)], TOLD).report.findings}


def test_keys_of_chatlearns_other_back_end_are_one_wrong_template(tmp_path: Path) -> None:
    (tmp_path / "template").mkdir()
    (tmp_path / "template/grpo_megatron.yaml").write_text("runtime_args:\n  train_backend: megatron\n")
    script = tmp_path / "run.sh"
    script.write_text(
        "python chatlearn/entrypoint.py grpo --config-file template/grpo_megatron.yaml \\\n"
        "    models.policy_trainer.meta_init=True models.policy_trainer.groupgemm=True \\\n"
        "    models.policy_trainer.packing=True\n"
    )
    report = check([str(script)], ToldFacts()).report
    (found,) = (each for each in report.findings if each.rule in ("unknown-choice", "unknown-key"))
    assert (found.rule, found.evidence[0].key) == ("unknown-choice", "--config-file")
    assert [edit.new for edit in found.remedies[0].edits] == ["--config-file template/grpo_fsdp.yaml"]
