"""Starters that are told more than there is, and programs with a table of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor import sources
from rldoctor.check import check
from rldoctor.facts import ToldFacts, walk
from rldoctor.types import Finding

SFT = "-m verl.trainer.sft_trainer model.path=Qwen/Qwen2.5-0.5B"
PPO = "python3 -m verl.trainer.main_ppo actor_rollout_ref.actor.use_dynamic_bsz=True"


def found(text: str, folder: Path, rule: str = "refused-setting") -> list[Finding]:
    path = folder / "run.sh"
    path.write_text(text)
    return [each for each in check([str(path)], ToldFacts()).report.findings if each.rule == rule]


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        (
            f"export CUDA_VISIBLE_DEVICES=0,1,2,3\ntorchrun --nproc_per_node=8 {SFT}\n",
            "--nproc_per_node 4, or CUDA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7",
        ),
        (
            f"export CUDA_VISIBLE_DEVICES=0,1\nray start --head --num-gpus 8\n{PPO}\n",
            "--num-gpus 2, or CUDA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7",
        ),
        (
            f"#SBATCH --gres=gpu:a100:4\ntorchrun --nproc_per_node=8 {SFT}\n",
            "#SBATCH --gres=gpu:a100:8, or --nproc_per_node 4",
        ),
        (
            "ray start --head --num-gpus 8 --dashboard-port=8266\n"
            f"ray job submit --address=http://127.0.0.1:8265 -- {PPO}\n",
            "--address=http://127.0.0.1:8266, or ray start --head --dashboard-port=8265",
        ),
    ],
)
def test_a_starter_is_told_what_there_is_not(text: str, cure: str, tmp_path: Path) -> None:
    (finding,) = found(text, tmp_path)
    assert finding.severity == "error"
    assert [each.title for each in finding.remedies] == [cure]


@pytest.mark.parametrize(
    "text",
    [
        f"export CUDA_VISIBLE_DEVICES=0,1,2,3\ntorchrun --nproc_per_node=4 {SFT}\n",
        f"export CUDA_VISIBLE_DEVICES=$MINE\ntorchrun --nproc_per_node=8 {SFT}\n",
        f"#SBATCH --gpus-per-node=8\ntorchrun --nproc_per_node=8 {SFT}\n",
        f"ray start --head --num-gpus 8\nray job submit --address=http://127.0.0.1:8265 -- {PPO}\n",
        f"ray start --head --num-gpus 8\nray job submit --address=http://head:8000 -- {PPO}\n",
    ],
)
def test_a_starter_that_fits_is_left_alone(text: str, tmp_path: Path) -> None:
    assert found(text, tmp_path) == []


def test_a_name_that_runs_into_a_word_is_told_from_its_variable(tmp_path: Path) -> None:
    (finding,) = found(f"{PPO} data.train_files=$HOMEdata/train.parquet\n", tmp_path, "variable-misspelt")
    assert "$HOMEdata" in finding.title
    assert finding.remedies[0].title == "$HOME in place of $HOMEdata"


def test_a_variable_of_the_environment_is_no_slip(tmp_path: Path) -> None:
    text = f"DATA=/d\n{PPO} data.train_files=$DATASET/train.parquet trainer.experiment_name=$HOME_NAME\n"
    assert found(text, tmp_path, "variable-misspelt") == []


def test_a_key_of_another_engine_is_none_of_the_chosen_one(tmp_path: Path) -> None:
    key = "engine.ulysses_sequence_parallel_size"
    (finding,) = found(f"torchrun {SFT} engine=megatron optim=megatron {key}=2\n", tmp_path, "unknown-key")
    assert key in finding.title
    assert found(f"torchrun {SFT} engine=fsdp {key}=2\n", tmp_path, "unknown-key") == []


def test_fine_tuning_has_no_concepts_of_a_rollout() -> None:
    (facts,) = walk(sources.read_text(f"torchrun --nproc_per_node=4 {SFT}\n", "run.sh", "shell"), ToldFacts())
    assert facts.value("rollout.engine") is None
    assert facts.value("train.gpus") == 4
    assert facts.value("train.backend") == "fsdp"


def test_each_launch_is_counted_by_its_own_starter() -> None:
    text = f"torchrun --nproc_per_node=1 {SFT}\ntorchrun --nproc_per_node=8 {SFT}\n"
    first, second = walk(sources.read_text(text, "run.sh", "shell"), ToldFacts())
    assert (first.value("train.gpus"), second.value("train.gpus")) == (1, 8)


def test_a_variable_that_nothing_sets_is_told_once(tmp_path: Path) -> None:
    text = (
        f"tp=2\n{PPO} data.train_files=$train_path data.val_files=$train_path trainer.nnodes=$SLURM_NNODES\n"
    )
    (finding,) = found(text, tmp_path, "variable-set-nowhere")
    assert "$train_path" in finding.title
    assert finding.severity == "warning"
    assert found(f"train_path=/d\n{text}", tmp_path, "variable-set-nowhere") == []
    (hint,) = found(f"{PPO} data.train_files=$DATA/a.parquet\n", tmp_path, "variable-set-nowhere")
    assert hint.severity == "hint"


@pytest.mark.parametrize(("tail", "broken"), [("", False), (",", True)])
def test_json_with_a_variable_in_it_is_still_read(tail: str, broken: bool, tmp_path: Path) -> None:
    json = '{\\"env_vars\\": {\\"MASTER_ADDR\\": \\"${MASTER_ADDR}\\"' + tail + "}}"
    text = f'ray job submit --address=http://127.0.0.1:8265 --runtime-env-json="{json}" -- {PPO}\n'
    assert bool(found(text, tmp_path, "override-torn-by-a-space")) is broken


@pytest.mark.parametrize("word", ["--trainer.nnodes=1", "--trainer.nnodes 1", "trainer.nnodes: 1"])
def test_an_override_dressed_as_something_else_is_told(word: str, tmp_path: Path) -> None:
    (finding,) = found(f"{PPO} trainer.n_gpus_per_node=8 {word}\n", tmp_path, "override-torn-by-a-space")
    assert "trainer.nnodes=1" in finding.remedies[0].title


@pytest.mark.parametrize("shown", ["0-3", "0 1 2 3", "0;1;2;3", "[0..3]"])
def test_visible_gpus_are_no_list(shown: str, tmp_path: Path) -> None:
    (finding,) = found(
        f"export CUDA_VISIBLE_DEVICES='{shown}'\ntorchrun --nproc_per_node=4 {SFT}\n", tmp_path
    )
    assert finding.remedies[-1].title == "CUDA_VISIBLE_DEVICES=0,1,2,3"


@pytest.mark.parametrize(("asked", "wrong"), [(8, True), (4, False)])
def test_a_launch_is_shown_fewer_gpus_than_the_machine_has(asked: int, wrong: bool, tmp_path: Path) -> None:
    file = tmp_path / "run.sh"
    launch = f"python3 -m verl.trainer.main_ppo trainer.n_gpus_per_node={asked} trainer.nnodes=1"
    file.write_text(f"export CUDA_VISIBLE_DEVICES=0,1,2,3\n{launch}\n")
    told = ToldFacts(set={"cluster.gpus_per_node": "8", "cluster.nodes": "1"})
    titles = [each.title for each in check([str(file)], told).report.findings]
    assert any("CUDA_VISIBLE_DEVICES shows it 4" in title for title in titles) is wrong
