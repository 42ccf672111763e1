"""A misspelt key or word is one finding: what follows only from it is not told beside it."""

from pathlib import Path

from rldoctor.check import check
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

VERL = """python3 -m verl.trainer.main_ppo trainer.nnodes=1 trainer.n_gpus_per_node=8 \\
    actor_rollout_ref.model.path=Qwen/Qwen3-8B actor_rollout_ref.rollout.name=vllm \\
    data.train_files=/d/train.parquet data.val_files=/d/val.parquet data.train_batch_size=256 \\
    actor_rollout_ref.actor.ppo_mini_batch_size=64 actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4 \\
    actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4 actor_rollout_ref.rollout.n=8 \\
"""
SLIME = """python3 train.py --hf-checkpoint /models/Qwen3-4B --ref-load /models/Qwen3-4B_torch_dist \\
    --prompt-data /d/train.jsonl --input-key prompt --rm-type math --colocate --actor-num-nodes 1 \\
    --actor-num-gpus-per-node 8 --rollout-num-gpus-per-engine 2 --rollout-batch-size 32 \\
    --n-samples-per-prompt 8 --advantage-estimator grpo --global-batch-size 256 --num-rollout 100 \\
"""


def findings(tmp_path: Path, text: str) -> tuple[Finding, ...]:
    script = tmp_path / "run.sh"
    script.write_text(text)
    found = check([str(script)], ToldFacts()).report.findings
    return tuple(each for each in found if each.severity in ("error", "warning"))


def test_a_misspelt_estimator_is_not_a_run_with_a_critic(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, f"{VERL}    algorithm.adv_estimator=gropo\n")
    assert found.rule == "unknown-choice"
    assert [edit.new for edit in found.remedies[0].edits] == ["algorithm.adv_estimator=grpo"]


def test_a_misspelt_key_counts_as_given(tmp_path: Path) -> None:
    slip = VERL.replace("actor.ppo_micro_batch_size_per_gpu", "actor.ppo_micro_batch_size_per_gp")
    (found,) = findings(tmp_path, f"{slip}    algorithm.adv_estimator=grpo\n")
    assert found.rule == "unknown-key"


def test_a_second_mistake_is_told_beside_a_slip(tmp_path: Path) -> None:
    slip = VERL.replace("train_batch_size=256", "train_batch_size=251").replace("rollout.n=8", "rollout.n=3")
    found = findings(tmp_path, f"{slip}    algorithm.adv_estimator=gropo\n")
    assert {each.rule for each in found} > {"unknown-choice"}


def test_a_flag_that_is_ignored_is_as_bad_as_what_follows(tmp_path: Path) -> None:
    text = SLIME.replace("--num-rollout", "--num-rolout") + "    --lr 1e-6\n"
    found = {each.rule: each for each in findings(tmp_path, text)}
    assert found["unknown-key"].severity == "error"
    assert any("--num-rollout" in piece.text for piece in found["unknown-key"].evidence[1:])
    assert "run-without-an-end" not in found
