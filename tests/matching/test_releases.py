"""What a release that is only assumed refuses, and an older one that fits as well does not mind."""

from pathlib import Path

from rldoctor.check import check
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

VERL = (
    "python3 -m verl.trainer.main_ppo trainer.nnodes=1 trainer.n_gpus_per_node=8 \\\n"
    "    algorithm.adv_estimator=grpo actor_rollout_ref.model.path=Qwen/Qwen3-8B \\\n"
    "    actor_rollout_ref.rollout.name=vllm \\\n"
)
SLIME = "python3 train.py --hf-checkpoint /models/Qwen3-4B --rollout-batch-size 32 --num-rollout 100 \\\n"


def finding(tmp_path: Path, text: str, rule: str, **versions: str) -> Finding:
    script = tmp_path / "run.sh"
    script.write_text(text)
    told = ToldFacts(versions=versions)
    (found,) = (each for each in check([str(script)], told).report.findings if each.rule == rule)
    return found


def test_what_an_older_release_does_not_mind_is_a_possible_warning_that_names_it(tmp_path: Path) -> None:
    words = f"{VERL}    actor_rollout_ref.rollout.load_format=dummy_dtensor\n"
    found = finding(tmp_path, words, "refused-setting")
    assert (found.severity, found.confidence) == ("warning", "possible")
    assert any(text.endswith(" does not mind") and "0.9: 0." in text for text in found.assumes)


def test_the_same_is_an_error_where_the_release_is_told(tmp_path: Path) -> None:
    words = f"{VERL}    actor_rollout_ref.rollout.load_format=dummy_dtensor\n"
    found = finding(tmp_path, words, "refused-setting", verl="0.9")
    assert (found.severity, found.confidence) == ("error", "certain")


def test_what_every_release_refuses_is_an_error(tmp_path: Path) -> None:
    words = f"{VERL}    actor_rollout_ref.rollout.load_format=dummy_dtensor trainer.nnods=1\n"
    found = finding(tmp_path, words, "unknown-key")
    assert (found.severity, found.confidence) == ("error", "certain")


def test_a_value_that_upstream_removed_by_name_stays_an_error_and_is_only_possible(tmp_path: Path) -> None:
    found = finding(tmp_path, f"{VERL}    actor_rollout_ref.rollout.mode=sync\n", "unknown-choice")
    assert (found.severity, found.confidence) == ("error", "possible")
    assert any("does not mind" in text for text in found.assumes)


def test_a_back_end_that_slime_dropped(tmp_path: Path) -> None:
    found = finding(tmp_path, f"{SLIME}    --train-backend fsdp\n", "unknown-choice")
    assert (found.severity, found.confidence) == ("warning", "possible")
    told = finding(tmp_path, f"{SLIME}    --train-backend fsdp\n", "unknown-choice", slime="0.3.1")
    assert told.severity == "error"


def test_a_program_that_moved_out_of_the_repository_has_keys_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    words = "reward.reward_manager.name=dapo reward.overlong_buffer.enable=True"
    program = "python3 -m recipe.dapo.main_dapo actor_rollout_ref.model.path=/m"
    script.write_text(f"{program} {words}\n")
    found = check([str(script)], ToldFacts()).report.findings
    assert [each.title for each in found if each.rule == "unknown-key"] == []
    script.write_text(f"{program} trainer.nnods=1\n")
    found = check([str(script)], ToldFacts()).report.findings
    assert "unknown-key" in [each.rule for each in found if each.severity == "error"]


def test_the_key_that_rules_the_newest_release_out_is_named(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    old = "actor_rollout_ref.rollout.use_fire_sampling=False"
    script.write_text(f"{VERL}    {old} trainer.nnods=1\n")
    (found,) = (
        each for each in check([str(script)], ToldFacts()).report.findings if each.rule == "unknown-key"
    )
    said = (
        "verl 0.4 (newest that the keys seen allow: 0.9 has no actor_rollout_ref.rollout.use_fire_sampling)"
    )
    assert said in found.assumes
