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
        (f"srun --ntasks=8 python3 {PPO}", "srun starts verl.trainer.main_ppo 8 times"),
        (f"srun --ntasks=1 python3 {PPO}", None),
        (f"python3 {PPO[3:]}", "There is no file verl.trainer.main_ppo"),
        (f"python3 {PPO.replace('main_ppo', 'main_ppo.py')}", "-m takes the name of a module"),
        (f"python3 {PPO.replace('trainer', 'trainers')}", "verl has no verl.trainers.main_ppo"),
    ],
)
def test_a_program_and_its_launcher(launch: str, said: str | None, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(f"set -x\n{launch}\n")
    found = [
        each for each in check([str(script)], ToldFacts()).report.findings if each.rule == "refused-setting"
    ]
    words = ("once a GPU", "is a rank", " times:", "module", "verl has no")
    told = [each.title for each in found if any(word in each.title for word in words)]
    assert ([title[: len(said)] for title in told] == [said]) if said is not None else not told
