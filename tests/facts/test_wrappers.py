"""Launchers that start a program as often as it does not want."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.check import check
from rldoctor.facts import ToldFacts

PPO = "-m verl.trainer.main_ppo algorithm.adv_estimator=grpo actor_rollout_ref.actor.use_dynamic_bsz=True"
SFT = "-m verl.trainer.sft_trainer data.train_files=/d/a.parquet model.path=Qwen/Qwen3-8B engine=fsdp"


@pytest.mark.parametrize(
    ("launch", "said"),
    [
        (f"torchrun --nproc_per_node=8 {PPO}", "torchrun starts verl.trainer.main_ppo once a GPU"),
        (f"accelerate launch {PPO}", "accelerate launch starts verl.trainer.main_ppo once a GPU"),
        (f"torchrun --nproc_per_node=1 {PPO}", None),
        (f"python3 {PPO}", None),
        (f"python3 {SFT}", "verl.trainer.sft_trainer is a rank"),
        (f"torchrun --nproc_per_node=8 {SFT}", None),
        (f"srun python3 {SFT}", None),
        (f"$LAUNCH {SFT}", None),
    ],
)
def test_a_program_and_its_launcher(launch: str, said: str | None, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(f"set -x\n{launch}\n")
    found = [
        each for each in check([str(script)], ToldFacts()).report.findings if each.rule == "refused-setting"
    ]
    told = [each.title for each in found if "once a GPU" in each.title or "is a rank" in each.title]
    assert ([title[: len(said)] for title in told] == [said]) if said is not None else not told
