"""Arguments that never reach a launch because a line does not go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.check import check
from rldoctor.facts import ToldFacts, UnknownSystemError
from rldoctor.types import Finding

HEAD = "python3 -m verl.trainer.main_ppo actor_rollout_ref.actor.use_dynamic_bsz=True"


def cut(text: str, folder: Path) -> list[Finding]:
    path = folder / "run.sh"
    path.write_text(text)
    found = check([str(path)], ToldFacts()).report.findings
    return [finding for finding in found if finding.rule == "arguments-cut-off"]


def test_a_space_after_the_backslash_is_named_with_its_line(tmp_path: Path) -> None:
    text = f"set -x\n{HEAD} \\ \n    data.train_batch_size=64 \\\n    trainer.nnodes=2\n"
    (finding,) = cut(text, tmp_path)
    assert "line 2" in finding.title
    assert "something after its backslash" in finding.title
    assert "data.train_batch_size, trainer.nnodes" in finding.title
    assert finding.evidence[0].line == 3


def test_an_empty_line_and_a_missing_backslash_are_told_apart(tmp_path: Path) -> None:
    (empty,) = cut(f"{HEAD} \\\n\n    trainer.nnodes=2\n", tmp_path)
    (missing,) = cut(f"{HEAD}\n    trainer.nnodes=2\n", tmp_path)
    assert "an empty line or a comment follows" in empty.title
    assert "no backslash" in missing.title


def test_lost_words_are_no_launch_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(
        f"{HEAD}\n    actor_rollout_ref.rollout.n=8 actor_rollout_ref.rollout.tensor_model_parallel_size=3\n"
    )
    found = check([str(path)], ToldFacts()).report.findings
    assert all("tensor_model_parallel_size=3" not in finding.title for finding in found)


def test_the_next_command_is_one_of_its_own(tmp_path: Path) -> None:
    assert not cut(
        f"{HEAD} \\\n    trainer.nnodes=2\necho done\nTIMEOUT=3 python3 eval.py --lr 3\n", tmp_path
    )


def test_a_launch_without_any_argument_is_known_by_those_that_it_lost(tmp_path: Path) -> None:
    submit = 'ray job submit --address="http://127.0.0.1:8265" \\\n   -- python3 train.py\n'
    (finding,) = cut(
        f"{submit}   --hf-checkpoint /m --rollout-batch-size 32 \\\n --n-samples-per-prompt 8\n", tmp_path
    )
    assert "line 2" in finding.title
    assert "--hf-checkpoint, --rollout-batch-size, --n-samples-per-prompt" in finding.title


def test_a_starter_that_starts_nothing(tmp_path: Path) -> None:
    (finding,) = cut("torchrun --nproc_per_node 8\n    pretrain_gpt.py --num-layers 24\n", tmp_path)
    assert "line 1" in finding.title
    assert "pretrain_gpt.py" in finding.title
    assert not cut("torchrun --nproc_per_node 8 \\\n    pretrain_gpt.py --num-layers 24\n", tmp_path)
    assert not cut("ray start --head\ntorchrun pretrain_gpt.py --num-layers 24\n", tmp_path)


def test_words_that_a_submission_lost_are_told_where_nobody_knows_the_system(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text("ray job submit --address=x\n   --no-wait \\\n   -- python3 train.py --lr 3\n")
    with pytest.raises(UnknownSystemError, match=r"ends in line 1 .*--no-wait never reaches it"):
        check([str(path)], ToldFacts())
